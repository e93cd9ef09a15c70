"""Finds, pulls and manages models on Hugging Face and on this disk."""
