"""What the interface is given to work with. `app.py` and the tests put it together."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spnl_tui.chat.model import Starter
    from spnl_tui.conversations.drafts import DraftFile
    from spnl_tui.conversations.storage.store import Store
    from spnl_tui.engine.backend import Backend, ModelHandle
    from spnl_tui.hub.inspection import ModelBrowser
    from spnl_tui.hub.pulls.downloads import Downloads
    from spnl_tui.models.files.local import LocalModel
    from spnl_tui.queries.chat import OpenedQuery
    from spnl_tui.settings import Persona


async def _no_model(name: str = "") -> ModelHandle | None:
    return None


def _no_handle(model: LocalModel) -> ModelHandle:
    raise LookupError(f"no backend runs {model.name}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Everything that the interface asks others to do."""

    engine: Backend
    first_model: Callable[[], Awaitable[ModelHandle | None]] = _no_model
    """The model to start with: what was asked for, or else the starter; None: there is none, and no other was
    asked for. May raise SpnlError: the one that was asked for is not here, or cannot be used."""
    find_model: Callable[[str], Awaitable[ModelHandle | None]] = _no_model
    """The model of a reference; None: it must be pulled first. May raise SpnlError."""
    to_handle: Callable[[LocalModel], ModelHandle] = _no_handle
    """Returns the handle of a model in the library, for the engine."""
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
    drafts: DraftFile | None = None
    """Keeps the unsent prompt for the next start."""
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
