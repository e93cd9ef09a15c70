"""The Textual interface: one screen, its panes, and their messages."""
