"""The prompt: the text area, its history and completions, and what becomes of a prompt before it is sent."""
