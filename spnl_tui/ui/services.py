"""What the interface is given to work with. `app.py` and the tests put it together."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from spnl_tui.conversations.store import Store
    from spnl_tui.engine.mistralrs.pool import LoadedModel
    from spnl_tui.engine.mistralrs.prefetch import Reading
    from spnl_tui.engine.mistralrs.wire import Event
    from spnl_tui.hub.inspection import ModelBrowser
    from spnl_tui.hub.pulls.downloads import Downloads
    from spnl_tui.models.local import LocalModel
    from spnl_tui.models.request import Grammar, Message, Sampling
    from spnl_tui.queries.chat import OpenedQuery
    from spnl_tui.settings import Persona


class ChatEngine(Protocol):
    """The part of `engine.service.Engine` that a chat needs."""

    def generate_chat(
        self,
        model: LocalModel,
        messages: Sequence[Message],
        sampling: Sampling,
        *,
        n: int = 1,
        thinking: bool | None = None,
        grammar: Grammar | None = None,
        go_on: bool = False,
        aside: bool = False,
        is_wanted: Callable[[int], bool] = ...,
    ) -> AsyncGenerator[Event, None]:
        """Reply n times; see Engine."""

    def load(self, model: LocalModel) -> AsyncGenerator[Event, None]:
        """Load ahead of any request; see Engine."""

    async def count_tokens(self, model: LocalModel, texts: Sequence[str]) -> tuple[int, ...] | None:
        """Counts by the model's own tokenizer; None while it is not loaded."""

    def was_put_away(self, model: LocalModel) -> bool:
        """Whether it is unloaded only for not being used for a while."""

    def read_ahead(self, model: LocalModel, reading: Reading) -> None:
        """Have messages read before they are sent; see Engine."""

    def loaded(self) -> tuple[LoadedModel, ...]:
        """What is loaded or loading."""

    async def unload(self, model: LocalModel) -> None:
        """End the model's runner. A request on it fails."""

    async def close(self) -> None:
        """End every runner."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far something has come."""

    stage: str
    """In words for the user."""
    done: int = 0
    total: int | None = None
    """Bytes; None where it is not known."""


class Starter(Protocol):
    """Where the starter model comes from."""

    def get(self) -> AsyncGenerator[Progress | LocalModel, None]:
        """Progress, and at last the model.

        Raises:
            SpnlError: it could not be had.
        """


async def _no_model(name: str = "") -> LocalModel | None:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Everything that the interface asks others to do."""

    engine: ChatEngine
    first_model: Callable[[], Awaitable[LocalModel | None]] = _no_model
    """The model to start with: what was asked for, or else the starter; None: there is none, and no other was
    asked for. May raise SpnlError: the one that was asked for is not here, or cannot be used."""
    find_model: Callable[[str], Awaitable[LocalModel | None]] = _no_model
    """The model of a reference; None: it must be pulled first. May raise SpnlError."""
    starter: Starter | None = None
    store: Callable[[], Awaitable[Store]] | None = None
    """Opens the store of conversations, or gives the one that was opened. May raise SpnlError."""
    downloads: Callable[[], Downloads] | None = None
    """Makes the queue of pulls, or gives the one that was made. Called in a thread: it imports a lot."""
    browser: Callable[[], ModelBrowser] | None = None
    """Makes what the models pane asks. Called in a thread: it imports a lot."""
    keep_persona: Callable[[str, Persona], None] | None = None
    """Writes a persona of this name into the configuration. Called in a thread. May raise SpnlError."""
    set_clipboard: Callable[[str], Awaitable[bool]] | None = None
    """Sets the clipboard of this machine; False: it cannot. May raise SpnlError."""
    close: tuple[Callable[[], Awaitable[None]], ...] = ()
    """What to close at the end, besides the engine."""
    clock: Callable[[], float] = field(default=time.monotonic)
    """Seconds; for elapsed times on the screen."""
    now: Callable[[], float] = field(default=time.time)
    """Unix seconds; for the dates of conversations."""
    opened: OpenedQuery | None = None
    """The query to begin with, as a chat."""
    resume: str | None = None
    """The id, or its beginning, of the conversation to begin with; empty: the last one; None: a new one."""
