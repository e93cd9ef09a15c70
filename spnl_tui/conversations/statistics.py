"""Totals of a conversation: turns, tokens and times, from the provenance of its replies."""

from __future__ import annotations

from dataclasses import dataclass

from spnl_tui.conversations.conversation import Conversation
from spnl_tui.text import duration, first_line


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """The totals of a conversation, including all branches."""

    turns: int
    on_branch: int
    """The number of turns in the active branch."""
    replies: int
    tokens_read: int
    """Tokens of all prompts as sent, each including the conversation before it."""
    tokens_written: int
    """Tokens of all replies."""
    waiting_s: float
    """Seconds until the first token, summed over all replies."""
    writing_s: float
    """Seconds of decoding, summed over all replies."""
    models: tuple[str, ...]
    """The models in the order of their first replies."""

    @property
    def tokens_per_s(self) -> float | None:
        """The average decoding speed; None if it was never measured."""
        return self.tokens_written / self.writing_s if self.writing_s else None


def statistics(conversation: Conversation) -> Statistics:
    """Compute the totals of a conversation."""
    replies = [turn for turn in conversation.turns() if turn.role == "assistant"]
    known = [turn.provenance for turn in replies if turn.provenance is not None]
    return Statistics(
        turns=len(conversation),
        on_branch=len(conversation.path()),
        replies=len(replies),
        tokens_read=sum(each.prompt_tokens or 0 for each in known),
        tokens_written=sum(each.completion_tokens or 0 for each in known),
        waiting_s=sum(each.ttft_s or 0.0 for each in known),
        writing_s=sum(
            each.completion_tokens / each.decode_tokens_per_s
            for each in known
            if each.completion_tokens and each.decode_tokens_per_s
        ),
        models=tuple(dict.fromkeys(each.model for each in known if each.model)),
    )


def statistics_lines(conversation: Conversation) -> list[tuple[str, str]]:
    """Return the totals as pairs of names and values."""
    all = statistics(conversation)
    branches = f", {all.turns:,} in all branches" if all.turns != all.on_branch else ""
    lines = [("Turns", f"{all.on_branch:,}{branches}")]
    if all.tokens_written:
        lines.append(("Tokens", f"{all.tokens_read:,} read, {all.tokens_written:,} written"))
    if all.writing_s or all.waiting_s:
        speed = f" at {all.tokens_per_s:.1f} tokens/s" if all.tokens_per_s else ""
        waited = f"{_seconds(all.waiting_s)} until first tokens"
        lines.append(("Time", f"{_seconds(all.writing_s)} writing{speed}, {waited}"))
    if all.models:
        lines.append(("Replies by", first_line(", ".join(all.models), 200)))
    return lines


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 10 else duration(seconds)
