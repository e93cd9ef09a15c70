"""Finds models of other programs on this disk, which are used in place and never changed."""
