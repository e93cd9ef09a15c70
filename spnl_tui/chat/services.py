"""The services of chat sessions, and what they need from the program around them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol

if TYPE_CHECKING:
    from spnl_tui.chat.model import CurrentModel
    from spnl_tui.chat.recording import ReportingStore
    from spnl_tui.chat.status import Status
    from spnl_tui.chat.tools import ConversationTools
    from spnl_tui.conversations.conversation import Conversation
    from spnl_tui.conversations.meter import TokenMeter
    from spnl_tui.engine.backend import Backend, ModelHandle
    from spnl_tui.settings import Settings

_P = ParamSpec("_P")


class Background(Protocol):
    """Starts work in named groups. All of it is cancelled when the program ends."""

    def start(
        self,
        group: str,
        work: Callable[_P, Coroutine[Any, Any, None]],
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> None:
        """Run `work(…)` beside the caller."""

    def restart(self, group: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run `work()` as the only work of its group; cancel what the group was doing."""

    def cancel(self, group: str) -> None:
        """Cancel the work of this group."""


@dataclass(eq=False, repr=False, frozen=True, slots=True, kw_only=True)
class ChatServices:
    """The services that all chat sessions share."""

    engine: Backend
    model: CurrentModel
    meters: TokenMeters
    status: Status
    store: ReportingStore
    settings: Settings
    background: Background
    clock: Callable[[], float]
    """Returns seconds, for elapsed times."""
    tools: ConversationTools
    may_leave_out: Callable[[Conversation, int], Awaitable[bool]]
    """Asks the user if this many more turns may be left out of the request."""


class TokenMeters:
    """Keeps a token meter for each model."""

    def __init__(self, engine: Backend) -> None:
        self._engine = engine
        self._meters: dict[ModelHandle, TokenMeter] = {}

    def of(self, model: ModelHandle) -> TokenMeter:
        """Return the meter of this model, which remembers its counts."""
        if model not in self._meters:
            from spnl_tui.conversations.meter import TokenMeter

            self._meters[model] = TokenMeter(lambda texts: self._engine.count_tokens(model, texts))
        return self._meters[model]
