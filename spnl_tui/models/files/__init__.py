"""Model files: reading their headers, and what is damaged in them."""
