"""Counts the tokens of requests with the model's own tokenizer.

The counts of texts are exact. The tokens that the chat template adds are measured with requests for one token
(`learn_overhead`) or given when the model is loaded (`TokenMeter.begin_with`), and corrected after every
reply (`TokenMeter.observe`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from typing import TypeAlias

from spnl_tui.conversations.context import (
    Budget,
    ContextPlan,
    Policy,
    TemplateOverhead,
    plan_context,
    with_summary,
)
from spnl_tui.conversations.turn import Provenance, Turn
from spnl_tui.models.image_marks import marked_text
from spnl_tui.models.request import Message

CountTokens: TypeAlias = Callable[[Sequence[str]], Awaitable[tuple[int, ...] | None]]
"""Counts the tokens of each text; None while the model is not loaded."""
AskPromptTokens: TypeAlias = Callable[[tuple[Message, ...]], Awaitable[int | None]]
"""Returns the `prompt_tokens` that the engine reports for these messages; None if the request fails."""

_REMEMBERED = 20_000
"""The most counts that are cached. The keys are the turns' own texts, not copies."""


class TokenMeter:
    """Counts tokens for one model, each text once."""

    def __init__(self, count_tokens: CountTokens, overhead: TemplateOverhead | None = None) -> None:
        self.overhead = overhead or TemplateOverhead()
        self._count_tokens = count_tokens
        self._counts: dict[str, int] = {"": 0}
        self._observed: dict[bool, tuple[int, int]] = {}
        """With and without a system prompt: the number of prompts in the last request, and the tokens added
        by the template."""

    async def count_unsent(self, text: str) -> int | None:
        """Return the tokens of a text that is still being typed; None while the model is not loaded."""
        counts = await self._count_tokens([text])
        return None if counts is None else counts[0]

    async def count_texts(self, texts: Sequence[str]) -> tuple[int, ...] | None:
        """Return the tokens of each text without the template; None while the model is not loaded."""
        unknown = list(dict.fromkeys(text for text in texts if text not in self._counts))
        if unknown:
            counts = await self._count_tokens(unknown)
            if counts is None:
                return None
            if len(self._counts) + len(unknown) > _REMEMBERED:
                self._counts = {text: self._counts[text] for text in texts if text in self._counts}
                self._counts[""] = 0
            self._counts.update(zip(unknown, counts, strict=True))
        return tuple(self._counts[text] for text in texts)

    async def count_messages(self, messages: Sequence[Message]) -> int | None:
        """Return the prompt tokens of a request; None while the model is not loaded."""
        counts = await self.count_texts([message.model_text for message in messages])
        return None if counts is None else sum(counts) + self.overhead.of_messages(messages)

    def begin_with(self, template_tokens: int | None) -> None:
        """Set the template's tokens for one prompt, if they are known before the first reply."""
        if template_tokens is not None and False not in self._observed:
            self.overhead = replace(self.overhead, first=template_tokens)

    async def observe(self, messages: Sequence[Message], prompt_tokens: int) -> None:
        """Learn from an answered request, for which the engine reported this many prompt tokens."""
        counted = await self.count_messages(messages)
        if counted is None or not messages:
            return
        system = messages[0].role == "system"
        prompts = sum(message.role == "user" for message in messages)
        template = self.overhead.of_messages(messages) + prompt_tokens - counted
        pair = self.overhead.pair
        before = self._observed.get(system)
        self._observed[system] = (prompts, template)
        if before is not None and before[0] != prompts:
            # Two requests with different numbers of prompts show the tokens that each prompt adds.
            pair = max(0, round((template - before[1]) / (prompts - before[0])))
        first = template - pair * max(0, prompts - 1)
        self.overhead = (
            replace(self.overhead, first_with_system=first, pair=pair)
            if system
            else replace(self.overhead, first=first, pair=pair)
        )

    async def plan(
        self,
        turns: Sequence[Turn],
        budget: Budget,
        *,
        system_prompt: str = "",
        policy: Policy = "drop_oldest",
        left_out: Iterable[str] | None = None,
        summary: str = "",
    ) -> ContextPlan | None:
        """Plan the request for a reply to the last of these turns; None while the model is not loaded.

        By default, turns omitted from the last request stay omitted, and its summary replaces them. After a
        plan with the action "ask" or "summarize", plan again with the ids that it omitted and the summary.
        """
        if left_out is None:
            last = next((turn.provenance for turn in reversed(turns) if turn.provenance), Provenance())
            left_out, summary = last.left_out, last.summary
        left_out = tuple(left_out)
        counts = await self.count_texts(
            [with_summary(system_prompt, summary), *(marked_text(turn.content) for turn in turns)]
        )
        if counts is None:
            return None
        return plan_context(
            turns,
            {turn.id: count for turn, count in zip(turns, counts[1:], strict=True)},
            budget,
            system_tokens=counts[0],
            policy=policy,
            overhead=self.overhead,
            left_out_before=left_out,
            summarized=left_out if summary else (),
        )


async def learn_overhead(ask: AskPromptTokens, count_tokens: CountTokens) -> TemplateOverhead | None:
    """Measure the tokens that the chat template adds, with three requests for one token; None if they fail.

    The third request fails for templates without a system role. Then a system prompt is assumed to add as
    many tokens as a prompt.
    """
    word = "word"
    counts = await count_tokens([word])
    user, assistant = Message("user", word), Message("assistant", word)
    one = await ask((user,))
    two = await ask((user, assistant, user))
    if counts is None or one is None or two is None:
        return None
    text = counts[0]
    first, pair = one - text, two - one - 2 * text
    system = await ask((Message("system", word), user))
    return TemplateOverhead(
        first=first, pair=pair, first_with_system=first + pair // 2 if system is None else system - 2 * text
    )
