"""The resident engine: one process of this user that holds the loaded models for all programs."""
