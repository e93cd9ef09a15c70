"""The engine service: who runs the models, for the interface and for the commands."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from spnl_tui.engine.protocol import Event
from spnl_tui.models.local import LocalModel
from spnl_tui.models.request import Grammar, Message, Sampling


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model that is loaded or being loaded."""

    model: LocalModel
    pid: int | None
    state: str
    """"loading", "idle" or "busy"."""
    memory_bytes: int
    context_length: int | None


class Engine:
    """Loads models on demand, each in a runner process of its own, and serves requests on them.

    Every request is an async iterator of events. It ends after one ReplyFinished or RequestFailed for each
    candidate; it never raises for what happens in a runner. Leaving it early (`aclosing`) cancels.
    """

    def generate_chat(
        self,
        model: LocalModel,
        messages: Sequence[Message],
        sampling: Sampling,
        *,
        n: int = 1,
        thinking: bool | None = None,
        grammar: Grammar | None = None,
    ) -> AsyncIterator[Event]:
        """Reply n times to one list of messages. Loads the model if it must.

        Yields RequestQueued, LoadProgressed, ModelLoaded, PrefillProgressed, ReplyChunk, and for each
        candidate one ReplyFinished or RequestFailed; `candidate` tells which.
        """
        raise NotImplementedError

    def generate_completion(
        self, model: LocalModel, inputs: Sequence[str], sampling: Sampling, *, grammar: Grammar | None = None
    ) -> AsyncIterator[Event]:
        """Answer each input by itself; `candidate` is its index. Results come in the order of the inputs."""
        raise NotImplementedError

    def load(self, model: LocalModel) -> AsyncIterator[Event]:
        """Load the model ahead of any request: LoadProgressed…, then ModelLoaded or RequestFailed."""
        raise NotImplementedError

    async def count_tokens(self, model: LocalModel, texts: Sequence[str]) -> tuple[int, ...] | None:
        """Token counts by the model's own tokenizer; None while the model is not loaded, or busy."""
        raise NotImplementedError

    def loaded(self) -> tuple[LoadedModel, ...]:
        """What is loaded or loading, most recently used first."""
        raise NotImplementedError

    async def unload(self, model: LocalModel) -> None:
        """End the model's runner. A request on it ends in RequestFailed."""
        raise NotImplementedError

    async def close(self) -> None:
        """End every runner, within two seconds."""
        raise NotImplementedError
