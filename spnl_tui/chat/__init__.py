"""A conversation in progress, without Textual."""
