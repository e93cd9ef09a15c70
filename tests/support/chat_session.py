"""A chat session without a screen: a scripted engine, no store, and every event noted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from spnl_tui.chat.events import ReplySaved, SessionEvent
from spnl_tui.chat.model import CurrentModel
from spnl_tui.chat.recording import ReportingStore
from spnl_tui.chat.services import ChatServices, TokenMeters
from spnl_tui.chat.session import ChatSession
from spnl_tui.chat.sessions import Sessions
from spnl_tui.chat.status import Status
from spnl_tui.chat.tools import ConversationTools
from spnl_tui.conversations.conversation import Conversation
from spnl_tui.errors import SpnlError
from spnl_tui.settings import Settings
from tests.support.scripted_engine import MODEL, ScriptedEngine
from tests.support.waiting import wait_until


class TaskBackground:
    """Background work as plain tasks."""

    def __init__(self) -> None:
        self._tasks: dict[asyncio.Task[None], str] = {}

    def start(
        self, group: str, work: Callable[..., Coroutine[Any, Any, None]], *args: Any, **kwargs: Any
    ) -> None:
        self._tasks[asyncio.create_task(work(*args, **kwargs))] = group

    def restart(self, group: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self.cancel(group)
        self.start(group, work)

    def cancel(self, group: str) -> None:
        for task, name in self._tasks.items():
            if name == group:
                task.cancel()

    async def close(self) -> None:
        """Cancel what still runs, and raise what has failed."""
        for task in self._tasks:
            task.cancel()
        for result in await asyncio.gather(*self._tasks, return_exceptions=True):
            if isinstance(result, Exception):
                raise result


@dataclass
class ChatWithoutScreen:
    """Sessions under test, and what they reported."""

    sessions: Sessions
    model: CurrentModel
    status: Status
    engine: ScriptedEngine
    events: list[tuple[str, str]] = field(default_factory=list)
    """The id of the conversation, and the name of the event."""

    @property
    def session(self) -> ChatSession:
        return self.sessions.visible

    @property
    def turns(self) -> list[tuple[str, str]]:
        return [(turn.role, turn.text) for turn in self.session.conversation.path()]

    async def note(self, session: ChatSession, event: SessionEvent) -> None:
        self.events.append((session.conversation.id, type(event).__name__))

    def names(self, session: ChatSession | None = None) -> list[str]:
        """Return the names of the events of this session; by default of the visible one."""
        id = (session or self.session).conversation.id
        return [name for conversation, name in self.events if conversation == id]

    async def saved(self, count: int = 1) -> None:
        """Wait until this many replies have ended."""
        await wait_until(lambda: sum(name == ReplySaved.__name__ for _, name in self.events) >= count)


@asynccontextmanager
async def chat_without_screen(
    engine: ScriptedEngine | None = None,
    *,
    model_found: bool = True,
    settings: Settings = Settings(),  # noqa: B008  # it is frozen
) -> AsyncIterator[ChatWithoutScreen]:
    """Yield sessions with one empty conversation."""
    engine, status, background = engine or ScriptedEngine(), Status(lambda: 0.0), TaskBackground()

    async def first_model() -> Any:
        return MODEL

    async def may_leave_out(conversation: Conversation, count: int) -> bool:
        return False

    def report(error: SpnlError, *, timeout: float = 10) -> None:
        raise error

    model = CurrentModel(
        engine,
        status,
        first_model=first_model,
        starter=None,
        replying=lambda: sessions.visible.replying,
    )
    services = ChatServices(
        engine=engine,
        model=model,
        meters=TokenMeters(engine),
        status=status,
        store=ReportingStore(None, report),
        settings=settings,
        background=background,
        clock=lambda: 0.0,
        tools=ConversationTools(settings, engine, report),
        may_leave_out=may_leave_out,
    )
    sessions = Sessions(services, Conversation())
    if model_found:
        await model.find()
    chat = ChatWithoutScreen(sessions, model, status, engine)
    sessions.subscribe(chat.note)
    try:
        yield chat
    finally:
        await background.close()
