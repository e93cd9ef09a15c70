"""The welcome, shown while the conversation is empty: what can be resumed, chosen or fetched."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from textual import events
from textual.content import Content
from textual.geometry import Size
from textual.message import Message
from textual.style import Style
from textual.widget import Widget
from textual.widgets import Static

from spnl_tui.chat.model import Progress
from spnl_tui.errors import SpnlError
from spnl_tui.tables import fit, fit_name
from spnl_tui.text import duration, in_bytes, plain

_WIDEST = 84
_AROUND = 6
"""Lines of the screen that the prompt and the lines around take."""
_NARROW = 62
"""Cells below which rows have only their first column of figures."""
STARTER = "SmolLM2-135M-Instruct"
_STARTER_BYTES = 98_362_432
Kind = Literal["conversation", "model", "starter", "first"]


@dataclass(repr=False, frozen=True, slots=True)
class WelcomeRow:
    """Something to choose."""

    kind: Kind
    key: str
    """The id of a conversation, or the reference of a model."""
    title: str
    figures: tuple[str, ...] = ()
    """Up to three columns, from left to right."""
    current: bool = False
    """True for the model that answers."""


@dataclass(eq=False, repr=False, frozen=True, slots=True)
class WelcomeGroup:
    """Rows below one heading."""

    heading: str
    rows: tuple[WelcomeRow, ...]
    columns: tuple[str, ...] = ()
    more: str = ""
    """A last line, such as "and 2 more"."""


@dataclass(eq=False, repr=False, frozen=True, slots=True)
class Fetching:
    """A download in progress."""

    name: str
    stage: str
    done: int
    total: int | None
    bytes_per_s: float | None = None
    eta_s: float | None = None


_WIDTHS = (10, 9, 18)
_LEAST_BAR = 10


class Welcome(Static):
    """Shows a sentence, groups of rows with one highlighted, downloads in place of their rows, and a tip."""

    class Chosen(Message):
        """The user has chosen a row."""

        def __init__(self, row: WelcomeRow) -> None:
            super().__init__()
            self.row = row

    def __init__(self, clock: Callable[[], float]) -> None:
        """`clock` returns seconds, for the speed of downloads."""
        super().__init__(markup=False)
        self._clock = clock
        self._head: list[tuple[str, str]] = []
        self._groups: dict[str, WelcomeGroup] = {}
        self._place: int | None = None
        self._fetching: dict[str, Fetching] = {}
        self._began: tuple[float, int] | None = None
        """When the starter's first bytes came, and how many they were."""
        self._tip = ""
        self._fitted: Size | None = None
        """The room for which it was drawn."""
        self._most = 99
        """The rows of each group for which there is room."""

    def get_content_width(self, container: Size, viewport: Size) -> int:
        """Return a width for the rows. Longer lines of text wrap."""
        return min(_WIDEST, container.width)

    # ── what it shows ────────────────────────────────────────────────────────────────────────────

    def say(self, *parts: tuple[str, str]) -> None:
        """Show these words above the rows, each with its style."""
        self._head = [(plain(text) if style else text, style) for text, style in parts]
        self._show()

    def ready(self, model: str, host: str | None = None) -> None:
        """Show that this model is ready. `host` is the other machine that computes it."""
        self._fetching.pop(STARTER, None)
        self.set_group("first", None)
        leaving = () if host is None else ((f"\nYour words leave this machine for {plain(host)}.", "$text"),)
        question = (" is ready. What would you like to know?", "bold")
        # Of a file outside the library, its name says enough.
        name = model.rpartition("/")[2] if model.startswith(("/", "~", ".")) else model
        self.say((plain(name), "bold $text-primary"), question, *leaving)
        self.mark(model)

    def report(self, error: SpnlError) -> None:
        """Show why there is no model."""
        rest = [text for text in (error.message, error.hint) if text]
        self.say((error.title, "bold $text-error"), *((f"\n{text}", "$text") for text in rest))

    def set_group(self, name: str, group: WelcomeGroup | None) -> None:
        """Show this group in place of the one with the same name; None removes it."""
        chosen = self.chosen
        if group is None:
            self._groups.pop(name, None)
        else:
            self._groups[name] = group
        rows = self._rows
        self._place = rows.index(chosen) if chosen in rows else None
        self._show()

    def mark(self, model: str) -> None:
        """Mark the model that answers."""
        from dataclasses import replace

        for name, group in self._groups.items():
            rows = tuple(replace(row, current=row.kind == "model" and row.key == model) for row in group.rows)
            self._groups[name] = replace(group, rows=rows)
        self._show()

    def fetch(self, fetching: Fetching) -> None:
        """Show a download in place of its row."""
        self._fetching[fetching.name] = fetching
        self._show()

    def fetched(self, name: str) -> None:
        """Show the row again."""
        if self._fetching.pop(name, None) is not None:
            self._show()

    def progress(self, progress: Progress) -> None:
        """Show the progress of the starter's download."""
        now = self._clock()
        if self._began is None or progress.done < self._began[1]:
            self._began = (now, progress.done)
        elapsed, got = now - self._began[0], progress.done - self._began[1]
        speed = got / elapsed if elapsed > 0.5 and got else None
        left = (progress.total - progress.done) / speed if speed and progress.total else None
        self.fetch(Fetching(STARTER, progress.stage, progress.done, progress.total, speed, left))

    def set_tip(self, tip: str) -> None:
        """Show this line at the end."""
        self._tip = tip
        self._show()

    # ── the highlight ────────────────────────────────────────────────────────────────────────────

    @property
    def _rows(self) -> list[WelcomeRow]:
        return [
            row for name in _ORDER if (group := self._groups.get(name)) for row in group.rows[: self._most]
        ]

    @property
    def chosen(self) -> WelcomeRow | None:
        """The highlighted row."""
        rows = self._rows
        return rows[self._place] if self._place is not None and self._place < len(rows) else None

    def highlight_first(self, kind: Kind) -> None:
        """Highlight the first row of this kind, if none is highlighted."""
        if self.chosen is None:
            self._place = next((n for n, row in enumerate(self._rows) if row.kind == kind), None)
            self._show()

    def move(self, by: int) -> bool:
        """Move the highlight. Return False if there is nothing in this direction."""
        rows = self._rows
        if not self.display or not rows or (self._place is None and by < 0):
            return False
        place = 0 if self._place is None else self._place + by
        self._place = None if place < 0 else min(place, len(rows) - 1)
        self._show()
        return True

    def on_click(self, event: events.Click) -> None:
        """Choose the row under the mouse."""
        key = event.style.meta.get("row")
        row = next((row for row in self._rows if row.key == key), None)
        if row is not None:
            self.post_message(self.Chosen(row))

    # ── drawing ──────────────────────────────────────────────────────────────────────────────────

    def on_mount(self) -> None:
        """Show what is known, now and at each size of the terminal."""
        self._show()
        self.screen.screen_layout_refresh_signal.subscribe(self, lambda _: self._fit())

    def _fit(self) -> None:
        if self._room() != self._fitted:
            self._show()

    def _room(self) -> Size:
        """Return the width available for the text; before the first layout, that of the whole screen."""
        box = self.parent.content_size.width if isinstance(self.parent, Widget) else 0
        return Size(box or self.app.size.width - 2, self.app.size.height - _AROUND)

    def _show(self) -> None:
        if not self.is_mounted:
            return
        room = self._room()
        width, height = min(_WIDEST, room.width), room.height
        self._fitted = room
        lines: list[Content] = []
        for self._most in (99, 3, 2, 1):
            lines = list(self._lines(width))
            if sum(len(line.wrap(width)) for line in lines) <= height:
                break
        self.update(Content("\n").join(lines))

    def _lines(self, width: int) -> Iterator[Content]:
        if self._head:
            yield Content.assemble(*self._head)
        chosen = self.chosen
        for name in _ORDER:
            if (group := self._groups.get(name)) is None:
                continue
            yield Content("")
            yield _cells(group.heading, group.columns, width, "bold $text-primary", "$text-muted")
            for row in group.rows[: self._most]:
                if (fetching := self._fetching.get(row.key)) is not None:
                    yield _bar_line(fetching, width)
                else:
                    yield _row_line(row, width, row == chosen)
            if group.more:
                yield Content.styled(f"    {group.more}", "$text-muted")
        for key, fetching in self._fetching.items():
            if all(row.key != key for row in self._rows):
                yield Content("")
                yield _bar_line(fetching, width)
        if self._tip:
            yield Content("")
            yield Content.styled(self._tip, "$text-muted")


_ORDER = ("recent", "here", "first")
"""The names of the groups, from top to bottom."""


def _row_line(row: WelcomeRow, width: int, chosen: bool) -> Content:
    mark = "▸ " if chosen else "● " if row.current else "  "
    line = _cells(f"  {mark}{plain(row.title)}", row.figures, width, "bold" if chosen else "", "$text-muted")
    if chosen:
        line = line.stylize_before("on $primary 30%")
    return line.stylize(Style.from_meta({"row": row.key}))


def _cells(left: str, figures: Sequence[str], width: int, style: str, muted: str) -> Content:
    shown = list(zip(figures, _WIDTHS, strict=False))
    if width < _NARROW:
        shown = shown[:1]
    room = max(8, width - sum(size for _, size in shown))
    cells = "".join(fit(f"{plain(text)} ", size, right=True) for text, size in shown)
    cut = fit_name if left.startswith(" ") else lambda text, cells: fit(text, cells, right=False)
    return Content.assemble((cut(left, room), style), (cells, muted))


def _bar_line(fetching: Fetching, width: int) -> Content:
    """Return the name, a bar, and the figures of a download, in one or two lines."""
    figures = [f"{in_bytes(fetching.done)} of {in_bytes(fetching.total)}" if fetching.total else ""]
    figures.append(f"{in_bytes(fetching.bytes_per_s)}/s" if fetching.bytes_per_s else "")
    figures.append(f"{duration(fetching.eta_s)} left" if fetching.eta_s is not None else "")
    words = " · ".join(filter(None, figures))
    if not fetching.total:
        return Content.assemble(
            (f"    {plain(fetching.name)}", "bold"), (f"  {plain(fetching.stage)}…", "$text-muted")
        )
    share = min(1.0, fetching.done / fetching.total)
    length = max(_LEAST_BAR, width - 4 - 6)
    full = round(length * share)
    return Content.assemble(
        (f"    {plain(fetching.name)}", "bold"),
        (f"  {plain(fetching.stage)}\n    ", "$text-muted"),
        ("━" * full, "$primary"),
        ("─" * (length - full), "$foreground 30%"),
        f" {share:4.0%}\n",
        (f"    {words}", "$text-muted"),
    )


def starter_row() -> WelcomeRow:
    """Return the row of the starter model."""
    return WelcomeRow("starter", STARTER, STARTER, (in_bytes(_STARTER_BYTES), "", "starter"))
