"""The rows of the lists of models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Self

from textual.content import Content
from textual.css.styles import RulesMap
from textual.strip import Strip
from textual.style import Style
from textual.visual import RenderOptions, Visual
from textual.widgets.option_list import Option

from spnl_tui.tables import fit, fit_name

_NARROW = 44
"""The width in cells below which a row has only one column."""


@dataclass(frozen=True, slots=True)
class Row(Visual):
    """A line that fills the width, with columns at its right."""

    left: str
    right: tuple[str, ...] = ()
    kind: Literal["item", "heading", "note", "error"] = "item"
    widths: tuple[int, ...] = (9, 10)
    """The texts of the columns. Only the first remains on a narrow terminal."""

    def render_strips(
        self, width: int, height: int | None, style: Style, options: RenderOptions
    ) -> list[Strip]:
        widths = self.widths[: len(self.right)]
        if width < _NARROW and self.right:
            widths = widths[:1]
        cells = [fit(text, size, right=True) for text, size in zip(self.right, widths, strict=False)]
        room = max(0, width - sum(widths))
        left = fit_name(self.left, room) if self.kind == "item" else fit(self.left, room, right=False)
        match self.kind:
            case "item":
                content = Content.assemble(left, ("".join(cells), "$text-muted"))
            case "heading":
                content = Content.assemble((left, "bold $text-primary"), ("".join(cells), "$text-muted"))
            case "note":
                content = Content.assemble((left, "$text-muted"))
            case "error":
                content = Content.assemble((left, "bold $text-error"))
        return content.render_strips(width, height, style, options)

    def get_optimal_width(self, rules: RulesMap, container_width: int) -> int:
        return container_width

    def get_height(self, rules: RulesMap, width: int) -> int:
        return 1


class ModelRow(Option):
    """A row of a list and its model; headings and notes have none."""

    def __init__(self, key: str | None, item: Any, row: Row) -> None:
        super().__init__(row, id=key, disabled=key is None)
        self.item = item
        self.row = row

    @classmethod
    def heading(cls, title: str, *columns: str, widths: tuple[int, ...] = (9, 10)) -> Self:
        """Return a heading with the titles of the columns."""
        return cls(None, None, Row(title, columns, "heading", widths))

    @classmethod
    def note(cls, text: str) -> Self:
        """Return a row with a note."""
        return cls(None, None, Row(text, kind="note"))

    @classmethod
    def error(cls, text: str) -> Self:
        """Return a row with an error."""
        return cls(None, None, Row(text, kind="error"))
