"""Finds, names, imports and deletes the models on this disk."""
