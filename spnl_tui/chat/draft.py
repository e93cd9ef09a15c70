"""Work before a prompt is sent: counting the branch and the draft, and letting the model read ahead.

Reading ahead pays off where much is new to the model: a conversation of another day, a long prompt, a
pasted page.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

from spnl_tui.chat.events import (
    BranchChanged,
    CandidateChosen,
    RunsEnded,
    SessionEvent,
    SessionShown,
    TreeChanged,
    VerdictGiven,
)
from spnl_tui.chat.model import ModelLoaded
from spnl_tui.chat.status import reported_tokens
from spnl_tui.models.parts import as_content

if TYPE_CHECKING:
    from spnl_tui.chat.model import ModelEvent
    from spnl_tui.chat.services import ChatServices
    from spnl_tui.chat.session import ChatSession
    from spnl_tui.chat.sessions import Sessions
    from spnl_tui.conversations.conversation import Conversation
    from spnl_tui.engine.backend import ModelHandle
    from spnl_tui.engine.prefetch import Prefetch
    from spnl_tui.models.request import Message

_TYPING_S = 0.25
"""Seconds after the last key before the draft is counted."""
_REST_S = 0.7
"""Seconds after the last key before the draft is read."""
_BRANCH_EVENTS = (SessionShown, BranchChanged, TreeChanged, RunsEnded, CandidateChosen, VerdictGiven)
"""After these the visible branch may use another part of the context."""
_TEMPLATE_TOKENS = 24
"""The least that a chat template adds to a prompt."""


class DraftTokens:
    """Counts for the status line and the transcript."""

    def __init__(
        self,
        sessions: Sessions,
        services: ChatServices,
        draft: Callable[[], Awaitable[str]],
        typed: Callable[[], bool],
    ) -> None:
        """`draft` returns the prompt as it would be sent now; `typed` returns True if there is any."""
        self._sessions = sessions
        self._services = services
        self._draft = draft
        self._typed = typed

    def update(self) -> None:
        """Count the draft again, once typing rests."""

        async def count() -> None:
            if self._typed():
                await asyncio.sleep(_TYPING_S)
            await self._count()

        self._services.background.restart("meter", count)

    async def _count(self) -> None:
        services, text = self._services, await self._draft()
        model = services.model.model
        count = await services.meters.of(model).count_unsent(text) if model and text.strip() else 0
        if count is not None and count != services.status.activity.unsent:
            if (run := self._sessions.visible.runs.main) is not None:
                run.learn(unsent=count)
            services.status.draft_counted(count)

    async def count_texts(self, texts: Sequence[str]) -> tuple[int, ...] | None:
        """Return the tokens of each text; None while they cannot be counted."""
        model = self._services.model.model
        return await self._services.meters.of(model).count_texts(texts) if model is not None else None


class BranchTokens:
    """Counts how much of the context the visible branch uses, for the status line."""

    def __init__(self, sessions: Sessions, services: ChatServices) -> None:
        self._sessions = sessions
        self._services = services
        sessions.subscribe(self._on_event)
        services.model.subscribe(self._on_model_event)

    async def _on_event(self, session: ChatSession, event: SessionEvent) -> None:
        if session is self._sessions.visible and isinstance(event, _BRANCH_EVENTS):
            self.update()

    async def _on_model_event(self, event: ModelEvent) -> None:
        if isinstance(event, ModelLoaded):
            self.update()

    def update(self) -> None:
        """Count the branch again."""
        self._services.background.restart("branch", self._count)

    async def _count(self) -> None:
        session, model = self._sessions.visible, self._services.model.model
        if model is None or session.replying:
            return  # the reply in progress has figures of its own
        used = await self._used(session.conversation, model)
        if session is self._sessions.visible and not session.replying:
            path = session.conversation.path()
            estimated = self._services.status.activity.estimates and reported_tokens(path, model.name) is None
            self._services.status.branch_counted(used, estimated=estimated)

    async def _used(self, conversation: Conversation, model: ModelHandle) -> int | None:
        """Return the model's own figure, else a count of what was sent and came back, to within a few."""
        from spnl_tui.conversations.context import request_messages
        from spnl_tui.conversations.turn import Provenance
        from spnl_tui.engine.backend import loaded_model

        path = conversation.path()
        if not path:
            return None
        if (reported := reported_tokens(path, model.name)) is not None:
            return reported
        meter, loaded = self._services.meters.of(model), loaded_model(self._services.engine, model)
        if loaded is not None:
            meter.begin_with(loaded.template_tokens)
        last = next((turn.provenance for turn in reversed(path) if turn.provenance), Provenance())
        sent = [turn for turn in path if turn.id not in last.left_out]
        return await meter.count_messages(request_messages(conversation.system_prompt, sent, last.summary))


class DraftPrefetch:
    """Lets the model read the visible conversation and its draft."""

    def __init__(
        self,
        sessions: Sessions,
        services: ChatServices,
        draft: Callable[[], Awaitable[str]],
        typed: Callable[[], bool],
    ) -> None:
        """`draft` returns the prompt as it would be sent now; `typed` returns True if there is any."""
        self._sessions = sessions
        self._services = services
        self._draft = draft
        self._typed = typed
        self._reading: Prefetch | None = None
        self._model: ModelHandle | None = None
        """The model that reads."""
        sessions.subscribe(self._on_event)
        services.model.subscribe(self._on_model_event)

    async def _on_event(self, session: ChatSession, event: SessionEvent) -> None:
        if isinstance(event, SessionShown):
            self.update()

    async def _on_model_event(self, event: ModelEvent) -> None:
        if isinstance(event, ModelLoaded):
            self.update()

    def update(self) -> None:
        """Read the draft, which has changed, or which the model now has time for."""
        if self._services.settings.chat.read_ahead and (self._reading is not None or self._typed()):
            self._services.background.restart("ahead", self._read)

    async def _read(self) -> None:
        from spnl_tui.engine.prefetch import Prefetch

        await asyncio.sleep(_REST_S)
        model = self._services.model.model
        messages = await self._messages(model) if model is not None else ()
        if (reading := self._reading) is not None:
            if model != self._model or not reading.serves(messages):
                reading.stop()
            await self._end(reading)
        if model is not None and messages:
            sampling = self._sessions.visible.conversation.sampling
            tools = self._services.tools.offered(self._sessions.visible.conversation.id)
            reading = self._reading = Prefetch(messages, sampling, self._progressed, tools)
            self._model = model
            self._services.engine.prefetch(model, reading)
            await self._end(reading)

    async def _messages(self, model: ModelHandle) -> tuple[Message, ...]:
        """Return what will be sent, except for the word that is being typed; empty if that is not known."""
        from spnl_tui.conversations.context import Budget, request_messages
        from spnl_tui.conversations.turn import Turn
        from spnl_tui.engine.backend import loaded_model

        services, session = self._services, self._sessions.visible
        draft = await self._draft()
        path = session.selection.answered
        if not draft or path is None or session.busy or session.queue:
            return ()
        if services.engine.idle_unloaded(model):
            services.background.start("model", services.model.load)  # which leads back here
            return ()
        meter, loaded = services.meters.of(model), loaded_model(services.engine, model)
        tokens = await meter.count_unsent(draft)
        if loaded is None or loaded.context_length is None or tokens is None:
            return ()
        conversation = session.conversation
        budget = Budget(loaded.context_length - tokens - _TEMPLATE_TOKENS, conversation.sampling.max_tokens)
        plan = await meter.plan(
            path,
            budget,
            system_prompt=conversation.system_prompt,
            policy=services.settings.context.policy,
        )
        if plan is None or plan.action != "send" or plan.left_out:
            return ()
        prompt = Turn(id="", parent=None, role="user", content=as_content(_without_last_word(draft)))
        return request_messages(conversation.system_prompt, (*plan.sent, prompt))

    def _progressed(self, done: int, total: int) -> None:
        wanted = self._reading is not None and not self._reading.stopped.is_set()
        if wanted and not self._sessions.visible.replying:
            self._services.status.prefetch_progressed(done, total)

    async def _end(self, reading: Prefetch) -> None:
        await reading.ended.wait()
        self._reading = None
        self._services.status.prefetch_ended()


def _without_last_word(text: str) -> str:
    """Return the text without its last word, which may continue: tokens rarely extend beyond a word."""
    text = text.rstrip()
    return text[: max(text.rfind(each) for each in " \n\t") + 1].rstrip()
