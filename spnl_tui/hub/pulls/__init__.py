"""Pulls: one download, the queue, the transfer of a file."""
