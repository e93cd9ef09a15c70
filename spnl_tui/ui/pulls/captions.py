"""The words of the interface about pulls. It does not import Textual."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from spnl_tui.text import duration, in_bytes

if TYPE_CHECKING:
    from spnl_tui.hub.pulls.queued_pull import QueuedPull


def share(pull: QueuedPull) -> float | None:
    """Return the received share, from 0 to 1; None while the size is unknown."""
    if pull.state == "done":
        return 1.0
    if not pull.total:
        return None
    return min(1.0, pull.done / pull.total)


def percent(share: float) -> str:
    """A share as a percentage; 100 % only when it is whole."""
    return f"{int(share * 100)} %"


def figures(pull: QueuedPull) -> str:
    """Done of total, speed and time left, as far as they are known."""
    if pull.state == "done":
        return in_bytes(pull.total or pull.done)
    parts = []
    if pull.total is not None:
        parts.append(f"{in_bytes(pull.done)} of {in_bytes(pull.total)}")
    if pull.bytes_per_s:
        parts.append(f"{in_bytes(pull.bytes_per_s)}/s")
    if pull.eta_s is not None:
        parts.append(f"{duration(pull.eta_s)} left")
    return " · ".join(parts)


def remarks(pull: QueuedPull) -> tuple[str, ...]:
    """What went wrong and what to do about it, or what is worth knowing, each in a line of its own."""
    if pull.error is not None:
        return tuple(text for text in (pull.error.message, pull.error.hint) if text)
    return (pull.note,) if pull.note and pull.state != "done" else ()


def summary(queued_pulls: Sequence[QueuedPull], go_on_key: str = "") -> str:
    """All pulls in a few words for a corner of the screen: "↓ 2 pulls 43 % 12.0 MB/s". Empty without any."""
    running = [pull for pull in queued_pulls if pull.under_way]
    if not running:
        left_over = sum(pull.left_over for pull in queued_pulls)
        how = f" – {go_on_key} goes on" if go_on_key else ""
        return f"↓ {counted(left_over)} paused{how}" if left_over else ""
    parts = [f"↓ {counted(len(running))}"]
    # Those that wait for their turn do not know their size yet.
    if (part := total_share(queued_pulls)) is not None:
        unknown = sum(not pull.total for pull in running)
        parts[0] += f" ({unknown} waiting)" if unknown else ""
        parts.append(percent(part))
    if speed := sum(pull.bytes_per_s or 0 for pull in running):
        parts.append(f"{in_bytes(speed)}/s")
        left = sum((pull.total or pull.done) - pull.done for pull in running) / speed
        parts.append(duration(left))
    elif any(pull.state == "stalled" for pull in running):
        parts.append("stalled")
    return " ".join(parts)


def total_share(queued_pulls: Sequence[QueuedPull]) -> float | None:
    """Return how much of all running pulls is here, from 0 to 1; None if none has a size."""
    running = [pull for pull in queued_pulls if pull.under_way and pull.total]
    total = sum(pull.total or 0 for pull in running)
    return sum(pull.done for pull in running) / total if total else None


def counted(number: int) -> str:
    """ "1 pull", "2 pulls"."""
    return f"{number} pull{'' if number == 1 else 's'}"
