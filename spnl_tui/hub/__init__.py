"""Models on Hugging Face and on this disk."""
