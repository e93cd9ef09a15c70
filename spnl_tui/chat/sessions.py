"""The open chat sessions: the visible one, and those that work out of sight."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from spnl_tui.chat.session import ChatSession, Listener

if TYPE_CHECKING:
    from spnl_tui.chat.events import SessionEvent
    from spnl_tui.chat.services import ChatServices
    from spnl_tui.conversations.conversation import Conversation


class Sessions:
    """Keeps a session from when its conversation is shown until it is neither visible nor busy."""

    def __init__(self, services: ChatServices, first: Conversation) -> None:
        """`first` is the conversation to begin with."""
        self._services = services
        self._listeners: list[Listener] = []
        self._sessions: dict[str, ChatSession] = {}
        self._visible = self.of(first)

    def __iter__(self) -> Iterator[ChatSession]:
        return iter(tuple(self._sessions.values()))

    def subscribe(self, listener: Listener) -> None:
        """Call `listener` with every event of every session."""
        self._listeners.append(listener)

    async def announce(self, session: ChatSession, event: SessionEvent) -> None:
        """Report an event of this session to all subscribers, one after the other."""
        for listener in self._listeners:
            await listener(session, event)

    @property
    def visible(self) -> ChatSession:
        """The session whose conversation is shown."""
        return self._visible

    def show(self, conversation: Conversation) -> ChatSession:
        """Make this the visible conversation."""
        self._visible.selection.reset()
        self._visible = self.of(conversation)
        self._visible.selection.reset()
        return self._visible

    @property
    def replying(self) -> frozenset[str]:
        """The ids of the conversations in which a reply is in progress."""
        return frozenset(id for id, session in self._sessions.items() if session.replying)

    def of(self, conversation: Conversation) -> ChatSession:
        """Return the session of this conversation, a new one if need be."""
        session = before = self._sessions.get(conversation.id)
        if session is None or session.conversation is not conversation:
            session = ChatSession(conversation, self._services, self.announce)
            if before is not None:  # the conversation was loaded again
                session.candidates.open = before.candidates.open
            self._sessions[conversation.id] = session
        return session

    def get(self, id: str) -> ChatSession | None:
        """Return the session of the conversation with this id, or None."""
        return self._sessions.get(id)

    def held(self, id: str) -> Conversation | None:
        """Return the conversation with this id if it is visible or its session is ahead of the store."""
        session = self._sessions.get(id)
        if session is None or not (session is self._visible or session.busy or session.queue):
            return None
        return session.conversation

    def forget_idle(self) -> None:
        """Drop the sessions that are not needed any more."""
        for session in self:
            needed = session.busy or session.queue or session.candidates.open is not None
            if session is not self._visible and not needed:
                del self._sessions[session.conversation.id]

    def send_queued(self) -> bool:
        """Send what was typed ahead in all conversations. Returns True if that includes a prompt."""
        firsts = [(session, session.queue.first) for session in self if session.queue]
        begun = [first for session, first in firsts if session.send_next()]
        return any(isinstance(first, str) for first in begun)
