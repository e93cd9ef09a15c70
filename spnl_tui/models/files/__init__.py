"""Reads the headers of model files and detects damage."""
