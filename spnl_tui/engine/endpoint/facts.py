"""The known facts about a model on a server."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedModel:
    """A model as its server describes it."""

    id: str
    """The server's name for the model."""
    server: str = "other"
    """The kind of server, a key of `endpoints.CAPABILITIES`; never "auto"."""
    context_length: int | None = None
    """In tokens, if the server says so."""
    wanted_context: int | None = None
    """The context length to load the model with, in tokens. Only Ollama accepts it."""
    abilities: frozenset[str] | None = None
    """Reported capabilities, such as "vision", "tools" and "thinking"; None if the server reports none."""

    def has(self, ability: str) -> bool:
        """True if the server reports this ability."""
        return self.abilities is not None and ability in self.abilities
