"""One pull: its name and state, a bar, its figures, and what went wrong if something did."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget

from spnl_tui.text import first_line, plain
from spnl_tui.ui.pulls.text import figures, percent, remarks, share

if TYPE_CHECKING:
    from spnl_tui.hub.pulls.download import Download

_SHORTEST_NAME = 24
_MUTED = "$foreground 60%"
_STYLES = {
    "pulling": "$text-primary",
    "verifying": "$text-secondary",
    "stalled": "$text-warning",
    "done": "$text-success",
    "failed": "$text-error",
}
"""Of the state in words; the others are muted."""


class PullBlock(Widget):
    """Three lines for one pull, and more where there is something to say. It paints what has changed."""

    class Pressed(Message):
        """The mouse pressed this block."""

        def __init__(self, id: str) -> None:
            super().__init__()
            self.id = id

    download: reactive[Download] = reactive(None)  # type: ignore[arg-type]

    def __init__(self, download: Download) -> None:
        super().__init__()
        self.set_reactive(PullBlock.download, download)

    def watch_download(self, before: Download, now: Download) -> None:
        """What takes a line of its own, only a layout can give it."""
        if _below(before) != _below(now):
            self.refresh(layout=True)

    def on_click(self) -> None:
        """Tell the pane."""
        self.post_message(self.Pressed(self.download.id))

    def render(self) -> Content:
        """The lines, as wide as the block."""
        download, width = self.download, max(_SHORTEST_NAME, self.size.width)
        name = first_line(download.name, max(_SHORTEST_NAME, width - len(download.words) - 2))
        words = first_line(download.words, max(1, width - len(name) - 2))
        gap = " " * (width - Content(name).cell_length - Content(words).cell_length)
        lines = [
            Content.assemble((name, "bold"), gap, (words, _STYLES.get(download.state, _MUTED))),
            _bar(download, width),
        ]
        with_figures, said = _below(download)
        if with_figures:
            lines.append(Content.styled(first_line(figures(download), width), _MUTED))
        style = "$text-error" if download.error is not None else _MUTED
        for number, remark in enumerate(said):
            lines.append(Content.styled(plain(remark), "" if number else style))
        return Content("\n").join(lines)


def _bar(download: Download, width: int) -> Content:
    part = share(download)
    label = "" if part is None else f"{percent(part):>6}"
    length = width - len(label)
    full = int(length * (part or 0.0))
    colour = (
        "$success" if download.state == "done" else "$primary" if download.under_way else "$foreground 50%"
    )
    # Without colours, too, one sees how far it is.
    return Content.assemble(("━" * full, colour), ("─" * (length - full), "$foreground 30%"), label)


def _below(download: Download) -> tuple[bool, tuple[str, ...]]:
    """What stands below the bar: whether there are figures (or a line for them), and the remarks."""
    said = remarks(download)
    return bool(figures(download)) or not said, said
