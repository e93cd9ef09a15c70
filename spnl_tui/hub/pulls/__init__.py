"""Pulls files from the hub: one file, one pull of several files, and the queue of pulls."""
