"""The line mode: the same chat as a dialogue in plain lines, without a screen."""
