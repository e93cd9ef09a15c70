"""Conversations as trees of turns, and their store."""
