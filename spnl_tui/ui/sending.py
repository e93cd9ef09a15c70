"""Prompts on their way: sent one at a time in each conversation, and kept while they cannot be answered."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, ParamSpec

from spnl_tui.conversations.conversation import Conversation
from spnl_tui.conversations.turn import Turn
from spnl_tui.ui.background import start
from spnl_tui.ui.live import LiveConversation, LiveConversations

if TYPE_CHECKING:
    from spnl_tui.ui.main_screen import MainScreen

_P = ParamSpec("_P")


class Sending:
    """Sends prompts, each when the reply before it has ended."""

    def __init__(self, screen: MainScreen, live: LiveConversations) -> None:
        self._screen = screen
        self._live = live
        self._transcript = screen.chat.transcript
        self._prompt = screen.chat.prompt

    async def submit(self, text: str) -> None:
        """Send this prompt, or keep it until it can be answered."""
        if await self._screen.branches.take_edited_reply(text):
            return
        seen = self._live.seen
        # Where a prompt waits though no reply is made, that one is about to be sent, or to be given back.
        if self._screen.in_use.model is not None and not seen.replying and not seen.queued:
            with self.accepting(seen.conversation):
                await self._send(seen.conversation, text)
            return
        seen.queued = f"{seen.queued}\n\n{text}".strip()
        await self._transcript.show_queued(seen.queued)

    async def _send(self, conversation: Conversation, text: str) -> None:
        await self.add_prompt(conversation, text)
        self._screen.answering.reply(conversation, conversation.add_turn("assistant"))

    async def add_prompt(self, conversation: Conversation, text: str) -> Turn:
        """Put this prompt at the end of the conversation, or beside the one that it is an edit of."""
        from spnl_tui.conversations.titles import title_of

        if not self._live.is_seen(conversation):
            turn = conversation.add_turn("user", text)
        else:
            self._screen.chat.show_welcome(False)
            if edited := self._screen.branches.take_edited():
                turn = conversation.branch_from(edited, text)
                await self._screen.showing.show_branch(edited, turn.id)
            else:
                turn = conversation.add_turn("user", text)
                await self._transcript.add(turn)
        if conversation.title_is_automatic and not conversation.title:
            conversation.title = title_of(conversation)
            self._screen.showing.show_title()
        return turn

    @contextmanager
    def accepting(self, conversation: Conversation) -> Iterator[None]:
        """In here a reply is on its way: the conversation counts as replying before there is a run."""
        each = self._live.of(conversation)
        each.accepted += 1
        try:
            yield
        finally:
            each.accepted -= 1
            if each.queued and not each.replying:  # nothing has come of it
                self._send_queued(each)

    def prepare(
        self,
        conversation: Conversation,
        group: str,
        work: Callable[_P, Coroutine[Any, Any, None]],
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> None:
        """Run `work(…)`, which is to begin a reply in this conversation, as a worker of the screen."""
        accepted = ExitStack()
        # Now, not in the worker: before that one begins the next key may be there.
        accepted.enter_context(self.accepting(conversation))

        async def prepared() -> None:
            with accepted:
                await work(*args, **kwargs)

        start(self._screen, group, prepared)

    # ── what waits ───────────────────────────────────────────────────────────────────────────────

    def send_queued(self) -> bool:
        """Send what was typed, in every conversation, while there was no way to answer it; False: nothing."""
        waiting = [each for each in self._live if each.queued and not each.replying]
        for each in waiting:
            self._send_queued(each)
        return bool(waiting)

    def return_queued(self) -> None:
        """Put what was typed back into the prompt: things have gone otherwise than the user thought."""
        start(self._screen, "queued", self._return_queued)

    def reply_ended(self, conversation_id: str, *, well: bool) -> None:
        """The reply in this conversation has ended: go on with what was typed meanwhile."""
        each = self._live.get(conversation_id)
        if each is None or each.replying:
            return
        if each.queued and well:
            self._send_queued(each)
        elif self._live.is_seen(each.conversation):
            self.return_queued()
        else:
            self._live.forget_idle()

    async def shown(self) -> None:
        """Another conversation is seen now: show what waits in it, or give it back if nothing is awaited."""
        seen = self._live.seen
        if seen.replying:
            await self._transcript.show_queued(seen.queued)
        elif seen.queued:
            await self._return_queued()

    def _send_queued(self, each: LiveConversation) -> None:
        text, each.queued = each.queued, ""

        async def send() -> None:
            if self._live.is_seen(each.conversation):
                await self._screen.choosing.close()
            if self._live.is_seen(each.conversation):
                await self._transcript.show_queued(each.queued)
            await self._send(each.conversation, text)

        self.prepare(each.conversation, "queued", send)

    async def _return_queued(self) -> None:
        seen = self._live.seen
        text, seen.queued = seen.queued, ""
        await self._transcript.show_queued("")
        if text:
            self._prompt.give_back(self._screen.prompting.as_typed(text))
