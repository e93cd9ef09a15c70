"""How messages become a prompt: chat templates, and the markers in replies."""
