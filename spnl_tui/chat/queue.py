"""Prompts on their way: sent one at a time in each conversation, and kept while they cannot be answered.

A command that may need the model is kept among them while the model is looked for.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, ParamSpec

from spnl_tui.chat.session import LiveConversation, LiveConversations
from spnl_tui.conversations.conversation import Conversation
from spnl_tui.conversations.turn import Turn
from spnl_tui.ui import messages
from spnl_tui.ui.widgets.background import start

if TYPE_CHECKING:
    from spnl_tui.ui.main_screen import MainScreen

_P = ParamSpec("_P")


class Sending:
    """Sends prompts in the order in which they were typed, each when the reply before it has ended."""

    def __init__(self, screen: MainScreen, live: LiveConversations) -> None:
        self._screen = screen
        self._live = live
        self._transcript = screen.chat.transcript
        self._prompt = screen.chat.prompt

    async def submit(self, text: str) -> None:
        """Send this prompt, or keep it until it can be answered."""
        if await self._screen.turns.take_edited_reply(text):
            return
        seen = self._live.seen
        # Where a prompt waits though no reply is made, that one is about to be sent, or to be given back.
        if self._screen.current_model.model is not None and not seen.busy and not seen.queued:
            with self.accepting(seen.conversation):
                await self._send(seen.conversation, text)
            return
        match seen.queued:
            case [*before, str(last)]:
                seen.queued = [*before, f"{last}\n\n{text}"]
            case _:
                seen.queued.append(text)
        await self._show_queued(seen)

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
            if edited := self._screen.turns.take_edited():
                turn = conversation.branch_from(edited, text)
                await self._screen.conversation_view.show_branch(edited, turn.id)
            else:
                turn = conversation.add_turn("user", text)
                await self._transcript.add(turn)
        if conversation.title_is_automatic and not conversation.title:
            conversation.title = title_of(conversation)
            self._screen.conversation_view.show_title()
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
            self._go_on(each)  # if nothing has come of it

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

    async def queue(self, command: messages.CommandSubmitted, conversation: Conversation) -> None:
        """Keep a command that may need the model, until there is one and it is this command's turn."""
        each = self._live.of(conversation)
        each.queued.append(command)
        await self._show_queued(each)

    def send_queued(self) -> bool:
        """Go on with what was typed, in every conversation, while there was no way to answer it.

        Returns whether that is a prompt anywhere: a command may ask for no reply.
        """
        firsts = [each.queued[0] for each in self._live if each.queued]
        for each in self._live:
            self._go_on(each)
        return any(isinstance(first, str) for first in firsts)

    def return_queued(self) -> None:
        """Put what was typed back into the prompt: things have gone otherwise than the user thought."""
        start(self._screen, "queued", self._return_queued)

    def reply_ended(self, conversation_id: str, *, well: bool) -> None:
        """The reply in this conversation has ended: go on with what was typed meanwhile."""
        each = self._live.get(conversation_id)
        if each is None or each.busy or (well and self._go_on(each)):
            return
        if self._live.is_seen(each.conversation):
            self.return_queued()
        else:
            self._live.forget_idle()

    async def shown(self) -> None:
        """Another conversation is seen now: show what waits in it, or give it back if nothing is awaited."""
        seen = self._live.seen
        if seen.busy:
            await self._show_queued(seen)
        elif seen.queued:
            await self._return_queued()

    def _go_on(self, each: LiveConversation) -> bool:
        """Take up the first of what waits in this conversation; False: nothing does, or not yet."""
        if each.busy or not each.queued:
            return False
        first = each.queued.pop(0)

        async def send(text: str) -> None:
            if self._live.is_seen(each.conversation):
                await self._screen.candidates.close()
            await self._show_queued(each)
            await self._send(each.conversation, text)

        async def run(command: messages.CommandSubmitted) -> None:
            try:
                await self._show_queued(each)
                await self._screen.commands.run_typed(command, each.conversation)
            finally:
                each.taken_up = False
            self._go_on(each)  # if it asked for no reply

        if isinstance(first, str):
            self.prepare(each.conversation, "queued", send, first)
        else:
            each.taken_up = True
            start(self._screen, "queued", run, first)
        return True

    async def _show_queued(self, each: LiveConversation) -> None:
        if self._live.is_seen(each.conversation):
            texts = (item if isinstance(item, str) else item.text for item in each.queued)
            await self._transcript.show_queued("\n\n".join(texts))

    async def _return_queued(self) -> None:
        seen, prompting = self._live.seen, self._screen.prompts
        items, seen.queued = seen.queued, []
        await self._show_queued(seen)
        if items:
            texts = (prompting.as_typed(item) if isinstance(item, str) else item.text for item in items)
            self._prompt.give_back("\n\n".join(texts))
        if self._screen.current_model.model is None:
            for item in items:
                if not isinstance(item, str):
                    self._screen.commands.refuse(item.command)
