"""The mistral.rs backend: runner processes on this machine, pooled and evicted."""
