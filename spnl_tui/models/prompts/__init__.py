"""From messages to prompts: chat templates, and the markers in replies."""
