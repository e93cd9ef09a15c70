"""The pane with the models: what is on this machine, what Hugging Face has, and whether it runs here."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.widgets import Input

from spnl_tui.errors import SpnlError
from spnl_tui.hub.catalog import Card
from spnl_tui.hub.inspection import (
    Look,
    ModelBrowser,
    Query,
    Results,
    Subject,
    reference_in,
)
from spnl_tui.hub.library.library import Listing
from spnl_tui.hub.library.scan import LibraryEntry
from spnl_tui.models.reference import ModelReference
from spnl_tui.settings import DEFAULT_CONTEXT
from spnl_tui.ui import messages
from spnl_tui.ui.dialogs.confirm_screen import ConfirmScreen
from spnl_tui.ui.models.details import ModelDetails
from spnl_tui.ui.models.library_changes import LibraryChanges
from spnl_tui.ui.models.list import ModelList
from spnl_tui.ui.models.servers import ServerModel, ServerModels, Survey
from spnl_tui.ui.widgets.scope import bind_keys
from spnl_tui.ui.widgets.toasts import tell

_TYPING_S, _MOVING_S, _RESTING_S = 0.2, 0.15, 0.6
"""How long the user must rest before a search, a look at a model, and a look into one more header begin."""
_NARROW = 110
"""Cells below which the list and the details take turns."""


class ModelsPane(Horizontal):
    """Search box and list left, details right; on a narrow terminal one at a time.

    The search box keeps the focus while the list is used. What waits for the hub runs beside the keys, and
    gives way to what is asked for next.
    """

    BINDINGS = [
        Binding("up", "move(-1)", "Up", show=False),
        Binding("down", "move(1)", "Down", show=False),
        Binding("pageup", "page(-1)", "Page up", show=False),
        Binding("pagedown", "page(1)", "Page down", show=False),
    ]

    def __init__(
        self,
        browser: ModelBrowser,
        bindings: Iterable[Binding],
        *,
        context: int | None,
        id: str,
        survey: Survey | None = None,
    ) -> None:
        super().__init__(id=id)
        bind_keys(self, bindings)
        self._browser = browser
        self._servers = ServerModels(survey)
        self._changes = LibraryChanges(self, browser, self.library_changed)
        self._query = Query()
        self._results = Results(self._query)
        self._asked = False
        """True if a request was sent to the hub, which only happens once the pane is visible."""
        self._listing: Listing | None = None
        self.measuring = False
        """True while the speed of this machine is measured."""
        self._offered: tuple[bool, ...] = ()
        self.search = Input(placeholder="Search, name ORG/NAME, or give a path", compact=True, id="search")
        self.list = ModelList(id="models-list")
        self.details = ModelDetails(id="details")
        self.details.set_reactive(ModelDetails.context, context or DEFAULT_CONTEXT)

    def compose(self) -> ComposeResult:
        with Vertical(id="find"):
            yield self.search
            yield self.list
        yield self.details

    def on_resize(self, event: events.Resize) -> None:
        """Show list and details in turn if there is no room for both."""
        self.set_class(event.size.width < _NARROW, "-narrow")
        self._look_soon()

    def activate(self) -> None:
        """The pane is shown: see what is here now, ask what is trending, and let the user type."""
        self.remove_class("-details")
        self.search.focus()
        # What is known is painted first: the look at the disk, though in a thread, would slow that down.
        if self.listed:
            self.call_after_refresh(self._renew)
        else:
            self._renew()

    def _renew(self) -> None:
        self.refresh_library()
        self._ask_servers()
        if not self._asked or self._results.error is not None:
            self._asked = True
            self._search()

    @work(group="servers", exclusive=True)
    async def _ask_servers(self) -> None:
        await self._servers.ask(self._show_list)

    @work(group="library", exclusive=True)
    async def prepare(self) -> None:
        """Do what can be done before the pane is looked at."""
        await self._browser.prepare()
        self._listing = await self._browser.listing()
        self._show_list()

    @property
    def browser(self) -> ModelBrowser:
        """What the pane asks."""
        return self._browser

    @property
    def listed(self) -> bool:
        """True if the models on this machine are known."""
        return self._listing is not None

    async def library(self) -> Sequence[LibraryEntry]:
        """The models on this machine now."""
        return (await self._browser.listing()).entries

    def step_back(self) -> bool:
        """Go from the details to the list; False if the list has the focus already."""
        if not (self.has_class("-details") or self.details.has_focus_within):
            return False
        self.remove_class("-details")
        self.search.focus()
        return True

    # ── finding ──────────────────────────────────────────────────────────────────────────────────

    @work(group="library", exclusive=True)
    async def refresh_library(self) -> None:
        """See what is on this machine, and show it."""
        listing = await self._browser.listing()
        # Most often it is as it was; of the same objects this need be found out only once.
        if listing != self._listing:
            self._listing = listing
        self._show_list()

    @on(Input.Changed, "#search")
    def _text_changed(self, event: Input.Changed) -> None:
        event.stop()
        self._ask(replace(self._query, text=event.value.strip()))

    def _ask(self, query: Query) -> None:
        """Search for something else. What is here is shown at once, the hub's answer when it comes."""
        if query != self._query:
            self._query = query
            self._search(_TYPING_S)

    @work(group="search", exclusive=True)
    async def _search(self, delay: float = 0.0) -> None:
        """Ask the hub. A new search cancels the one before, its request too: no stale answer arrives."""
        query = self._query
        kept = self._results.cards if self._results.query == query else ()
        self._results = Results(query, kept, busy=True)
        self._show_list()
        if query.text.startswith(("/", "./", "../", "~")):
            self._results = Results(query)
            self._show_list()
            return
        await asyncio.sleep(delay)
        self._results = await self._browser.search(query)
        self._show_list()

    @work(group="search", exclusive=True)
    async def _more(self) -> None:
        self._results = replace(self._results, busy=True)
        self._show_list()
        self._results = await self._browser.more(self._results)
        self._show_list()

    def _show_list(self) -> None:
        words = self._query.text.casefold().split()
        listing = self._listing or Listing(())
        entries = [e for e in listing.entries if _matches(e, words)] if words else listing.entries
        named = reference_in(self._query.text)
        servers = self._servers.lines(words)
        self.list.show(entries, listing.problems, self._results, named, servers=servers, whole=self.listed)
        self._look_soon()
        self._refresh_keys()

    # ── looking ──────────────────────────────────────────────────────────────────────────────────

    @on(ModelList.Highlighted)
    def _moved(self, event: ModelList.Highlighted) -> None:
        event.stop()
        if self.list.near_end and self._results.next and not self._results.busy and not self._results.error:
            self._more()
        self._look_soon()
        self._refresh_keys()

    def _look_soon(self) -> None:
        """Inspect the highlighted model if the details are visible."""
        chosen = self.list.chosen
        subject = chosen if isinstance(chosen, Card | ModelReference | LibraryEntry) else None
        seen = not self.has_class("-narrow") or self.has_class("-details")
        if self.is_mounted and seen and subject != (self.details.look.subject if self.details.look else None):
            self._look(subject)

    @work(group="look", exclusive=True)
    async def _look(self, subject: Subject | None, delay: float = _MOVING_S) -> None:
        if subject is None:
            self.details.look = None
            return
        current = self.details.look
        if isinstance(subject, Card) and (current is None or current.subject != subject):
            self.details.look = Look(subject=subject, card=subject, waiting_for="asking the hub")
        await asyncio.sleep(delay)
        async with aclosing(self._browser.look(subject)) as looks:
            async for look in looks:
                before = self.details.look
                # A model that is looked at anew stays as it is known until more is known.
                if (
                    before is None
                    or before.subject != subject
                    or not look.waiting_for
                    or len(look.choices) >= len(before.choices)
                ):
                    self.details.look = look
        self._refresh_keys()

    @on(ModelDetails.Highlighted)
    @work(group="refine", exclusive=True)
    async def _refine(self, event: ModelDetails.Highlighted) -> None:
        """Read the header of this quantization once the cursor rests on it."""
        self._refresh_keys()
        look = self.details.look
        if look is None or look.waiting_for or look.headers is None or event.label in look.headers.facts:
            return
        await asyncio.sleep(_RESTING_S)
        refined = await self._browser.refine(look, event.label)
        if self.details.look is look:
            self.details.look = refined

    # ── choosing ─────────────────────────────────────────────────────────────────────────────────

    @on(Input.Submitted, "#search")
    @on(ModelList.Selected)
    def _chosen(self, event: Input.Submitted | ModelList.Selected) -> None:
        event.stop()
        match self.list.chosen:
            case LibraryEntry() as entry:
                self.post_message(messages.ModelChosen(entry.model, self.details.chosen_context))
            case Path() as path:
                self._import(path)
            case ServerModel(name=name):
                self.post_message(messages.ServerModelChosen(name))
            case Card() | ModelReference():
                self._open_details()

    def _open_details(self) -> None:
        self.add_class("-details")
        self._look_soon()
        self.details.focus_table()

    @on(ModelDetails.Chosen)
    @work(group="choice", exclusive=True)
    async def _quantization_chosen(self, event: ModelDetails.Chosen) -> None:
        """Load what is here, pull what is not; ask first where that would be in vain."""
        look = self.details.look
        if look is None:
            return
        if (entry := look.here.get(event.label)) is not None:
            self.post_message(messages.ModelChosen(entry.model, self.details.chosen_context))
            return
        wanted = look.wanted(event.label)
        if wanted is None:
            return
        appraisal = self.details.appraisals.get(event.label)
        if appraisal is not None and appraisal.level == "no":
            question = f"Pull {wanted.reference.pretty} all the same?"
            if not await self.app.push_screen_wait(ConfirmScreen(question, appraisal.why)):
                return
        self.post_message(messages.PullRequested(wanted.request, wanted.reference.pretty))

    @work(group="change")
    async def _import(self, path: Path) -> None:
        if await self._changes.import_path(path):
            self.search.value = ""
            self.refresh_library()

    # ── what keys do ─────────────────────────────────────────────────────────────────────────────

    @property
    def needs_measuring(self) -> bool:
        """True if the speed of this machine can be measured and has not been."""
        look = self.details.look
        unknown = look is not None and look.conditions is not None and look.conditions.calibration is None
        return self._browser.can_measure and unknown

    @property
    def entry_under_cursor(self) -> LibraryEntry | None:
        """The highlighted model, if it is on this machine."""
        if self.details.has_focus_within and self.details.look is not None:
            return self.details.look.here.get(self.details.label or "")
        return chosen if isinstance(chosen := self.list.chosen, LibraryEntry) else None

    @property
    def search_failed(self) -> bool:
        """True if the last search has failed."""
        return self._results.error is not None

    @property
    def title_under_cursor(self) -> str:
        """The name of what is highlighted."""
        if self.details.has_focus_within and self.details.look is not None:
            return f"{self.details.look.name} {self.details.label or ''}".strip()
        return row.row.left if (row := self.list.highlighted_row) else ""

    def _refresh_keys(self) -> None:
        """Refresh the footer, which is costly, only when other keys apply than before."""
        offered = (
            self.entry_under_cursor is not None,
            self.needs_measuring and not self.measuring,
            self.details.has_focus_within,
            self.search_failed,
        )
        if offered != self._offered:
            self._offered = offered
            self.refresh_bindings()

    def action_move(self, step: int) -> None:
        """Move the highlight of the list."""
        self.list.move(step)

    def action_page(self, step: int) -> None:
        """Move the highlight by a page."""
        self.list.page(step)

    def open_details(self) -> None:
        """Go to the quantizations of what is highlighted."""
        if not isinstance(self.list.chosen, Path | None):
            self._open_details()

    def retry(self) -> None:
        """Search again after a failure."""
        self._search()

    def sort(self) -> None:
        """Show the results in another order; in the details, the quantizations."""
        if self.details.has_focus_within:
            self.details.next_order()
            return
        self._ask(self._query.with_next_sort())

    def switch_format(self) -> None:
        """Search for the other kind of file."""
        self._ask(self._query.with_other_format())

    @work(group="measure")
    async def measure(self) -> None:
        """Measure this machine, and say how fast models are on it."""
        self.measuring = True
        self._refresh_keys()
        self.notify("This takes about half a minute.", title="Measuring this machine", markup=False)
        try:
            await self._browser.measure()
        except SpnlError as error:
            tell(self, error)
        finally:
            self.measuring = False
        if (look := self.details.look) is not None:
            self._look(look.subject, 0.0)

    @work(group="change")
    async def delete(self) -> None:
        """Delete the highlighted model from this machine, after asking."""
        if (entry := self.entry_under_cursor) is not None and await self._changes.delete(entry):
            self.library_changed()

    def library_changed(self) -> None:
        """Refresh the list, because the models on this machine have changed."""
        self.refresh_library()
        if (look := self.details.look) is not None and not isinstance(look.subject, LibraryEntry):
            self._look(look.subject, 0.0)


def _matches(entry: LibraryEntry, words: list[str]) -> bool:
    name = f"{entry.name} {entry.reference}".casefold()
    return all(word in name for word in words)
