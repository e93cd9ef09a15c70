"""The replies in progress in one conversation, and the one path that streams a reply."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing
from typing import TYPE_CHECKING

from spnl_tui.chat.events import (
    MemoryChanged,
    PromptSaved,
    ReplyEnded,
    ReplyProgressed,
    ReplySaved,
    ReplyStarted,
    RunsChanged,
    RunsEnded,
    SessionEvent,
)

if TYPE_CHECKING:
    from spnl_tui.chat.reply import ReplyRun
    from spnl_tui.chat.request import ReplyRequest
    from spnl_tui.chat.services import ChatServices
    from spnl_tui.chat.shared_request import Variation
    from spnl_tui.chat.status import Activity
    from spnl_tui.conversations.conversation import Conversation
    from spnl_tui.conversations.memory import Memory
    from spnl_tui.conversations.turn import Turn
    from spnl_tui.engine.backend import ModelHandle
    from spnl_tui.engine.reply import Reply
    from spnl_tui.tools.agent import Ask


class Runs:
    """The replies in progress in one conversation."""

    def __init__(
        self,
        conversation: Conversation,
        services: ChatServices,
        emit: Callable[[SessionEvent], Awaitable[None]],
        ask: Ask,
    ) -> None:
        """`ask` asks the user about a call of a tool."""
        self._conversation = conversation
        self._services = services
        self._emit = emit
        self._ask = ask
        self._runs: dict[str, ReplyRun] = {}

    def __len__(self) -> int:
        return len(self._runs)

    def __iter__(self) -> Iterator[str]:
        return iter(self._runs)

    def get(self, key: str) -> ReplyRun | None:
        """Return the run that makes the turn with this id, or None."""
        return self._runs.get(key)

    @property
    def main(self) -> ReplyRun | None:
        """The run to show: the first that is not waiting in the queue."""
        runs = self._runs.values()
        working = (run for run in runs if run.activity.state not in ("idle", "queued"))
        return next(working, next(iter(runs), None))

    async def begin(self, key: str, model: ModelHandle) -> ReplyRun:
        """Create a run for this model. `key` is the id of a turn, or another key for what is not a turn."""
        from spnl_tui.chat.reply import ReplyRun

        services = self._services
        activity = services.status.request_activity(
            model.name, services.model.context_length(model), model.host
        )
        run = self._runs[key] = ReplyRun(
            activity, services.clock, stop_repetition=services.settings.chat.stop_repetition
        )
        await self._emit(RunsChanged())
        return run

    async def end(self, key: str) -> None:
        """Remove a run that has ended."""
        run = self._runs.pop(key)
        for other in self._runs.values():
            if other.activity.model == run.activity.model:  # it answers the same prompt
                length, prompt = run.activity.context_length, run.prompt_tokens
                other.learn(context_length=length, context_used=prompt or other.activity.context_used)
        await self._emit(RunsChanged() if self._runs else RunsEnded(run.activity))

    async def stop(self, *, but: str | None = None) -> None:
        """Stop all runs but this one, and wait until their partial replies are saved."""
        stopped = [run for key, run in self._runs.items() if key != but]
        for run in stopped:
            run.stop()
        for run in stopped:
            await run.ended.wait()

    async def reply(self, turn: Turn, variation: Variation | None = None) -> None:
        """Let the model fill this turn, which may already hold the beginning of the reply."""
        from spnl_tui.chat.request import ReplyRequest

        services = self._services
        model = (variation and variation.model) or services.model.model
        assert model is not None
        meter = services.meters.of(model)
        # Candidates have no tools: what one of them does would change the world for the others.
        agent = services.tools.agent(self._conversation.id, self._ask) if variation is None else None
        request = ReplyRequest(
            services.engine, meter, services.settings, model, self._conversation, turn, variation, agent
        )
        run = await self.begin(turn.id, model)
        services.background.start("reply", self._stream, turn, request, run)

    async def _stream(self, turn: Turn, request: ReplyRequest, run: ReplyRun) -> None:
        """Stream a reply into the conversation. Every reply takes this path, whatever asked for it."""
        from spnl_tui.chat.recording import Recording

        conversation, store = self._conversation, self._services.store
        recording = Recording(store.report)

        async def draw(reply: Reply, activity: Activity) -> None:
            partial = request.keep(reply)
            if activity.state != "queued":
                recording.changed()
            await self._emit(ReplyProgressed(partial, activity))

        async def remember(memory: Memory) -> None:
            await self._emit(MemoryChanged(memory))

        async def may_leave_out(count: int) -> bool:
            return await self._services.may_leave_out(conversation, count)

        try:
            await self._emit(ReplyStarted(turn, request.prompt.text if request.prompt else ""))
            if request.prompt is not None:
                # What the user wrote is kept, whatever becomes of the reply.
                await store.save_turn(conversation, request.prompt)
                await self._emit(PromptSaved())
            recording = await store.record(conversation, turn.id)
            async with aclosing(request.events(remember, may_leave_out)) as events:
                try:
                    await run.run(events, draw)
                    # The user can continue before the engine stops: ending a prefill takes it a while.
                    done = request.finish(run.reply)
                    await self.end(turn.id)
                    await self._emit(ReplyEnded(done, run.reply.too_long))
                    await recording.finish()
                    run.ended.set()
                    await request.learn(run.reply)
                    await self._emit(ReplySaved(conversation[turn.id]))
                finally:
                    await run.close()
        finally:
            if turn.id in conversation and conversation[turn.id].streaming:  # the program ends
                done = request.finish(run.reply)
                self._runs.pop(turn.id, None)
                # A candidate may have got its turn only because those before it were ended.
                empty = not (done.text or done.reasoning) and len(conversation.siblings(turn.id)) > 1
                if run.activity.state != "queued" and not empty:
                    await recording.finish()
            run.ended.set()
