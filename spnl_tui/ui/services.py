"""The services that the interface receives from `app.py` or from a test."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spnl_tui.chat.model import Starter
    from spnl_tui.chat.tools import SaveRules
    from spnl_tui.conversations.drafts import DraftFile
    from spnl_tui.conversations.personal_prompts import PersonalPrompts
    from spnl_tui.conversations.storage.store import Store
    from spnl_tui.endpoints import EndpointStatus
    from spnl_tui.engine.backend import Backend, ModelHandle
    from spnl_tui.hub.inspection import ModelBrowser
    from spnl_tui.hub.offers import ModelOffers
    from spnl_tui.hub.pulls.interrupted import InterruptedPull
    from spnl_tui.hub.pulls.queue import PullQueue
    from spnl_tui.media.media_reader import MediaReader
    from spnl_tui.models.files.local import LocalModel
    from spnl_tui.queries.chat import OpenedQuery
    from spnl_tui.serving import ServerSwitch
    from spnl_tui.settings import Persona
    from spnl_tui.tools.mcp.servers import McpServers


async def _no_model(name: str = "") -> ModelHandle | None:
    return None


async def _no_interrupted() -> Iterable[InterruptedPull]:
    return ()


async def _no_offers() -> ModelOffers:
    from spnl_tui.hub.offers import ModelOffers

    return ModelOffers()


def _no_handle(model: LocalModel) -> ModelHandle:
    raise LookupError(f"no backend runs {model.name}")


@dataclass(eq=False, repr=False, frozen=True, slots=True, kw_only=True)
class InterfaceServices:
    """The services of the interface."""

    engine: Backend
    first_model: Callable[[], Awaitable[ModelHandle | None]] = _no_model
    """Returns the model to start with: the requested one, else the starter; None if none was requested
    and the starter is missing. Raises SpnlError if the requested model is missing or cannot be used."""
    find_model: Callable[[str], Awaitable[ModelHandle | None]] = _no_model
    """Returns the model of a reference; None if it must be pulled first. May raise SpnlError."""
    model_offers: Callable[[], Awaitable[ModelOffers]] = _no_offers
    """Returns the models to offer in the welcome. May raise SpnlError."""
    to_handle: Callable[[LocalModel], ModelHandle] = _no_handle
    """Returns the handle of a model in the library, for the engine."""
    starter: Starter | None = None
    store: Callable[[], Awaitable[Store]] | None = None
    """Returns the store of conversations, opened on the first call. May raise SpnlError."""
    pull_queue: Callable[[], PullQueue] | None = None
    """Returns the queue of pulls, constructed on the first call.

    Called in a thread, because it imports a lot.
    """
    interrupted_pulls: Callable[[], Awaitable[Iterable[InterruptedPull]]] = _no_interrupted
    """Returns the pulls that other programs have left."""
    browser: Callable[[], ModelBrowser] | None = None
    """Constructs the services of the models pane. Called in a thread, because it imports a lot."""
    survey: Callable[[], AsyncGenerator[EndpointStatus, None]] | None = None
    """Asks the servers for their models, for the models pane."""
    keep_persona: Callable[[str, Persona], None] | None = None
    """Writes a persona with this name to the configuration. Called in a thread. May raise SpnlError."""
    save_rules: SaveRules | None = None
    """Writes permissions of tools to the configuration. May raise SpnlError."""
    mcp: Callable[[], McpServers] | None = None
    """Returns the MCP servers, constructed on the first call."""
    set_clipboard: Callable[[str], Awaitable[bool]] | None = None
    """Sets the clipboard of this machine; returns False if it cannot. May raise SpnlError."""
    media: Callable[[], MediaReader] | None = None
    """Returns the reader of images and documents, constructed on the first call."""
    models_that_see: Callable[[], Awaitable[Sequence[str]]] | None = None
    """Returns the names of the models on this machine that read images."""
    prompts: PersonalPrompts | None = None
    """The user's own prompts, which are commands, too."""
    drafts: DraftFile | None = None
    """The file that keeps the unsent prompt for the next start."""
    server: ServerSwitch | None = None
    """The server for other programs."""
    close: tuple[Callable[[], Awaitable[None]], ...] = ()
    """Further services to close at the end, besides the engine."""
    clock: Callable[[], float] = field(default=time.monotonic)
    """Returns seconds, for elapsed times on the screen."""
    now: Callable[[], float] = field(default=time.time)
    """Returns Unix seconds, for the dates of conversations."""
    opened: OpenedQuery | None = None
    """The query to open as a chat."""
    resume: str | None = None
    """The id, or its beginning, of the conversation to open; empty for the last one; None for a new one."""
