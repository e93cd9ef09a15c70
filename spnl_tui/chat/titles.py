"""Titles written by the loaded model while it is idle."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from spnl_tui.chat.events import ReplySaved, RunsChanged, SessionEvent, TitleChanged
from spnl_tui.errors import RequestError

if TYPE_CHECKING:
    from spnl_tui.chat.services import ChatServices
    from spnl_tui.chat.session import ChatSession
    from spnl_tui.chat.sessions import Sessions
    from spnl_tui.conversations.turn import Turn

IDLE_S = 2.0
"""Seconds after a reply before a title is requested, if nothing happens meanwhile."""
_FAST_ENOUGH = 15.0
"""Tokens per second. A prefill cannot be interrupted, so a slow model would still be reading for the title
when the user sends the next prompt."""


class TitleWriter:
    """Gives a conversation a better title than its first line, once, after the first exchange.

    A title never delays a request of the user: it is cancelled as soon as anything is sent, and tried again
    after a later reply.
    """

    def __init__(self, sessions: Sessions, services: ChatServices) -> None:
        self.idle_s = IDLE_S
        self._sessions = sessions
        self._services = services
        self._titled: set[str] = set()
        sessions.subscribe(self._on_event)

    def cancel(self) -> None:
        """Stop writing a title, because the model is needed for something else."""
        self._services.background.cancel("title")

    async def _on_event(self, session: ChatSession, event: SessionEvent) -> None:
        match event:
            case RunsChanged():
                self.cancel()
            case ReplySaved(turn) if turn.finish_reason == "stop":
                self._consider(session, turn)

    def _consider(self, session: ChatSession, reply: Turn) -> None:
        speed = reply.provenance.decode_tokens_per_s if reply.provenance else None
        if speed is None or speed < _FAST_ENOUGH:
            return
        conversation = session.conversation
        if conversation.title_is_automatic and conversation.id not in self._titled:
            self._services.background.restart("title", partial(self._write, session))

    async def _write(self, session: ChatSession) -> None:
        from spnl_tui.conversations.titles import SAMPLING, title_from_reply, title_request
        from spnl_tui.engine.backend import ChatRequest, loaded_model
        from spnl_tui.engine.reply import collect

        await asyncio.sleep(self.idle_s)
        services, conversation = self._services, session.conversation
        request, model = title_request(conversation), services.model.model
        if request is None or model is None or self._sessions.replying:
            return
        loaded = loaded_model(services.engine, model)
        if loaded is None or loaded.state != "idle":
            return  # loading the model only for a title takes too long
        asked = ChatRequest(messages=request, sampling=SAMPLING, thinking=False, ephemeral=True)
        try:
            reply = await collect(services.engine, model, asked)
        except RequestError:
            return  # the title from the text stays
        self._titled.add(conversation.id)
        title = title_from_reply(reply.text)
        if title is None or not conversation.title_is_automatic:
            return
        await services.store.save_automatic_title(conversation, title)
        conversation.title = title
        await session.emit(TitleChanged())
