"""Dialogs that several panes share."""
