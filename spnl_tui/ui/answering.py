"""Prompts and their replies: one prompt at a time in each conversation, several conversations at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import ExitStack, aclosing, contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ParamSpec

from spnl_tui.conversations.conversation import Conversation
from spnl_tui.conversations.turn import Turn
from spnl_tui.settings import Settings
from spnl_tui.text import first_line, plain
from spnl_tui.ui import messages
from spnl_tui.ui.background import start
from spnl_tui.ui.keeping import Recording
from spnl_tui.ui.meters import Meters
from spnl_tui.ui.naming import Naming
from spnl_tui.ui.services import Services

if TYPE_CHECKING:
    from spnl_tui.conversations.memory import Memory
    from spnl_tui.models.local import LocalModel
    from spnl_tui.ui.activity import Activity
    from spnl_tui.ui.asking import Asking, Variation
    from spnl_tui.ui.main_screen import MainScreen
    from spnl_tui.ui.replying import ReplyRun, ReplySoFar
    from spnl_tui.ui.widgets.turns import Reply

_P = ParamSpec("_P")

_TYPING_S = 0.25
"""So long after the last key what is typed is counted."""


@dataclass(slots=True)
class _Open:
    """A conversation that is seen, or that is replied to out of sight."""

    conversation: Conversation
    runs: dict[str, ReplyRun] = field(default_factory=dict)
    """What is being made, by the id of the turn: one reply, or several candidates."""
    accepted: int = 0
    """Replies that are on their way, and not yet among the runs."""
    queued: str = ""
    """What was sent while there was no way to answer it."""

    @property
    def replying(self) -> bool:
        """Whether a prompt has to wait."""
        return self.accepted > 0 or bool(self.runs)

    @property
    def run(self) -> ReplyRun | None:
        """The one whose activity is shown: the first that does not wait for its turn."""
        runs = self.runs.values()
        working = (run for run in runs if run.activity.state not in ("idle", "queued"))
        return next(working, next(iter(runs), None))


class Answering:
    """Sends prompts and follows replies. A reply goes on when another conversation is shown."""

    def __init__(self, screen: MainScreen, services: Services, settings: Settings) -> None:
        self._screen = screen
        self._services = services
        self._settings = settings
        self._transcript = screen.chat.transcript
        self._prompt = screen.chat.prompt
        self._meters = Meters(services.engine)
        self._open: dict[str, _Open] = {}
        self.naming = Naming(screen, services.engine) if settings.chat.automatic_titles else None

    # ── what is known ────────────────────────────────────────────────────────────────────────────

    @property
    def run(self) -> ReplyRun | None:
        """The reply that is being made in the conversation that is seen."""
        return self._seen().run

    def run_of(self, turn_id: str) -> ReplyRun | None:
        """The run that makes this turn of the conversation that is seen."""
        return self._seen().runs.get(turn_id)

    @property
    def replying(self) -> frozenset[str]:
        """The ids of the conversations in which a reply is being made."""
        return frozenset(id for id, each in self._open.items() if each.replying)

    def live(self, id: str) -> Conversation | None:
        """The conversation of this id in which a reply is made or a prompt waits: the store has neither."""
        each = self._open.get(id)
        return each.conversation if each is not None and (each.replying or each.queued) else None

    def learn(self, **figures: int | None) -> None:
        """Figures of the activity became known on the side: `context_length`, `unsent`."""
        if (run := self.run) is not None:
            run.learn(**figures)

    # ── prompts ──────────────────────────────────────────────────────────────────────────────────

    async def submit(self, text: str) -> None:
        """Send this prompt, or keep it until it can be answered."""
        if await self._screen.branches.take_edited_reply(text):
            return
        seen = self._seen()
        # Where a prompt waits though no reply is made, that one is about to be sent, or to be given back.
        if self._screen.in_use.model is not None and not seen.replying and not seen.queued:
            with self.accepting(seen.conversation):
                await self._ask(seen.conversation, text)
            return
        seen.queued = f"{seen.queued}\n\n{text}".strip()
        await self._transcript.show_queued(seen.queued)

    def send_queued(self) -> bool:
        """Send what was typed, in every conversation, while there was no way to answer it; False: nothing."""
        waiting = [each for each in self._open.values() if each.queued and not each.replying]
        for each in waiting:
            self._send_queued(each)
        return bool(waiting)

    def return_queued(self) -> None:
        """Put what was typed back into the prompt: things have gone otherwise than the user thought."""
        start(self._screen, "queued", self._return_queued)

    def reply_ended(self, conversation_id: str, *, well: bool) -> None:
        """The reply in this conversation has ended: go on with what was typed meanwhile."""
        each = self._open.get(conversation_id)
        if each is None or each.replying:
            return
        if each.queued and well:
            self._send_queued(each)
        elif self._is_seen(each.conversation):
            self.return_queued()
        elif not each.queued:
            del self._open[conversation_id]

    def _send_queued(self, each: _Open) -> None:
        text, each.queued = each.queued, ""

        async def send() -> None:
            if self._is_seen(each.conversation):
                await self._screen.choosing.close()
            if self._is_seen(each.conversation):
                await self._transcript.show_queued(each.queued)
            await self._ask(each.conversation, text)

        self.prepare(each.conversation, "queued", send)

    async def _return_queued(self) -> None:
        seen = self._seen()
        text, seen.queued = seen.queued, ""
        await self._transcript.show_queued("")
        if text:
            self._prompt.give_back(self._screen.prompting.as_typed(text))

    async def _ask(self, conversation: Conversation, text: str) -> None:
        await self.add_prompt(conversation, text)
        self.reply(conversation, conversation.add_turn("assistant"))

    async def add_prompt(self, conversation: Conversation, text: str) -> Turn:
        """Put this prompt at the end of the conversation, or beside the one that it is an edit of."""
        from spnl_tui.conversations.titles import title_of

        if not self._is_seen(conversation):
            turn = conversation.add_turn("user", text)
        else:
            self._screen.chat.show_welcome(False)
            if edited := self._screen.branches.take_edited():
                turn = conversation.branch_from(edited, text)
                await self._screen.show_branch(edited, turn.id)
            else:
                turn = conversation.add_turn("user", text)
                await self._transcript.add(turn)
        if conversation.title_is_automatic and not conversation.title:
            conversation.title = title_of(conversation)
            self._screen.show_title()
        return turn

    # ── replies ──────────────────────────────────────────────────────────────────────────────────

    @contextmanager
    def accepting(self, conversation: Conversation) -> Iterator[None]:
        """In here a reply is on its way: the conversation counts as replying before there is a run."""
        each = self._opened(conversation)
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

    def reply(self, conversation: Conversation, turn: Turn, variation: Variation | None = None) -> None:
        """Have this turn filled by the model, which goes on with what it holds already."""
        from spnl_tui.ui.asking import Asking
        from spnl_tui.ui.replying import ReplyRun

        model = (variation and variation.model) or self._screen.in_use.model
        assert model is not None
        if self.naming is not None:
            self.naming.leave()
        meter = self._meters.of(model)
        asking = Asking(self._services.engine, meter, self._settings, model, conversation, turn, variation)
        run = ReplyRun(self.activity_for(model), self._services.clock)
        self.begin(conversation, turn.id, run)
        start(self._screen, "reply", self._reply, conversation, turn, asking, run)

    async def shown(self) -> None:
        """Another conversation is seen now; go on showing its reply, if one is being made."""
        for id, each in list(self._open.items()):
            if not each.replying and not each.queued:
                del self._open[id]
        seen = self._seen()
        if seen.run is not None:
            self._screen.activity = seen.run.activity
        if seen.replying:
            await self._transcript.show_queued(seen.queued)
        elif seen.queued:
            await self._return_queued()

    async def stop(self, conversation_id: str, *, but: str = "") -> None:
        """Stop what is being made in this conversation, but this turn; it is kept where it belongs."""
        if (each := self._open.get(conversation_id)) is None:
            return
        stopped = [run for turn_id, run in each.runs.items() if turn_id != but]
        for run in stopped:
            run.stop()
        for run in stopped:
            await run.ended.wait()

    def activity_for(self, model: LocalModel) -> Activity:
        """What a request of this model begins with; of the context what is known of it for this model."""
        before, name = self._screen.activity, plain(model.name)
        return replace(
            before,
            model=name,
            context_length=self._context_length(model),
            context_used=before.context_used if before.model == name else None,
            state="idle",
            since=self._services.clock(),
            tokens=0,
            tokens_per_s=None,
            ttft_s=None,
            total=0,
        )

    def begin(self, conversation: Conversation, key: str, run: ReplyRun) -> None:
        """Something is being made in this conversation: a turn of this id, or a verdict."""
        self._opened(conversation).runs[key] = run
        self.show_activity(conversation)
        self._screen.refresh_bindings()

    def end(self, conversation: Conversation, key: str) -> None:
        """It is made."""
        each = self._opened(conversation)
        run = each.runs.pop(key)
        for other in each.runs.values():
            if other.activity.model == run.activity.model:  # it is for the same prompt
                length, prompt = run.activity.context_length, run.prompt_tokens
                other.learn(context_length=length, context_used=prompt or other.activity.context_used)
        if self._is_seen(conversation) and not each.runs:
            self._screen.activity = self._at_rest(conversation, run.activity)
            self._screen.in_use.take_up_chosen()
        self.show_activity(conversation)
        self._screen.refresh_bindings()

    def _at_rest(self, conversation: Conversation, activity: Activity) -> Activity:
        """The same, and of the model in use, where another one was asked."""
        model = self._screen.in_use.model
        if model is None or activity.model == plain(model.name):
            return activity
        last = next(reversed(conversation.path()), None)
        own = last.provenance if last is not None else None
        used = None
        if own is not None and own.model == model.name:
            used = (own.prompt_tokens or 0) + (own.completion_tokens or 0)
        return replace(
            activity,
            model=plain(model.name),
            context_length=self._context_length(model),
            context_used=used or None,
        )

    def _context_length(self, model: LocalModel) -> int | None:
        """As it is loaded; None: it is not."""
        loaded = self._services.engine.loaded()
        return next((each.context_length for each in loaded if each.model == model), None)

    def show_activity(self, conversation: Conversation) -> None:
        """Show what is done for this conversation, if it is seen."""
        if self._is_seen(conversation) and (run := self._opened(conversation).run) is not None:
            self._screen.activity = run.activity

    def _widget(self, turn_id: str) -> Reply | None:
        return self._screen.choosing.widget(turn_id) or self._transcript.reply(turn_id)

    async def _reply(self, conversation: Conversation, turn: Turn, asking: Asking, run: ReplyRun) -> None:
        """Have this turn filled. The one streaming path, whatever asked for the reply."""
        recording = Recording(self._screen)

        async def draw(so_far: ReplySoFar, activity: Activity) -> None:
            now = asking.keep(so_far)
            if activity.state != "queued":
                recording.changed()
            self.show_activity(conversation)
            if self._is_seen(conversation):
                if (widget := self._widget(turn.id)) is not None:
                    await widget.show(now)
                self._screen.choosing.progressed(now, activity)

        def remember(memory: Memory) -> None:
            if self._is_seen(conversation):
                self._transcript.remember_from(*memory)

        async def may_forget(count: int) -> bool:
            return self._is_seen(conversation) and await self._may_forget(count)

        try:
            if self._is_seen(conversation):
                if self._widget(turn.id) is None:
                    await self._transcript.add(turn)
                self._transcript.follow()
            self._screen.post_message(messages.ReplyBegan(asking.prompt.text if asking.prompt else ""))
            if asking.prompt is not None:
                # What the user wrote is kept, whatever becomes of the reply.
                await self._screen.keeping.save_turn(conversation, asking.prompt)
                await self._screen.talks.refresh()
            recording = await self._screen.keeping.record(conversation, turn.id)
            async with aclosing(asking.events(remember, may_forget)) as events:
                try:
                    await run.run(events, draw)
                    # The screen is free before the engine is told: ending a prefill takes it a while.
                    await self._finish(conversation, asking.finish(run.so_far))
                    await recording.finish()
                    run.ended.set()
                    await asking.learn(run.so_far)
                    if self.naming is not None and run.so_far.finish_reason == "stop":
                        self.naming.consider(conversation, conversation[turn.id])
                finally:
                    await run.close()
        finally:
            if turn.id in conversation and conversation[turn.id].streaming:  # the program ends
                done = asking.finish(run.so_far)
                self._opened(conversation).runs.pop(turn.id, None)
                # A candidate may have got its turn only because those before it were ended.
                empty = not (done.text or done.reasoning) and len(conversation.siblings(turn.id)) > 1
                if run.activity.state != "queued" and not empty:
                    await recording.finish()
            run.ended.set()

    async def _finish(self, conversation: Conversation, done: Turn) -> None:
        self.end(conversation, done.id)
        if self._is_seen(conversation):
            if (widget := self._widget(done.id)) is not None:
                await widget.finish(done)
            self._screen.choosing.progressed(done)
        elif conversation.id not in self.replying:
            title = "A reply has failed" if done.finish_reason == "failed" else "A reply is complete"
            self._screen.notify(first_line(conversation.title, 60), title=title, markup=False)
        self._screen.post_message(
            messages.ReplyEnded(done.finish_reason or "cancelled", done.text, conversation.id)
        )

    async def _may_forget(self, count: int) -> bool:
        from spnl_tui.ui.confirm_screen import ConfirmScreen

        question = f"The context is full. Answer without the {count} oldest turns?"
        why = "They stay in the conversation; only the model does not see them."
        confirm = ConfirmScreen(question, why)
        return await self._screen.app.push_screen_wait(confirm)

    # ── the meter ────────────────────────────────────────────────────────────────────────────────

    async def count_unsent(self) -> None:
        """Count what is being typed, once the typing rests."""
        if self.naming is not None:
            self.naming.leave()
        if self._prompt.text:
            await asyncio.sleep(_TYPING_S)
        text, model = await self._screen.prompting.unsent(), self._screen.in_use.model
        count = await self._meters.of(model).count_unsent(text) if model is not None and text.strip() else 0
        if count is not None and count != self._screen.activity.unsent:
            self.learn(unsent=count)
            self._screen.activity = replace(self._screen.activity, unsent=count)

    async def count_texts(self, texts: Sequence[str]) -> tuple[int, ...] | None:
        """Tokens of each text for the model in use; None while they cannot be counted."""
        model = self._screen.in_use.model
        return await self._meters.of(model).count_texts(texts) if model is not None else None

    # ── helpers ──────────────────────────────────────────────────────────────────────────────────

    def _is_seen(self, conversation: Conversation) -> bool:
        return conversation is self._screen.conversation

    def _seen(self) -> _Open:
        return self._opened(self._screen.conversation)

    def _opened(self, conversation: Conversation) -> _Open:
        each = self._open.get(conversation.id)
        if each is None or each.conversation is not conversation:
            each = self._open[conversation.id] = _Open(conversation)
        return each
