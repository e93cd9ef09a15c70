"""The mistral.rs backend: runner processes on this machine, pooled and evicted."""

BACKEND = "mistral.rs"
"""The id that handles of this backend carry."""
