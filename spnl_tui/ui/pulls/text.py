"""What the interface says of pulls. Pure: no Textual."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from spnl_tui.text import duration, in_bytes

if TYPE_CHECKING:
    from spnl_tui.hub.pulls.download import Download


def share(download: Download) -> float | None:
    """How much of it is here, from 0 to 1; None while the size is not known."""
    if download.state == "done":
        return 1.0
    if not download.total:
        return None
    return min(1.0, download.done / download.total)


def percent(share: float) -> str:
    """A share as a percentage; 100 % only when it is whole."""
    return f"{int(share * 100)} %"


def figures(download: Download) -> str:
    """Done of total, speed and time left, as far as they are known."""
    if download.state == "done":
        return in_bytes(download.total or download.done)
    parts = []
    if download.total is not None:
        parts.append(f"{in_bytes(download.done)} of {in_bytes(download.total)}")
    if download.bytes_per_s:
        parts.append(f"{in_bytes(download.bytes_per_s)}/s")
    if download.eta_s is not None:
        parts.append(f"{duration(download.eta_s)} left")
    return " · ".join(parts)


def remarks(download: Download) -> tuple[str, ...]:
    """What went wrong and what to do about it, or what is worth knowing, each in a line of its own."""
    if download.error is not None:
        return tuple(text for text in (download.error.message, download.error.hint) if text)
    return (download.note,) if download.note and download.state != "done" else ()


def summary(downloads: Sequence[Download], go_on_key: str = "") -> str:
    """All pulls in a few words for a corner of the screen: "↓ 2 pulls 43 % 12.0 MB/s". Empty without any."""
    running = [download for download in downloads if download.under_way]
    if not running:
        left_over = sum(download.left_over for download in downloads)
        how = f" – {go_on_key} goes on" if go_on_key else ""
        return f"↓ {counted(left_over)} paused{how}" if left_over else ""
    parts = [f"↓ {counted(len(running))}"]
    # Those that wait for their turn do not know their size yet.
    if total := sum(download.total or 0 for download in running):
        parts.append(percent(sum(download.done for download in running if download.total) / total))
    if speed := sum(download.bytes_per_s or 0 for download in running):
        parts.append(f"{in_bytes(speed)}/s")
    elif any(download.state == "stalled" for download in running):
        parts.append("stalled")
    return " ".join(parts)


def counted(number: int) -> str:
    """ "1 pull", "2 pulls"."""
    return f"{number} pull{'' if number == 1 else 's'}"
