"""One pull: its name and state, a bar, its figures, and what went wrong if something did."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget

from spnl_tui.tables import fit, fit_name
from spnl_tui.text import duration, first_line, in_bytes, plain
from spnl_tui.ui.pulls.captions import figures, percent, remarks, share

if TYPE_CHECKING:
    from spnl_tui.hub.pulls.queued_pull import QueuedPull

_SHORTEST_NAME = 24
_NARROW = 72
"""Cells below which a pull takes one line."""
_SHORT_BAR = 12
_MUTED = "$foreground 60%"
_STYLES = {
    "pulling": "$text-primary",
    "verifying": "$text-secondary",
    "stalled": "$text-warning",
    "done": "$text-success",
    "failed": "$text-error",
}
"""The colours of states in words; other states are muted."""


class PullBlock(Widget):
    """Three lines for one pull, and more where there is something to say. It paints what has changed."""

    class Pressed(Message):
        """The mouse pressed this block."""

        def __init__(self, id: str) -> None:
            super().__init__()
            self.id = id

    pull: reactive[QueuedPull] = reactive(None)  # type: ignore[arg-type]

    def __init__(self, pull: QueuedPull) -> None:
        super().__init__()
        self.set_reactive(PullBlock.pull, pull)

    def watch_pull(self, before: QueuedPull, now: QueuedPull) -> None:
        """What takes a line of its own, only a layout can give it."""
        if _below(before) != _below(now):
            self.refresh(layout=True)

    def on_click(self) -> None:
        """Report the click to the pane."""
        self.post_message(self.Pressed(self.pull.id))

    def render(self) -> Content:
        """The lines, as wide as the block."""
        pull, width = self.pull, max(_SHORTEST_NAME, self.size.width)
        if width < _NARROW:
            errors = [Content.styled(plain(text), "$text-error") for text in remarks(pull) if pull.error]
            return Content("\n").join([_one_line(pull, width), *errors])
        name = first_line(pull.name, max(_SHORTEST_NAME, width - len(pull.words) - 2))
        words = first_line(pull.words, max(1, width - len(name) - 2))
        gap = " " * (width - Content(name).cell_length - Content(words).cell_length)
        lines = [
            Content.assemble((name, "bold"), gap, (words, _STYLES.get(pull.state, _MUTED))),
            _bar(pull, width),
        ]
        with_figures, said = _below(pull)
        if with_figures:
            lines.append(Content.styled(first_line(figures(pull), width), _MUTED))
        style = "$text-error" if pull.error is not None else _MUTED
        for number, remark in enumerate(said):
            lines.append(Content.styled(plain(remark), "" if number else style))
        return Content("\n").join(lines)


def _one_line(pull: QueuedPull, width: int) -> Content:
    """Return the name, a short bar, and the speed or the state."""
    words = pull.words
    if pull.state == "pulling" and pull.bytes_per_s:
        words = f"{in_bytes(pull.bytes_per_s)}/s"
        words += f" {duration(pull.eta_s)}" if pull.eta_s is not None else ""
    room = max(8, width - _SHORT_BAR - 24)
    style = _STYLES.get(pull.state, _MUTED)
    name = fit_name(pull.name, room)
    bar = _bar(pull, _SHORT_BAR + 6) if share(pull) is not None else Content(" " * (_SHORT_BAR + 6))
    left = width - room - bar.cell_length - 2
    return Content.assemble((name, "bold"), " ", bar, " ", (fit(words, left, right=True), style))


def _bar(pull: QueuedPull, width: int) -> Content:
    part = share(pull)
    label = "" if part is None else f"{percent(part):>6}"
    length = width - len(label)
    full = int(length * (part or 0.0))
    colour = "$success" if pull.state == "done" else "$primary" if pull.under_way else "$foreground 50%"
    # Without colours, too, one sees how far it is.
    return Content.assemble(("━" * full, colour), ("─" * (length - full), "$foreground 30%"), label)


def _below(pull: QueuedPull) -> tuple[bool, tuple[str, ...]]:
    """What stands below the bar: whether there are figures (or a line for them), and the remarks."""
    said = remarks(pull)
    return bool(figures(pull)) or not said, said
