"""One request for a reply: which turns of the branch are sent, and how the reply enters the conversation."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING

from spnl_tui.chat.provenance import provenance_of_request, with_outcome
from spnl_tui.chat.reply import Counted, Step, Summarizing
from spnl_tui.chat.shared_request import Prepared, Variation
from spnl_tui.conversations.context import (
    SUMMARY_MAX_TOKENS,
    Budget,
    ContextPlan,
    request_messages,
    summary_messages,
)
from spnl_tui.conversations.conversation import Conversation
from spnl_tui.conversations.memory import Memory
from spnl_tui.conversations.meter import TokenMeter
from spnl_tui.conversations.turn import Provenance, Turn
from spnl_tui.engine.backend import (
    Backend,
    ChatRequest,
    LoadedModel,
    LoadProgressed,
    ModelHandle,
    ReplyChunk,
    RequestFailed,
    RequestQueued,
    loaded_model,
)
from spnl_tui.engine.reply import Reply
from spnl_tui.models.parts import NO_RESULT, ToolResultPart, extend, unanswered_calls
from spnl_tui.models.request import Message, Sampling
from spnl_tui.settings import Settings

if TYPE_CHECKING:
    from spnl_tui.tools.agent import Agent

_PAGE = re.compile(r"^\[(?:page|slide|sheet|chapter) \d+", re.MULTILINE)
"""The marks of pages in the text of a document (media/documents.py)."""
_SUMMARIES = 2
"""Summaries per request. A summary takes room itself, so a second one may be needed; a third never helps."""
_RENEWALS = 3
"""How many times in a row a runner may be replaced just when it must count tokens."""
_AROUND_A_SUMMARY = 80
"""Tokens of a request for a summary besides the turns to be summarized."""


class ReplyRequest:
    """A request for the reply in a turn, or for the rest of a reply that the turn holds the beginning of.

    When the branch does not fit into the model's context, the policy of the settings decides what is sent.
    The conversation itself is never cut.
    """

    def __init__(
        self,
        engine: Backend,
        meter: TokenMeter,
        settings: Settings,
        model: ModelHandle,
        conversation: Conversation,
        turn: Turn,
        variation: Variation | None = None,
        agent: Agent | None = None,
    ) -> None:
        """`agent` runs the calls of tools, if the conversation has any."""
        self._agent = agent
        self._variation = variation or Variation()
        self._engine = engine
        self._meter = meter
        self._settings = settings
        self._model = model
        self._conversation = conversation
        self._turn = turn
        self._begun = bool(turn.content or turn.reasoning)
        self._path = conversation.path_to(turn.id)
        self._branch = self._path if turn.content else self._path[:-1]
        before = next((turn.provenance for turn in reversed(self._path) if turn.provenance), Provenance())
        self._left_out = before.left_out
        self._summary = before.summary if settings.context.policy == "summarize" else ""
        self._prepared: Prepared | None = None

    @property
    def prompt(self) -> Turn | None:
        """The prompt that is answered."""
        return self._path[-2] if len(self._path) > 1 else None

    @property
    def messages(self) -> tuple[Message, ...]:
        """The messages that were sent; empty before that."""
        return () if self._prepared is None else self._prepared.messages

    async def events(
        self,
        remember: Callable[[Memory], Awaitable[None]] | None = None,
        may_forget: Callable[[int], Awaitable[bool]] | None = None,
    ) -> AsyncGenerator[Step, None]:
        """Yield the engine's events of loading, of a summary and of the reply.

        `remember` receives what the model will know. `may_forget` returns True if this many more turns may be
        left out; it is called if the settings say so. Without it they may not.
        """
        shared, candidate = self._variation.shared, self._variation.candidate
        if shared is None:
            async with aclosing(self._alone(remember, may_forget)) as events:
                async for event in events:
                    yield event
            return
        try:
            if shared.door.locked():
                yield RequestQueued(ahead=0)
            async with shared.door:
                if shared.prepared is None:
                    async with aclosing(self._preparations(remember, may_forget)) as steps:
                        async for step in steps:
                            yield step
                    if self._prepared is None:
                        return
                    shared.begin(self._model, self._prepared, thinking=self._settings.chat.thinking)
            self._prepared = shared.prepared
            counted = await self._count()
            async with aclosing(shared.reply(candidate)) as replies:
                async for event in replies:
                    if counted is not None and not isinstance(event, RequestQueued):
                        yield counted
                        counted = None
                    yield event
        finally:
            await shared.leave(candidate)

    async def _alone(
        self,
        remember: Callable[[Memory], Awaitable[None]] | None,
        may_forget: Callable[[int], Awaitable[bool]] | None,
    ) -> AsyncGenerator[Step, None]:
        if (turns := self._variation.turns) is not None:
            yield RequestQueued(ahead=0)
            await turns.acquire()
        try:
            async with aclosing(self._preparations(remember, may_forget)) as steps:
                async for step in steps:
                    yield step
            if self._prepared is None:
                return
            if (counted := await self._count()) is not None:
                yield counted
            request = ChatRequest(
                messages=self._prepared.messages,
                sampling=self._prepared.sampling,
                thinking=self._settings.chat.thinking,
                # After the results of tools the model begins anew.
                continue_reply=self._begun and self._prepared.messages[-1].role != "tool",
                begun_thought="" if self._turn.content else self._turn.reasoning,
            )
            answering = self._agent or self._engine
            async with aclosing(answering.generate(self._model, request)) as events:
                async for event in events:
                    yield event
        finally:
            if turns is not None:
                turns.release()

    async def _preparations(
        self,
        remember: Callable[[Memory], Awaitable[None]] | None,
        may_forget: Callable[[int], Awaitable[bool]] | None,
    ) -> AsyncGenerator[Step, None]:
        """Load the model, summarize and ask the user as needed, then prepare the request.

        If one of these fails, that is the last step, and the request is not prepared.
        """
        given = self._variation.messages
        plan = None if given else await self._plan()
        if plan is None and not given:
            # Only the model's own tokenizer knows what fits. The request would load the model anyway.
            async with aclosing(self._engine.load(self._model)) as events:
                async for event in events:
                    yield event
                    if isinstance(event, RequestFailed):
                        return
            plan = await self._plan_once_loaded()
        summaries = 0
        while plan is not None and plan.action == "summarize" and summaries < _SUMMARIES:
            summaries += 1
            async with aclosing(self._sum_up()) as steps:
                async for step in steps:
                    yield step
                    if isinstance(step, RequestFailed):
                        return
            plan = await self._plan_once_loaded()
            if not self._summary:
                break  # the model wrote no summary, and would not write one at the next attempt
        if plan is not None and plan.action == "ask":
            if may_forget is None or not await may_forget(len(plan.left_out)):
                yield _refusal(len(plan.left_out))
                return
            self._left_out = tuple(turn.id for turn in plan.left_out)
            plan = await self._plan_once_loaded()
        if plan is not None and plan.action == "too_long" and not plan.max_tokens:
            loaded = self._loaded()
            context = plan.limit if loaded is None else loaded.context_length
            yield _too_long(plan.prompt_tokens, context or plan.limit, self.prompt)
            return
        self._prepared = await self._prepare(plan, remember)

    async def _count(self) -> Counted | None:
        """Return the meter's count of the request; None if it would have to ask the engine first."""
        loaded = self._loaded()
        if self._prepared is None or self._variation.messages is not None or loaded is None:
            return None
        self._meter.begin_with(loaded.template_tokens)
        tokens = await self._meter.count_messages(self._prepared.messages)
        return None if tokens is None else Counted(tokens + await self._tool_tokens())

    async def _tool_tokens(self) -> int:
        """Return about how many tokens the list of tools takes in the prompt."""
        if self._agent is None:
            return 0
        counts = await self._meter.count_texts([self._agent.tools_text])
        return counts[0] if counts else 0

    async def _prepare(
        self, plan: ContextPlan | None, remember: Callable[[Memory], Awaitable[None]] | None
    ) -> Prepared:
        conversation, given = self._conversation, self._variation.messages
        own = self._variation.sampling or conversation.sampling
        sampling = self._settings.sampling_for(self._model.recommended_sampling, own)
        sent, left_out = (self._branch, ()) if plan is None else (plan.sent, plan.left_out)
        if plan is not None and (left_out or plan.action == "too_long"):
            sampling = replace(sampling, max_tokens=max(1, plan.max_tokens))
        summary = self._summary if left_out else ""
        if plan is not None and remember is not None:
            await remember(Memory(plan.marker, summary))
        messages = given or request_messages(conversation.system_prompt, sent, summary)
        provenance = provenance_of_request(
            self._model,
            messages,
            sampling,
            thinking=self._settings.chat.thinking,
            system_prompt=conversation.system_prompt,
            left_out=tuple(turn.id for turn in left_out),
            summary=summary,
            begun=len(self._turn.text),
            started_at=time.time(),
        )
        return Prepared(messages, sampling, provenance)

    async def _sum_up(self) -> AsyncGenerator[Step, None]:
        """Let the model summarize the turns about to be left out, together with an earlier summary."""
        loaded = self._loaded()
        if loaded is None or loaded.context_length is None:
            return
        longest = min(SUMMARY_MAX_TOKENS, loaded.context_length // 8)
        plan = await self._plan_once_loaded(kept_free=longest)
        if plan is None:
            return
        texts = [self._summary, *(turn.text for turn in plan.left_out)]
        counts = await self._meter.count_texts(texts)
        if counts is None:
            return
        request = summary_messages(
            plan.left_out,
            {turn.id: count for turn, count in zip(plan.left_out, counts[1:], strict=True)},
            loaded.context_length - longest - counts[0] - _AROUND_A_SUMMARY,
            summary=self._summary,
            summarized=self._left_out,
        )
        reply = Reply()
        yield Summarizing()
        sampling = Sampling(temperature=0, max_tokens=longest)
        # Thinking would use up the tokens for the summary.
        asked = ChatRequest(messages=request, sampling=sampling, thinking=False, ephemeral=True)
        async with aclosing(self._engine.generate(self._model, asked)) as events:
            async for event in events:
                match event:
                    case ReplyChunk():
                        reply.take(event)
                        yield Summarizing(reply.tokens)
                    case RequestFailed():
                        yield replace(event, title=f"The summary failed: {event.title}")
                        return
                    case RequestQueued() | LoadProgressed():
                        yield event
                    case _:
                        pass
        self._summary, self._left_out = reply.text.strip(), tuple(turn.id for turn in plan.left_out)

    def keep(self, reply: Reply) -> Turn:
        """Put the partial reply into the conversation."""
        turn = replace(
            self._conversation[self._turn.id],
            content=extend(self._turn.content, reply.content),
            reasoning=self._turn.reasoning + reply.reasoning,
        )
        self._conversation.update_turn(turn)
        return turn

    def finish(self, reply: Reply) -> Turn:
        """Put the complete reply into the conversation. A reply without an end counts as cancelled."""
        kept = self.keep(reply)
        if unanswered := unanswered_calls(kept.content):
            results = [ToolResultPart(call.id, NO_RESULT, True) for call in unanswered]
            self._conversation.update_turn(replace(kept, content=(*kept.content, *results)))
        provenance = None
        if self._prepared is not None:
            provenance = with_outcome(self._prepared.provenance, reply, self._loaded())
        reason = reply.finish_reason or "cancelled"
        return self._conversation.finish(
            self._turn.id,
            "stop" if reason == "tool_calls" else reason,
            provenance=provenance,
            error=reply.error,
        )

    async def learn(self, reply: Reply) -> None:
        """Correct the meter with the engine's own count."""
        # The cost of a continued reply, or of a later round of calls, says nothing about the template.
        if reply.usage is None or not reply.usage.prompt_tokens or not self.messages:
            return
        if not self._begun and not reply.tool_calls:
            await self._meter.observe(self.messages, reply.usage.prompt_tokens - await self._tool_tokens())

    async def _plan_once_loaded(self, *, kept_free: int = 0) -> ContextPlan | None:
        """Return the plan for a loaded model; None only if its limit is unknown or it cannot be loaded.

        The runner may be replaced by a new one at any time between two requests. Without a plan the whole
        branch would be sent then, and refused for its length.
        """
        for _ in range(_RENEWALS):
            plan = await self._plan(kept_free=kept_free)
            loaded = self._loaded()
            if plan is not None or (loaded is not None and loaded.context_length is None):
                return plan
            async with aclosing(self._engine.load(self._model)) as events:
                if any([isinstance(event, RequestFailed) async for event in events]):
                    return None  # the request will fail for the same reason and report it
        return await self._plan(kept_free=kept_free)

    async def _plan(self, *, kept_free: int = 0) -> ContextPlan | None:
        """Return what to send; None while the model is not loaded or its limit is unknown."""
        loaded = self._loaded()
        if loaded is None or loaded.context_length is None:
            return None
        self._meter.begin_with(loaded.template_tokens)
        return await self._meter.plan(
            self._branch,
            Budget(
                loaded.context_length - kept_free - await self._tool_tokens(),
                self._conversation.sampling.max_tokens,
            ),
            system_prompt=self._conversation.system_prompt,
            policy=self._settings.context.policy,
            left_out=self._left_out,
            summary=self._summary,
        )

    def _loaded(self) -> LoadedModel | None:
        return loaded_model(self._engine, self._model)


def _too_long(tokens: int, context: int, prompt: Turn | None) -> RequestFailed:
    hint = "Shorten the prompt, unpin turns, or raise length in [context] of the configuration."
    if (pages := 0 if prompt is None else len(_PAGE.findall(prompt.text))) > 1:
        fitting = max(1, int(0.7 * pages * context / tokens))
        hint = f"About {fitting} of the {pages} pages fit: choose some, as in @paper.pdf#1-{fitting}."
    return RequestFailed(
        kind="context",
        title="The prompt is longer than the context",
        message=f"The prompt, with pinned turns and the system prompt, has about {tokens:,} tokens; "
        f"the context has {context:,}. Nothing was sent.",
        hint=hint,
    )


def _refusal(count: int) -> RequestFailed:
    """Return why nothing is sent. The engine refuses what is still too long, because it counts exactly."""
    return RequestFailed(
        kind="context",
        title="The context is full",
        message=f"To answer this, the model would have to forget the {count} oldest turns. Nothing was sent.",
        hint='Begin a new conversation, or set policy = "drop_oldest" in [context] of the configuration.',
    )
