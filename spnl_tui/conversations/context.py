"""Chooses the turns to send if a conversation is longer than the context. Token counts come from `meter.py`.

The stored conversation is never cut. The oldest turns that are not pinned are left out, several at once, and
stay left out: while a request begins like the previous one, the engine's prefix cache saves reading it again.
Dropping one pair of turns each time would delay every reply by a whole prefill.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from spnl_tui.conversations.conversation import Conversation
from spnl_tui.conversations.turn import Turn, as_messages
from spnl_tui.models.parts import content_to_plain, cut_text, is_plain
from spnl_tui.models.request import Message

Policy: TypeAlias = Literal["drop_oldest", "summarize", "ask"]
Action: TypeAlias = Literal["send", "summarize", "ask", "too_long"]

ROOM_AFTER_DROPPING = 0.75
"""When turns must be left out, the request is cut to this share of its limit."""
_JOIN_TOKENS = 2
"""The most tokens of the empty line between two joined turns."""


@dataclass(frozen=True, slots=True)
class TemplateOverhead:
    """Tokens that a chat template adds to the texts of a request, measured by `meter.learn_overhead`."""

    first: int = 8
    """Tokens for one prompt and the start of the reply."""
    first_with_system: int = 12
    """Tokens for a system prompt, one prompt and the start of the reply."""
    pair: int = 10
    """Tokens for each further prompt and the reply before it."""

    def of(self, *, system: bool, prompts: int) -> int:
        """Return the template's tokens for this many prompts."""
        return (self.first_with_system if system else self.first) + self.pair * max(0, prompts - 1)

    def of_messages(self, messages: Sequence[Message]) -> int:
        """Return the template's tokens for these messages."""
        return self.of(
            system=bool(messages) and messages[0].role == "system",
            prompts=sum(message.role == "user" for message in messages),
        )


@dataclass(frozen=True, slots=True)
class Budget:
    """The tokens available for a request."""

    context_length: int
    max_tokens: int
    """The longest reply that the user allows, in tokens."""

    @property
    def limit(self) -> int:
        """The longest prompt in tokens. It leaves room for the reply, but at most a quarter of the
        context."""
        return self.context_length - min(self.max_tokens, self.context_length // 4)


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextPlan:
    """The plan for the next reply.

    `action` "send": send `sent`. "summarize": first let the model summarize `left_out`, then plan again with
    the summary. "ask": some turns must be left out, and the user must decide. "too_long": the pinned turns
    and the prompt alone are too long.
    """

    action: Action
    sent: tuple[Turn, ...]
    left_out: tuple[Turn, ...] = ()
    marker: str | None = None
    """The id of the first turn after the omitted ones; None if none are omitted."""
    prompt_tokens: int
    """The approximate number of tokens in `sent`."""
    limit: int
    max_tokens: int
    """The longest reply that fits, in tokens."""


def plan_context(
    turns: Sequence[Turn],
    tokens: Mapping[str, int],
    budget: Budget,
    *,
    system_tokens: int = 0,
    policy: Policy = "drop_oldest",
    overhead: TemplateOverhead | None = None,
    left_out_before: Iterable[str] = (),
    summarized: Iterable[str] = (),
) -> ContextPlan:
    """Decide which turns of a branch to send. The branch ends with the prompt.

    Args:
        turns: the branch, ending with the prompt.
        tokens: the token count of each turn's text, by turn id.
        budget: the available tokens.
        system_tokens: the tokens of the system prompt, including any summary.
        policy: what to do if the turns do not all fit.
        overhead: the tokens that the model's chat template adds.
        left_out_before: ids of the turns omitted from the last request; they stay omitted unless all turns
            fit.
        summarized: ids of the turns that the summary replaces.
    """
    extra = overhead or TemplateOverhead()
    spoken = [turn for turn in turns if turn.model_text.strip()]

    def total(kept: Sequence[Turn]) -> int:
        prompts = joins = 0
        role = ""
        for turn in kept:
            joins += turn.role == role
            prompts += turn.role == "user" != role
            role = turn.role
        texts = system_tokens + sum(tokens[turn.id] for turn in kept) + _JOIN_TOKENS * joins
        return texts + extra.of(system=system_tokens > 0, prompts=prompts)

    kept = spoken
    used = total(kept)
    if used > budget.limit:
        before = set(left_out_before)
        kept = [turn for turn in spoken if turn.id not in before or turn.pinned or turn is spoken[-1]]
        used = total(kept)
    if used > budget.limit:
        dropped = _oldest(kept, tokens, extra, used - int(budget.limit * ROOM_AFTER_DROPPING))
        kept = [turn for turn in kept if turn.id not in dropped]
        used = total(kept)
    kept_ids = {turn.id for turn in kept}
    left_out = tuple(turn for turn in spoken if turn.id not in kept_ids)
    new = {turn.id for turn in left_out} - set(left_out_before)
    action: Action = "send"
    if used > budget.limit:
        action = "too_long"
    elif policy == "ask" and new:
        action = "ask"
    elif policy == "summarize" and {turn.id for turn in left_out} - set(summarized):
        action = "summarize"
    return ContextPlan(
        action=action,
        sent=tuple(kept),
        left_out=left_out,
        marker=_marker(spoken, left_out),
        prompt_tokens=used,
        limit=budget.limit,
        max_tokens=max(0, min(budget.max_tokens, budget.context_length - used)),
    )


def _oldest(
    turns: Sequence[Turn], tokens: Mapping[str, int], overhead: TemplateOverhead, excess: int
) -> set[str]:
    """Return the oldest turns that may be omitted to save `excess` tokens, with their replies."""
    dropped: set[str] = set()
    for turn in turns[:-1]:
        # Also drop the replies to dropped prompts, because a request must begin with a prompt.
        if excess <= 0 and turn.role == "user":
            break
        if not turn.pinned:
            dropped.add(turn.id)
            excess -= tokens[turn.id] + overhead.pair // 2
    return dropped


def _marker(turns: Sequence[Turn], left_out: Sequence[Turn]) -> str | None:
    if not left_out:
        return None
    after = turns.index(left_out[-1]) + 1
    return turns[after].id if after < len(turns) else None


# ── requests ─────────────────────────────────────────────────────────────────────────────────────


def with_summary(system_prompt: str, summary: str) -> str:
    """Return the system prompt with the summary of the omitted turns."""
    if not summary.strip():
        return system_prompt
    return f"{system_prompt}\n\nWhat was said before, in short:\n{summary.strip()}".strip()


def request_messages(system_prompt: str, sent: Iterable[Turn], summary: str = "") -> tuple[Message, ...]:
    """Return the messages of a request for a reply to these turns."""
    return as_messages(with_summary(system_prompt, summary), sent)


def messages_sent(conversation: Conversation, reply: Turn) -> tuple[Message, ...]:
    """Rebuild the messages of the request for a stored reply, from the turns above it and its provenance.

    An edit in place or a deletion above the reply changes them; compare `prompt_sha256` to find out.
    """
    provenance = reply.provenance
    above = conversation.path_to(reply.id)[:-1]
    if provenance is None:
        return conversation.messages(above)
    left_out = set(provenance.left_out)
    sent = [turn for turn in above if turn.id not in left_out]
    if provenance.begun:
        sent.append(replace(reply, content=cut_text(reply.content, provenance.begun)))
    return request_messages(provenance.system_prompt, sent, provenance.summary)


def prompt_sha256(messages: Sequence[Message]) -> str:
    """Return the hash of the messages as JSON. Equal requests have equal hashes."""
    plain = [
        [each.role, each.text if is_plain(each.content) else content_to_plain(each.content)]
        for each in messages
    ]
    return hashlib.sha256(json.dumps(plain).encode()).hexdigest()


SUMMARY_MAX_TOKENS = 400
"""The longest summary, in tokens."""


def summary_messages(
    left_out: Sequence[Turn],
    tokens: Mapping[str, int],
    room: int,
    *,
    summary: str = "",
    summarized: Iterable[str] = (),
) -> tuple[Message, ...]:
    """Return the request for a summary of these turns.

    The turns that `summary` already replaces (`summarized`) are not read again. If the others exceed `room`
    tokens, the oldest are skipped.
    """
    done = set(summarized) if summary else set()
    told: list[str] = []
    for turn in reversed(left_out):
        room -= tokens[turn.id] + 8
        if turn.id in done or room < 0:
            break
        told.append(f"{'User' if turn.role == 'user' else 'Assistant'}: {turn.model_text.strip()}")
    if summary:
        told.append(f"(Earlier, in short: {summary.strip()})")
    text = "\n\n".join(reversed(told))
    return (
        Message(
            "user",
            "Sum up this conversation in at most ten sentences. Keep names, numbers, decisions and open "
            f"questions. Answer with the summary only.\n\n{text}",
        ),
    )
