"""Converts messages to prompts with chat templates, and finds the markers in replies."""
