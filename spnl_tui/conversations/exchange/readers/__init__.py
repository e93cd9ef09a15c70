"""Readers of other programs' conversations, one module for each kind of source."""
