"""Widgets that know nothing of models or engines."""
