"""Imports and exports conversations."""
