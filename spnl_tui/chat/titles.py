"""Titles by the model that is loaded, while nobody wants anything else of it."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING

from spnl_tui.conversations.conversation import Conversation
from spnl_tui.conversations.turn import Turn
from spnl_tui.ui.widgets.background import restart

if TYPE_CHECKING:
    from spnl_tui.engine.backend import Backend
    from spnl_tui.ui.main_screen import MainScreen

IDLE_S = 2.0
"""So long after a reply a title is asked for, if nothing happens meanwhile."""
_FAST_ENOUGH = 15.0
"""Tokens a second. A prefill cannot be broken off, and a slow model would still be reading for the title when
the user asks the next thing."""


class TitleWriter:
    """Gives a conversation a better title than its first line, once, after the first exchange.

    A title never delays what the user asks for: it is left as soon as anything is sent, and tried again after
    a later reply.
    """

    def __init__(self, screen: MainScreen, engine: Backend) -> None:
        self.idle_s = IDLE_S
        self._screen = screen
        self._engine = engine
        self._named: set[str] = set()

    def consider(self, conversation: Conversation, reply: Turn) -> None:
        """This reply in this conversation has come to its end: name it, when the model is idle."""
        speed = reply.provenance.decode_tokens_per_s if reply.provenance else None
        if speed is None or speed < _FAST_ENOUGH:
            return
        if conversation.title_is_automatic and conversation.id not in self._named:
            restart(self._screen, "naming", partial(self._name, conversation))

    def leave(self) -> None:
        """The model is wanted for something else."""
        self._screen.workers.cancel_group(self._screen, "naming")

    async def _name(self, conversation: Conversation) -> None:
        from spnl_tui.conversations.titles import SAMPLING, title_from_reply, title_request
        from spnl_tui.engine.backend import ChatRequest, ReplyChunk, RequestFailed, loaded_model

        await asyncio.sleep(self.idle_s)
        request, model = title_request(conversation), self._screen.current_model.model
        if request is None or model is None or self._screen.live.replying:
            return
        loaded = loaded_model(self._engine, model)
        if loaded is None or loaded.state != "idle":
            return  # to load it for a title is not worth it
        text = ""
        asked = ChatRequest(messages=request, sampling=SAMPLING, thinking=False, ephemeral=True)
        async with aclosing(self._engine.generate(model, asked)) as events:
            async for event in events:
                if isinstance(event, ReplyChunk):
                    text += event.text
                elif isinstance(event, RequestFailed):
                    return  # the title from the text stays
        self._named.add(conversation.id)
        title = title_from_reply(text)
        if title is None or not conversation.title_is_automatic:
            return
        await self._screen.store.save_automatic_title(conversation, title)
        conversation.title = title
        if conversation is self._screen.conversation:
            self._screen.conversation_view.show_title()
        await self._screen.conversations.refresh()
