"""One conversation in progress: its state that is not stored, the requests it accepts, and its events."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from spnl_tui.chat.candidates import Candidates
from spnl_tui.chat.events import (
    BranchChanged,
    PromptAdded,
    QueueChanged,
    SessionEvent,
    TitleChanged,
    TurnsReplaced,
)
from spnl_tui.chat.queue import PromptQueue, Queued
from spnl_tui.chat.runs import Runs
from spnl_tui.chat.selection import Selection
from spnl_tui.chat.services import ChatServices
from spnl_tui.chat.tools import Questions
from spnl_tui.errors import CommandError
from spnl_tui.models.image_marks import content_of

if TYPE_CHECKING:
    from spnl_tui.chat.shared_request import Variation
    from spnl_tui.conversations.conversation import Conversation
    from spnl_tui.conversations.turn import Turn

Listener: TypeAlias = Callable[["ChatSession", SessionEvent], Awaitable[None]]


class ChatSession:
    """A conversation in progress, on the screen or not.

    Requests return once their effect has begun. What follows is reported as events.
    """

    def __init__(self, conversation: Conversation, services: ChatServices, listener: Listener) -> None:
        self.conversation = conversation
        self._services = services
        self._listener = listener
        self.questions = Questions(self.emit)
        self.runs = Runs(conversation, services, self.emit, self.questions.ask)
        self.candidates = Candidates(conversation, self.runs, services.store, self.emit)
        self.selection = Selection(conversation, self.emit)
        self.queue = PromptQueue()
        """The prompts typed while the conversation could not answer them."""
        self._accepted = 0
        self._running_command = False
        self._held_with = conversation.model if len(conversation) else ""
        self._choices = services.model.choices

    async def emit(self, event: SessionEvent) -> None:
        """Report an event to the subscribers, and wait for them."""
        await self._listener(self, event)

    # ── state ────────────────────────────────────────────────────────────────────────────────────

    @property
    def replying(self) -> bool:
        """True while a reply is in progress or about to be requested."""
        return self._accepted > 0 or len(self.runs) > 0

    @property
    def busy(self) -> bool:
        """True while a new prompt must wait."""
        return self.replying or self._running_command

    @property
    def unsettled_model(self) -> str:
        """The model that the conversation was held with, if another one is now the current model.

        No other model answers before `settle` or the user's choice of a model; prompts wait until then. Empty
        if the current model may answer.
        """
        model = self._services.model
        another = model.model is not None and model.model.name != self._held_with
        return self._held_with if another and model.choices == self._choices else ""

    def settle(self) -> None:
        """Let the current model answer in this conversation, whichever model it was held with."""
        self._held_with = ""
        if (model := self._services.model.model) is not None:
            self.conversation.model = model.name
        self.send_next()

    @property
    def last_reply(self) -> Turn | None:
        """The last turn, if it is a complete reply."""
        path = self.conversation.path()
        return path[-1] if path and path[-1].role == "assistant" and not path[-1].streaming else None

    @property
    def unfinished_reply(self) -> Turn | None:
        """The last turn, if it is a reply that the model did not end itself."""
        last = self.last_reply
        if last is None or not (last.text.strip() or last.reasoning.strip()):
            return None
        return None if last.finish_reason == "stop" and last.provenance is not None else last

    # ── requests ─────────────────────────────────────────────────────────────────────────────────

    async def send(self, text: str) -> None:
        """Send a prompt, or queue it until it can be answered. Or send the new text of an edited turn."""
        if await self._replace_reply(text):
            return
        # If a prompt waits though no reply is in progress, it is about to be sent or to be given back.
        waits = self._services.model.model is None or self.unsettled_model
        if not waits and not self.busy and not self.queue:
            with self.accepting():
                await self._send(text)
        else:
            await self.enqueue(text)

    async def regenerate(self) -> None:
        """Ask for another reply to the last prompt. The reply so far becomes its sibling."""
        last = self.last_reply
        if last is None or self.replying or self._services.model.model is None:
            return
        with self.accepting():
            await self.candidates.close()
            await self.emit(TurnsReplaced(last.id))
            await self.runs.reply(self.conversation.regenerate(last.id))

    async def continue_reply(self) -> None:
        """Let the model continue a reply that was stopped, cut off or edited. That reply stays as it is."""
        old = self.unfinished_reply
        if old is None or self._services.model.model is None:
            return
        turn = replace(self.conversation.regenerate(old.id), reasoning=old.reasoning)
        if old.text.strip():
            turn = replace(turn, content=old.content)
        self.conversation.update_turn(turn)
        await self.selection.move("")
        await self.emit(TurnsReplaced(old.id))
        await self.runs.reply(turn)

    async def ask_candidates(
        self, text: str, variations: Sequence[Variation], labels: Sequence[str] = ()
    ) -> None:
        """Ask for one reply for each variation, to a new prompt or (empty) to the last one.

        Raises:
            CommandError: there is no prompt yet.
        """
        conversation = self.conversation
        await self.candidates.close()
        with self.accepting():
            prompt = await self._add_prompt(text) if text else await self._uncover_prompt()
            # Before there are candidates: a new conversation is saved whole, with all of its turns.
            await self._services.store.save_turn(conversation, prompt)
            turns = [conversation.add_turn("assistant", parent=prompt.id) for _ in variations]
            conversation.select(turns[0].id)
            await self.candidates.show(turns, labels or [""] * len(turns))
            for turn, variation in zip(turns, variations, strict=True):
                await self.runs.reply(turn, variation)

    async def add_candidate(self, label: str, variation: Variation) -> None:
        """Ask for one more candidate, and highlight it."""
        await self.runs.reply(await self.candidates.add(label), variation)

    def stop(self) -> None:
        """Stop the reply and keep its text so far.

        Among candidates, stop the highlighted one; if that is complete, stop all of them.
        """
        candidate = None if self.candidates.open is None else self.runs.get(self.candidates.chosen)
        if candidate is not None:
            candidate.stop()
        elif self.candidates.open is not None:
            self._services.background.start("stop", self.runs.stop)
        elif (run := self.runs.main) is not None:
            run.stop()

    # ── the queue ────────────────────────────────────────────────────────────────────────────────

    @contextmanager
    def accepting(self) -> Iterator[None]:
        """Within this context a reply is on its way, so the conversation counts as replying."""
        self._accepted += 1
        try:
            yield
        finally:
            self._accepted -= 1
            self.send_next()  # if no reply was requested after all

    def prepare(self, group: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run `work()`, which is to request a reply, in the background."""
        accepted = ExitStack()
        # Here, not in the background: before that begins, the next key may have been pressed.
        accepted.enter_context(self.accepting())

        async def prepared() -> None:
            with accepted:
                await work()

        self._services.background.start(group, prepared)

    async def enqueue(self, item: Queued) -> None:
        """Add a prompt or a command to the queue."""
        self.queue.add(item)
        await self.emit(QueueChanged())

    async def take_queued(self) -> list[Queued]:
        """Empty the queue, and return what was in it."""
        items = self.queue.take_all()
        await self.emit(QueueChanged())
        return items

    def send_next(self) -> bool:
        """Begin with the next item of the queue. Returns False if it is empty or must wait."""
        if self.busy or not self.queue or self.unsettled_model:
            return False
        first = self.queue.pop()

        async def send(text: str) -> None:
            await self.candidates.close()
            await self.emit(QueueChanged())
            await self._send(text)

        async def run(command: Callable[[], Awaitable[None]]) -> None:
            try:
                await self.emit(QueueChanged())
                await command()
            finally:
                self._running_command = False
            self.send_next()  # if it requested no reply

        if isinstance(first, str):
            self.prepare("queued", partial(send, first))
        else:
            self._running_command = True
            self._services.background.start("queued", run, first.run)
        return True

    # ── helpers ──────────────────────────────────────────────────────────────────────────────────

    async def _send(self, text: str) -> None:
        await self._add_prompt(text)
        await self.runs.reply(self.conversation.add_turn("assistant"))

    async def _add_prompt(self, text: str) -> Turn:
        """Add a prompt at the end, or beside the prompt that is being edited."""
        from spnl_tui.conversations.titles import title_of

        conversation, edited = self.conversation, await self.selection.take_edited()
        content = content_of(text)
        if edited:
            turn = conversation.branch_from(edited.id, content)
        else:
            turn = conversation.add_turn("user", content)
        await self.emit(PromptAdded(turn, edited.id if edited else ""))
        if conversation.title_is_automatic and not conversation.title:
            conversation.title = title_of(conversation)
            await self.emit(TitleChanged())
        return turn

    async def _replace_reply(self, text: str) -> bool:
        """Put this text beside the reply that is being edited. Returns False if none is."""
        edited = self.selection.edited_turn
        if edited is None or edited.role != "assistant":
            return False
        await self.selection.take_edited()
        new = self.conversation.branch_from(edited.id, text)
        await self.emit(BranchChanged(edited.id, new.id))
        await self._services.store.save_turn(self.conversation, new)
        return True

    async def _uncover_prompt(self) -> Turn:
        """Return the last prompt, and take the reply to it off the active branch's end."""
        path = self.conversation.path()
        if path and path[-1].role == "assistant":
            await self.emit(TurnsReplaced(path[-1].id))
            path = path[:-1]
        if not path or path[-1].role != "user":
            raise CommandError("There is no prompt yet", "Send a prompt first, or type it after the command.")
        return path[-1]
