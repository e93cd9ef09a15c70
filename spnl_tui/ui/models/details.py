"""A model in detail: what it is, its quantizations with their verdicts, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, get_args

from textual import events, on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from spnl_tui.hub.inspection import Look, longer, shorter
from spnl_tui.hub.library.programs.scan import program_of
from spnl_tui.hub.library.scan import LibraryEntry
from spnl_tui.hub.model_lines import QUANTIZATION_COLUMNS, card_facts, quantization_row
from spnl_tui.hub.verdicts import Appraisal
from spnl_tui.models.quantization import Quantization
from spnl_tui.tables import GAP, fitted
from spnl_tui.text import in_bytes, plain
from spnl_tui.ui.models.memory_bar import memory_bar

_FIT = 5
"""The column of QUANTIZATION_COLUMNS with the verdict."""
_STYLES = {"yes": "$text-success", "maybe": "$text-warning", "no": "$text-error"}


Order = Literal["listed", "fit", "speed", "size"]
ORDERS: tuple[Order, ...] = get_args(Order)
"""The orders of the quantizations: as the repository lists them, or the best first."""
_LEVELS = {"yes": 0, "maybe": 1, "no": 2}


def ordered(
    choices: Sequence[Quantization], appraisals: Mapping[str, Appraisal], order: Order
) -> list[Quantization]:
    """Return the quantizations in this order: those that fit first, the fastest, or the smallest."""

    def rank(quantization: Quantization) -> tuple[float, float]:
        found, size = appraisals.get(quantization.label), quantization.size_bytes or 0
        match order:
            case "fit":
                return _LEVELS[found.level] if found else 3, -size
            case "speed":
                return -(found.speed.decode or 0.0) if found else 1.0, -size
            case "size":
                return size, 0
            case "listed":
                return 0, 0

    return sorted(choices, key=rank)


class ModelDetails(Vertical):
    """Shows a look at a model. The list of quantizations has the focus; its keys are those of lists."""

    look: reactive[Look | None] = reactive(None, repaint=False)
    context: reactive[int] = reactive(8192, repaint=False)
    """Tokens that the verdicts are for."""

    class Highlighted(Message):
        """The cursor is on this quantization."""

        def __init__(self, label: str) -> None:
            super().__init__()
            self.label = label

    class Chosen(Message):
        """The user wants this quantization."""

        def __init__(self, label: str) -> None:
            super().__init__()
            self.label = label

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self.appraisals: Mapping[str, Appraisal] = {}
        self._about = Static(markup=False, id="about")
        self._titles = Static(markup=False, id="titles")
        self._table = _Table(markup=False, id="quantizations", compact=True)
        self._context_line = Static(markup=False, id="context")
        self._memory = Static(markup=False, id="memory")
        self._reasons = Static(markup=False, id="reasons")
        self._order: Order = "listed"
        self._moved = False
        """True if the user has moved the cursor away from the default."""
        self.chosen_context: int | None = None
        """The tokens of context that the user wants models to be loaded with; None before a choice."""

    def compose(self) -> ComposeResult:
        yield self._about
        with Vertical(id="table-box"):
            yield self._titles
            yield self._table
        # Below the table in any case: the verdict and what Enter does must stay on the screen.
        with Vertical(id="verdict"):
            yield self._context_line
            yield self._memory
            yield self._reasons

    @property
    def label(self) -> str | None:
        """The quantization under the cursor."""
        option = self._table.highlighted_option
        return option.id if option else None

    def focus_table(self) -> None:
        """Let keys go to the quantizations."""
        self._table.focus()

    def next_order(self) -> None:
        """Sort the quantizations in another way."""
        self._order = ORDERS[(ORDERS.index(self._order) + 1) % len(ORDERS)]
        self._moved = True
        self._show()

    def lengthen_context(self) -> None:
        """Choose a longer context, for the verdicts and for loads."""
        self.chosen_context = self.context = longer(self.context)

    def shorten_context(self) -> None:
        """Choose a shorter context, for the verdicts and for loads."""
        self.chosen_context = self.context = shorter(self.context)

    def watch_look(self, before: Look | None, look: Look | None) -> None:
        """Show the look; the cursor stays where it was if it is the same model."""
        if before is None or look is None or before.subject != look.subject:
            self._moved = False
        self._show()

    def watch_context(self) -> None:
        """Update the verdicts."""
        self._show()

    def on_resize(self, event: events.Resize) -> None:
        """Lay out the columns for the new width."""
        self._show()

    def _show(self) -> None:
        look = self.look
        # The table stays, be it empty: hidden, it would lose the focus.
        for widget in (self._titles, self._context_line, self._memory, self._reasons):
            widget.display = look is not None
        if look is None:
            self._about.update(Content("Choose a model to see whether it runs here."))
            self._table.clear_options()
            self.appraisals = {}
            return
        self.appraisals = look.appraise(self.context)
        self._about.update(_about(look, wide=self.size.height >= 30))
        self._show_table(look)
        self._show_reasons()

    def _show_table(self, look: Look) -> None:
        default = look.default(self.appraisals)
        choices = ordered(look.choices, self.appraisals, self._order)
        rows = [
            quantization_row(q, default, q.label in look.here, self.appraisals.get(q.label)) for q in choices
        ]
        width = self._table.scrollable_content_region.width or self.size.width - 2
        shown, (titles, *lines) = fitted(QUANTIZATION_COLUMNS, rows, max(20, width))
        by = "" if self._order == "listed" else f"   by {self._order}"
        self._titles.update(Content(GAP.join(titles) + by).stylize("$text-muted"))
        self._titles.display = bool(rows)
        options = [
            Option(_line(shown, cells, self.appraisals.get(q.label)), id=q.label)
            for q, cells in zip(choices, lines, strict=True)
        ]
        before = self.label
        labels = [q.label for q in choices]
        if not self._moved and default is not None:
            before = default.label
        with self._table.prevent(OptionList.OptionHighlighted):
            self._table.set_options(options)
            if labels:
                self._table.highlighted = labels.index(before) if before in labels else 0

    def _show_reasons(self) -> None:
        look, label = self.look, self.label
        parts: list[Content] = []
        if look is not None and look.error is not None:
            error = look.error
            parts.append(Content.styled(plain(error.title), "bold $text-error"))
            parts += [Content(plain(text)) for text in (error.message, error.hint) if text]
        if label is not None and (appraisal := self.appraisals.get(label)) is not None:
            parts += [Content(plain(reason)) for reason in appraisal.reasons]
        if look is not None and look.waiting_for:
            parts.append(Content.styled(f"{look.waiting_for}…", "$text-muted"))
        self._reasons.update(Content("\n").join(parts))
        verdict = None if label is None or label not in self.appraisals else self.appraisals[label].verdict
        self._memory.display = verdict is not None and look is not None and look.conditions is not None
        if verdict is not None and look is not None and look.conditions is not None:
            free = look.conditions.machine.memory_available
            self._memory.update(memory_bar(verdict.memory, free, self.size.width - 4))
        if look is not None:
            hint = self._hint(look, label)
            self._context_line.update(_describe_context(look, self.context, self.appraisals, hint))

    def _hint(self, look: Look, label: str | None) -> str:
        """Return the effect of Enter."""
        quantization = next((q for q in look.choices if q.label == label), None)
        if quantization is None:
            return ""
        if not self._table.has_focus:
            return "Tab chooses a quantization"
        if label in look.here:
            return "Enter loads it"
        size = quantization.size_bytes
        return "Enter pulls it" if size is None else f"Enter pulls {in_bytes(size)}"

    @on(events.DescendantFocus)
    @on(events.DescendantBlur)
    def _focus_moved(self) -> None:
        self._show_reasons()

    @on(OptionList.OptionHighlighted)
    def _highlighted(self, event: OptionList.OptionHighlighted) -> None:
        event.stop()
        self._moved = True
        self._show_reasons()
        if event.option_id:
            self.post_message(self.Highlighted(event.option_id))

    @on(OptionList.OptionSelected)
    def _selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        if event.option_id:
            self.post_message(self.Chosen(event.option_id))


class _Table(OptionList):
    """Keeps the highlighted row in view when the lines around leave it less room."""

    def on_resize(self) -> None:
        self.call_after_refresh(self.scroll_to_highlight)


def _line(shown: list[int], cells: list[str], appraisal: Appraisal | None) -> Content:
    """A row of the table, the verdict in its colour."""
    parts: list[tuple[str, str] | str] = []
    for column, cell in zip(shown, cells, strict=True):
        style = _STYLES[appraisal.level] if appraisal and column == _FIT else ""
        parts += [(cell, style), GAP]
    return Content.assemble(*parts[:-1])


def _about(look: Look, *, wide: bool) -> Content:
    """The name, and what there is to say of the model: a line for each, or as few lines as it takes."""
    facts: list[tuple[str, str]] = []
    if look.card is not None:
        weights = look.headers.details if look.headers else None
        facts = card_facts(look.card, weights)
    elif isinstance(look.subject, LibraryEntry):
        facts = _entry_facts(look.subject, look)
    name = Content.styled(plain(look.name), "bold")
    if wide:
        lines = [Content.assemble((f"{what:<13}", "$text-muted"), plain(value)) for what, value in facts]
        return Content("\n").join([name, *lines])
    short = [f"{what} {value}" if what in _NAMED else value for what, value in facts]
    return Content("\n").join([name, Content.styled(plain(" · ".join(short)), "$text-muted")])


_NAMED = frozenset({"context", "downloads", "likes", "updated", "parameters", "made from"})
"""What says little without its name."""


def _entry_facts(entry: LibraryEntry, look: Look) -> list[tuple[str, str]]:
    local = look.local
    place = "the Hugging Face cache" if entry.origin == "cache" else str(entry.directory)
    facts = [("size", in_bytes(entry.size_bytes)), ("place", place)]
    if (program := program_of(entry)) is not None:
        facts.append(("from", program.title))
    if local is not None:
        context = f"{local.context_length:,} tokens" if local.context_length else ""
        facts = [("architecture", local.architecture), ("context", context), *facts]
    return [(what, value) for what, value in facts if value]


def _describe_context(look: Look, context: int, appraisals: Mapping[str, Appraisal], hint: str) -> Content:
    most = {a.verdict.context for a in appraisals.values() if a.verdict}
    cut = f", the model's most: {max(most):,}" if most and max(most) < context else ""
    return Content.assemble(
        ("Context  ", "$text-muted"),
        ("− ", "bold $text-primary"),
        f"{context:,} tokens{cut}",
        (" +", "bold $text-primary"),
        (f"      {hint}", "$text-muted"),
    )
