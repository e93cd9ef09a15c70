"""The queued_pulls pane."""
