"""A reply asked of the engine: what is sent of a branch, and what is kept of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from spnl_tui.conversations.context import Budget, ContextPlan, request_messages
from spnl_tui.conversations.conversation import Conversation, Provenance, Turn
from spnl_tui.conversations.meter import TokenMeter
from spnl_tui.engine.protocol import Event, RequestFailed, RequestQueued
from spnl_tui.models.local import LocalModel
from spnl_tui.models.request import Message, Sampling
from spnl_tui.settings import Settings
from spnl_tui.ui.provenance import provenance_of_request, with_outcome
from spnl_tui.ui.replying import ReplySoFar
from spnl_tui.ui.services import ChatEngine

if TYPE_CHECKING:
    from spnl_tui.engine.service import LoadedModel


@dataclass(frozen=True, slots=True, kw_only=True)
class Variation:
    """What is different about a request that is one of several for one prompt."""

    model: LocalModel | None = None
    """Asked instead of the model in use."""
    sampling: Sampling | None = None
    """Instead of the conversation's."""
    messages: tuple[Message, ...] | None = None
    """Sent instead of the branch."""
    turns: asyncio.Lock | None = None
    """Held while it is asked: those that share it are asked one after the other."""


class Asking:
    """One request for a reply to the branch above an empty turn.

    When the branch does not fit into the model's context, the policy of the settings decides what is sent.
    The conversation itself is never cut.
    """

    def __init__(
        self,
        engine: ChatEngine,
        meter: TokenMeter,
        settings: Settings,
        model: LocalModel,
        conversation: Conversation,
        turn: Turn,
        variation: Variation | None = None,
    ) -> None:
        self._variation = variation or Variation()
        self._engine = engine
        self._meter = meter
        self._settings = settings
        self._model = model
        self._conversation = conversation
        self._turn_id = turn.id
        self._branch = conversation.path_to(turn.id)[:-1]
        self._messages: tuple[Message, ...] = ()
        self._provenance: Provenance | None = None

    @property
    def prompt(self) -> Turn | None:
        """What is answered."""
        return self._branch[-1] if self._branch else None

    async def events(
        self, remember_from: Callable[[str | None], None] = lambda turn_id: None
    ) -> AsyncGenerator[Event, None]:
        """The engine's events: of the load, if the model is not loaded, and of the reply.

        `remember_from` is told with which turn the model's memory begins; None: with the first.
        """
        if (turns := self._variation.turns) is not None:
            yield RequestQueued(id=0, ahead=0)
            await turns.acquire()
        try:
            async with aclosing(self._events(remember_from)) as events:
                async for event in events:
                    yield event
        finally:
            if turns is not None:
                turns.release()

    async def _events(self, remember_from: Callable[[str | None], None]) -> AsyncGenerator[Event, None]:
        given = self._variation.messages
        plan = None if given else await self._plan()
        if plan is None and not given:
            # What fits only the model's own tokenizer can tell. The request would load the model anyway.
            async with aclosing(self._engine.load(self._model)) as events:
                async for event in events:
                    yield event
                    if isinstance(event, RequestFailed):
                        return
            plan = await self._plan()
        if plan is not None and plan.action != "send" and (refusal := _refusal(plan)) is not None:
            yield refusal
            return
        conversation = self._conversation
        sampling = self._variation.sampling or conversation.sampling
        sent = self._branch if plan is None else plan.sent
        if plan is not None and plan.left_out:
            sampling = replace(sampling, max_tokens=max(1, plan.max_tokens))
        if plan is not None:
            remember_from(plan.marker)
        self._messages = given or request_messages(conversation.system_prompt, sent)
        thinking = self._settings.chat.thinking
        self._provenance = provenance_of_request(
            self._model,
            self._messages,
            sampling,
            thinking=thinking,
            system_prompt=conversation.system_prompt,
            left_out=() if plan is None else tuple(turn.id for turn in plan.left_out),
            started_at=time.time(),
        )
        reply = self._engine.generate_chat(self._model, self._messages, sampling, thinking=thinking)
        async with aclosing(reply) as events:
            async for event in events:
                yield event

    def keep(self, so_far: ReplySoFar) -> Turn:
        """Put what has come into the conversation; it goes on."""
        turn = replace(self._conversation[self._turn_id], text=so_far.text, reasoning=so_far.reasoning)
        self._conversation.update_turn(turn)
        return turn

    def finish(self, so_far: ReplySoFar) -> Turn:
        """The reply has ended; one that was broken off counts as cancelled."""
        self.keep(so_far)
        provenance = self._provenance
        if provenance is not None:
            provenance = with_outcome(provenance, so_far, self._loaded())
        return self._conversation.finish(
            self._turn_id, so_far.finish_reason or "cancelled", provenance=provenance, error=so_far.error
        )

    async def learn(self, so_far: ReplySoFar) -> None:
        """Correct the meter by the engine's own count."""
        if so_far.usage is not None and so_far.usage.prompt_tokens and self._messages:
            await self._meter.observe(self._messages, so_far.usage.prompt_tokens)

    async def _plan(self) -> ContextPlan | None:
        """What to send; None while that cannot be told: the model is not loaded, or its limit is unknown."""
        loaded = self._loaded()
        if loaded is None or loaded.context_length is None:
            return None
        return await self._meter.plan(
            self._branch,
            Budget(loaded.context_length, self._conversation.sampling.max_tokens),
            system_prompt=self._conversation.system_prompt,
            policy="ask" if self._settings.context.policy == "ask" else "drop_oldest",
        )

    def _loaded(self) -> LoadedModel | None:
        return next((each for each in self._engine.loaded() if each.model == self._model), None)


def memory_begins(path: Sequence[Turn]) -> str | None:
    """The first turn of a branch that its last reply knew of, where there are older ones that it did not."""
    last = next((turn.provenance for turn in reversed(path) if turn.provenance is not None), None)
    left_out = set(last.left_out) if last is not None else set()
    places = [place for place, turn in enumerate(path) if turn.id in left_out]
    return path[places[-1] + 1].id if places and places[-1] + 1 < len(path) else None


def _refusal(plan: ContextPlan) -> RequestFailed | None:
    """Why nothing is sent. What is too long even so is refused by the engine, which counts exactly."""
    if plan.action != "ask":
        return None
    count = len(plan.left_out)
    return RequestFailed(
        id=0,
        kind="context",
        title="The context is full",
        message=f"To answer this, the model would have to forget the {count} oldest turns. Nothing was sent.",
        hint='Begin a new conversation, or set policy = "drop_oldest" in [context] of the configuration.',
    )
