"""The list of models: what is on this machine, and what the hub has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from spnl_tui.errors import SpnlError
from spnl_tui.hub.inspection import Results, Subject
from spnl_tui.hub.library.programs.scan import program_of
from spnl_tui.hub.library.scan import LibraryEntry
from spnl_tui.hub.model_lines import in_short
from spnl_tui.models.reference import ModelReference
from spnl_tui.text import first_line, in_bytes, plain
from spnl_tui.ui.models.card_filter import CardFilter, filtered, next_filter
from spnl_tui.ui.models.servers import ServerModel, server_rows
from spnl_tui.ui.widgets.model_row import ModelRow, Row
from spnl_tui.ui.widgets.row_list import RowList

Item = Subject | Path | ServerModel
"""What can be chosen; a path can be imported."""


class ModelList(RowList):
    """Shows models in two sections, and keeps the highlight on its model when they change."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self.filter: CardFilter = ""
        """What the results of the search must have."""
        self._show_again: Callable[[], None] = lambda: None
        self._shown: object = None
        """What is shown now: it is made anew only when it differs."""
        self._here: tuple[object, list[ModelRow]] = (None, [])
        """What the upper part is made from, and its rows: often they stay while the hub's change."""

    def show(
        self,
        entries: Sequence[LibraryEntry],
        problems: Sequence[SpnlError],
        results: Results,
        named: ModelReference | None,
        *,
        servers: tuple[ServerModel, ...] = (),
        whole: bool = True,
    ) -> None:
        """Show these models; `named` is what the search text names by itself.

        Without a highlight the first gets it, once the list is `whole` at its top: the order in which the
        disk and the hub answer must not decide what Enter acts on.
        """
        self._show_again = partial(self.show, entries, problems, results, named, servers=servers, whole=whole)
        shown = (tuple(entries), tuple(problems), results, named, servers, whole, self.filter)
        if shown == self._shown:
            return
        self._shown = shown
        before = self.highlighted_key
        here = (*shown[:2], named and named.path)
        if here != self._here[0]:
            self._here = (here, self._library(entries, problems, named))
        rows = [*self._here[1], *server_rows(servers), *self._hub(results, named)]
        places = {row.id: place for place, row in enumerate(rows) if not row.disabled}
        place = places.get(before, next(iter(places.values()), None) if whole else None)
        self.set_rows(rows, place)
        if place is not None and place <= 1:
            self.scroll_to(y=0, animate=False)

    def next_filter(self) -> None:
        """Show only the results that pass the next filter."""
        self.filter = next_filter(self.filter)
        self._show_again()

    @property
    def highlighted_key(self) -> str | None:
        """The identity of what is highlighted."""
        return row.id if (row := self.highlighted_row) else None

    @property
    def chosen(self) -> Item | None:
        """The highlighted item."""
        return row.item if (row := self.highlighted_row) else None

    @property
    def near_end(self) -> bool:
        """True if the highlight is close to the last row."""
        # Filtered results may never fill the list: they must not ask for page after page.
        return not self.filter and self.highlighted is not None and self.highlighted >= len(self.rows) - 8

    def _library(
        self, entries: Sequence[LibraryEntry], problems: Sequence[SpnlError], named: ModelReference | None
    ) -> list[ModelRow]:
        options: list[ModelRow] = []
        if named is not None and named.path is not None:
            options.append(ModelRow(f"path {named.path}", named.path, Row(f"Import {named.path}")))
        if entries or problems:
            options.append(ModelRow.heading("On this machine", "SIZE"))
        for entry in entries:
            key = f"here {entry.reference} {entry.directory} {entry.files[0]}"
            program = program_of(entry)
            name = f"{entry.name} ({program.title})" if program else entry.name
            options.append(ModelRow(key, entry, Row(plain(name), (in_bytes(entry.size_bytes),))))
        return options + [note for problem in problems for note in _failure(problem)]

    def _hub(self, results: Results, named: ModelReference | None) -> list[ModelRow]:
        query = results.query
        only = f", {self.filter}" if self.filter else ""
        heading = f"Hugging Face · {query.format}, {query.sort}{only}"
        options = [ModelRow.heading(heading, "PARAMS", "DOWNLOADS")]
        cards = filtered(results.cards, self.filter)
        by_name = self._by_name(results, named)
        # A bare ORG/NAME may as well be the beginning of a longer one: then what was found comes first.
        exact = named is not None and (named.quantization or named.revision)
        if exact:
            options += by_name
        for card in cards:
            barred = " (private)" if card.private else " (gated)" if card.gated else ""
            numbers = (in_short(card.parameters), in_short(card.downloads))
            options.append(
                ModelRow(f"hub {card.repository}", card, Row(f"{plain(card.repository)}{barred}", numbers))
            )
        if not exact and not results.busy:
            options += by_name
        if results.error is not None:
            options += _failure(results.error)
            options.append(ModelRow.note("Ctrl+R searches again."))
        elif results.busy:
            options.append(ModelRow.note("searching…" if not results.cards else "getting more…"))
        elif results.cards and len(cards) < len(results.cards):
            options.append(ModelRow.note(f"{len(cards)} of {len(results.cards)}: {self.filter}."))
        elif not results.cards and not by_name:
            name = f"is called {first_line(query.text, 40)!r}" if query.text else "was found"
            options.append(ModelRow.note(f"Nothing {name}."))
        return options

    def _by_name(self, results: Results, named: ModelReference | None) -> list[ModelRow]:
        """The repository that the search text names, unless it was found."""
        if named is None or named.repository is None:
            return []
        bare = named.quantization is None and named.revision is None
        if bare and any(c.repository.casefold() == named.repository.casefold() for c in results.cards):
            return []
        return [ModelRow(f"named {named}", named, Row(f"{plain(str(named))} (by name)"))]


def _failure(error: SpnlError) -> list[ModelRow]:
    """Yield the lines of an error, because the list does not wrap."""
    title = ModelRow.error(first_line(error.title, 200))
    rest = (line for part in (error.message, error.hint) if part for line in plain(part).splitlines())
    return [title, *(ModelRow.note(line) for line in rest)]
