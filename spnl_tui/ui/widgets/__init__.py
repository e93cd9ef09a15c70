"""Shared widgets, which do not know models or engines."""
