"""The mistral.rs backend: runs models on this machine in runner processes."""

BACKEND = "mistral.rs"
"""The id that handles of this backend carry."""
