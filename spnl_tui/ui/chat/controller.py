"""Replies: several at once in one conversation, and in several conversations."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING

from spnl_tui.chat.recording import Recording
from spnl_tui.chat.session import LiveConversations
from spnl_tui.chat.titles import TitleWriter
from spnl_tui.chat.tokens import TokenMeters
from spnl_tui.conversations.conversation import Conversation
from spnl_tui.conversations.turn import Turn
from spnl_tui.settings import Settings
from spnl_tui.text import first_line, plain
from spnl_tui.ui import messages
from spnl_tui.ui.services import Services
from spnl_tui.ui.widgets.background import start

if TYPE_CHECKING:
    from spnl_tui.chat.reply import ReplyRun, ReplySoFar
    from spnl_tui.chat.request import ReplyRequest, Variation
    from spnl_tui.chat.status import Activity
    from spnl_tui.conversations.memory import Memory
    from spnl_tui.engine.backend import ModelHandle
    from spnl_tui.ui.chat.turns import Reply
    from spnl_tui.ui.main_screen import MainScreen


class Answering:
    """Asks for replies and follows them. A reply goes on when another conversation is shown."""

    def __init__(
        self,
        screen: MainScreen,
        live: LiveConversations,
        meters: TokenMeters,
        services: Services,
        settings: Settings,
    ) -> None:
        self._screen = screen
        self._live = live
        self._meters = meters
        self._services = services
        self._settings = settings
        self._transcript = screen.chat.transcript
        self.naming = TitleWriter(screen, services.engine) if settings.chat.automatic_titles else None

    @property
    def run(self) -> ReplyRun | None:
        """The reply that is being made in the conversation that is seen."""
        return self._live.seen.run

    def run_of(self, turn_id: str) -> ReplyRun | None:
        """The run that makes this turn of the conversation that is seen."""
        return self._live.seen.runs.get(turn_id)

    def learn(self, **figures: int | None) -> None:
        """Figures of the activity became known on the side: `context_length`, `unsent`."""
        if (run := self.run) is not None:
            run.learn(**figures)

    def reply(self, conversation: Conversation, turn: Turn, variation: Variation | None = None) -> None:
        """Have this turn filled by the model, which goes on with what it holds already."""
        from spnl_tui.chat.reply import ReplyRun
        from spnl_tui.chat.request import ReplyRequest

        model = (variation and variation.model) or self._screen.current_model.model
        assert model is not None
        if self.naming is not None:
            self.naming.leave()
        meter = self._meters.of(model)
        asking = ReplyRequest(
            self._services.engine, meter, self._settings, model, conversation, turn, variation
        )
        run = ReplyRun(self.activity_for(model), self._services.clock)
        self.begin(conversation, turn.id, run)
        start(self._screen, "reply", self._reply, conversation, turn, asking, run)

    def shown(self) -> None:
        """Another conversation is seen now; go on showing its reply, if one is being made."""
        self._live.forget_idle()
        if (run := self.run) is not None:
            self._screen.status.reply_progressed(run.activity)

    async def stop(self, conversation_id: str, *, but: str = "") -> None:
        """Stop what is being made in this conversation, but this turn; it is kept where it belongs."""
        if (each := self._live.get(conversation_id)) is None:
            return
        stopped = [run for turn_id, run in each.runs.items() if turn_id != but]
        for run in stopped:
            run.stop()
        for run in stopped:
            await run.ended.wait()

    def activity_for(self, model: ModelHandle) -> Activity:
        """Return the activity with which a request to this model begins."""
        return self._screen.status.request_activity(model.name, self._context_length(model))

    def begin(self, conversation: Conversation, key: str, run: ReplyRun) -> None:
        """Something is being made in this conversation: a turn of this id, or a verdict."""
        self._live.of(conversation).runs[key] = run
        self.show_activity(conversation)
        self._screen.refresh_bindings()

    def end(self, conversation: Conversation, key: str) -> None:
        """It is made."""
        each = self._live.of(conversation)
        run = each.runs.pop(key)
        for other in each.runs.values():
            if other.activity.model == run.activity.model:  # it is for the same prompt
                length, prompt = run.activity.context_length, run.prompt_tokens
                other.learn(context_length=length, context_used=prompt or other.activity.context_used)
        if self._live.is_seen(conversation) and not each.runs:
            self._screen.status.reply_progressed(self._at_rest(conversation, run.activity))
            self._screen.current_model.take_up_chosen()
        self.show_activity(conversation)
        self._screen.refresh_bindings()

    def _at_rest(self, conversation: Conversation, activity: Activity) -> Activity:
        """The same, and of the model in use, where another one was asked."""
        model = self._screen.current_model.model
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

    def _context_length(self, model: ModelHandle) -> int | None:
        """As it is loaded; None: it is not."""
        from spnl_tui.engine.backend import loaded_model

        loaded = loaded_model(self._services.engine, model)
        return None if loaded is None else loaded.context_length

    def show_activity(self, conversation: Conversation) -> None:
        """Show what is done for this conversation, if it is seen."""
        if self._live.is_seen(conversation) and (run := self._live.of(conversation).run) is not None:
            self._screen.status.reply_progressed(run.activity)

    def _widget(self, turn_id: str) -> Reply | None:
        return self._screen.candidates.widget(turn_id) or self._transcript.reply(turn_id)

    async def _reply(
        self, conversation: Conversation, turn: Turn, asking: ReplyRequest, run: ReplyRun
    ) -> None:
        """Have this turn filled. The one streaming path, whatever asked for the reply."""
        recording = Recording(self._screen)

        async def draw(so_far: ReplySoFar, activity: Activity) -> None:
            now = asking.keep(so_far)
            if activity.state != "queued":
                recording.changed()
            self.show_activity(conversation)
            if self._live.is_seen(conversation):
                if (widget := self._widget(turn.id)) is not None:
                    await widget.show(now)
                self._screen.candidates.progressed(now, activity)

        def remember(memory: Memory) -> None:
            if self._live.is_seen(conversation):
                self._transcript.remember_from(*memory)

        async def may_forget(count: int) -> bool:
            return self._live.is_seen(conversation) and await self._may_forget(count)

        try:
            if self._live.is_seen(conversation):
                if self._widget(turn.id) is None:
                    await self._transcript.add(turn)
                self._transcript.follow()
            self._screen.post_message(messages.ReplyBegan(asking.prompt.text if asking.prompt else ""))
            if asking.prompt is not None:
                # What the user wrote is kept, whatever becomes of the reply.
                await self._screen.store.save_turn(conversation, asking.prompt)
                await self._screen.conversations.refresh()
            recording = await self._screen.store.record(conversation, turn.id)
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
                self._live.of(conversation).runs.pop(turn.id, None)
                # A candidate may have got its turn only because those before it were ended.
                empty = not (done.text or done.reasoning) and len(conversation.siblings(turn.id)) > 1
                if run.activity.state != "queued" and not empty:
                    await recording.finish()
            run.ended.set()

    async def _finish(self, conversation: Conversation, done: Turn) -> None:
        self.end(conversation, done.id)
        if self._live.is_seen(conversation):
            if (widget := self._widget(done.id)) is not None:
                await widget.finish(done)
            self._screen.candidates.progressed(done)
        elif conversation.id not in self._live.replying:
            title = "A reply has failed" if done.finish_reason == "failed" else "A reply is complete"
            self._screen.notify(first_line(conversation.title, 60), title=title, markup=False)
        self._screen.post_message(
            messages.ReplyEnded(done.finish_reason or "cancelled", done.text, conversation.id)
        )

    async def _may_forget(self, count: int) -> bool:
        from spnl_tui.ui.dialogs.confirm_screen import ConfirmScreen

        question = f"The context is full. Answer without the {count} oldest turns?"
        why = "They stay in the conversation; only the model does not see them."
        confirm = ConfirmScreen(question, why)
        return await self._screen.app.push_screen_wait(confirm)
