"""The engine: one protocol for all backends, the service that routes requests, and the backends."""
