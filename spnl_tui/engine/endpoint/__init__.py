"""Endpoints: servers that speak OpenAI's API, or Ollama's own, as a backend of the engine."""

BACKEND = "endpoint"
"""The id of the backend, which every handle of a model on a server carries."""
