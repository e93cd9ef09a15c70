"""Where models come from: Hugging Face and this disk."""
