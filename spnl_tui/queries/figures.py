"""The times of a query, as `--time` shows them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from spnl_tui.queries.events import NodeFinished


@dataclass(frozen=True, slots=True)
class Figures:
    """Totals over replies, in seconds; None if no reply has the figure."""

    replies: int
    prompt_tokens: int
    completion_tokens: int
    load_s: float | None
    """The sum of all waits for loads. Several requests may have waited for the same load."""
    queue_s: float | None
    prefill_s: float | None
    ttft_s: float | None
    """The mean time to first token."""
    itl_s: float | None
    """The mean inter-token latency, each reply weighted by the gaps between its tokens."""

    @classmethod
    def of(cls, replies: Iterable[NodeFinished]) -> Figures:
        """Return the totals of these replies."""
        replies = tuple(replies)
        timings = [reply.timing for reply in replies]
        ttft = [timing.ttft_s for timing in timings if timing.ttft_s is not None]
        gaps = [
            (reply.timing.itl_s, reply.usage.completion_tokens - 1)
            for reply in replies
            if reply.timing.itl_s is not None and reply.usage.completion_tokens > 1
        ]
        return cls(
            replies=len(replies),
            prompt_tokens=sum(reply.usage.prompt_tokens for reply in replies),
            completion_tokens=sum(reply.usage.completion_tokens for reply in replies),
            load_s=_sum(timing.load_s for timing in timings),
            queue_s=_sum(timing.queue_s for timing in timings),
            prefill_s=_sum(timing.prefill_s for timing in timings),
            ttft_s=sum(ttft) / len(ttft) if ttft else None,
            itl_s=sum(itl * count for itl, count in gaps) / sum(count for _, count in gaps) if gaps else None,
        )


def _sum(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


_HEADINGS = ("node", "prompt", "reply", "load", "queue", "prefill", "TTFT", "ITL")


def time_table(replies: Iterable[NodeFinished]) -> list[str]:
    """Return a table: a line for each reply in written order, then the totals, with means for TTFT and ITL.

    Prompt and reply are in tokens; load, queue, prefill and TTFT in seconds; ITL in milliseconds per token.
    """
    replies = sorted(replies, key=lambda reply: (reply.path, reply.candidate))
    rows: list[tuple[str, ...]] = [_HEADINGS]
    for reply in replies:
        one = Figures.of([reply])
        rows.append(_row(".".join(map(str, (*reply.path, reply.candidate + 1))), one))
    rows.append(_row("all", Figures.of(replies)))
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS))]
    return [
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]


def _row(name: str, figures: Figures) -> tuple[str, ...]:
    return (
        name,
        str(figures.prompt_tokens),
        str(figures.completion_tokens),
        *(_seconds(value) for value in (figures.load_s, figures.queue_s, figures.prefill_s, figures.ttft_s)),
        "–" if figures.itl_s is None else f"{figures.itl_s * 1000:.1f} ms",
    )


def _seconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f} s"
