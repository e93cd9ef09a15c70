"""The list of conversations, and the screens that search, draw and configure them."""
