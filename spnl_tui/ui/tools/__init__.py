"""Calls of tools on the screen: the question before a call, and the call and its result in a reply."""
