"""Conversations: trees of turns, the requests made of them, and their store."""
