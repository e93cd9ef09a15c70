"""Searches and inspects models for the models pane, yielding results step by step. Does not import
Textual."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from spnl_tui.errors import HubError, ModelFileError, ModelReferenceError, SpnlError, StoreError
from spnl_tui.hub.catalog import SORTS, Card, Catalog, RepositoryDetails, Sort
from spnl_tui.hub.library.library import Library, Listing
from spnl_tui.hub.library.removal import Removal, RemovalPlan
from spnl_tui.hub.library.scan import LibraryEntry
from spnl_tui.hub.verdicts import (
    Appraisal,
    Conditions,
    Headers,
    appraise,
    appraise_repository,
    choose_default,
)
from spnl_tui.hub.wanted import Wanted, wanted_of
from spnl_tui.models.facts import Format, ModelFacts
from spnl_tui.models.files.local import read_local_facts
from spnl_tui.models.quantization import ModelFile, Quantization
from spnl_tui.models.reference import ModelReference

SHORTEST_CONTEXT, LONGEST_CONTEXT = 2048, 131_072


@dataclass(frozen=True, slots=True)
class Query:
    """A search."""

    text: str = ""
    format: Format = "gguf"
    sort: Sort = "trending"

    def with_next_sort(self) -> Query:
        """Return the same search with the next sort order."""
        sorts = list(SORTS)
        return replace(self, sort=sorts[(sorts.index(self.sort) + 1) % len(sorts)])

    def with_other_format(self) -> Query:
        """Return the same search for the other file format."""
        return replace(self, format="safetensors" if self.format == "gguf" else "gguf")


@dataclass(frozen=True, slots=True)
class Results:
    """The results so far. `error` is the reason why no more could be loaded."""

    query: Query
    cards: tuple[Card, ...] = ()
    next: str | None = None
    busy: bool = False
    error: SpnlError | None = None


Subject = Card | ModelReference | LibraryEntry
"""The possible subjects of an inspection: a search result, a reference, or a model on this machine."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Look:
    """The facts about a model known so far. Each step of an inspection yields more."""

    subject: Subject
    card: Card | None = None
    choices: tuple[Quantization, ...] = ()
    here: Mapping[str, LibraryEntry] = field(default_factory=dict)
    """The quantizations on this machine, by label."""
    conditions: Conditions | None = None
    named: str | None = None
    """The quantization that the user named."""
    waiting_for: str = ""
    """The current step, described for the user."""
    error: SpnlError | None = None
    headers: Headers | None = None
    local: ModelFacts | None = None
    """The facts in the header of a model on this machine."""

    @property
    def name(self) -> str:
        """Return the model's name as the user sees it."""
        match self.subject:
            case LibraryEntry():
                return self.subject.name
            case Card():
                return self.subject.repository
            case ModelReference():
                return self.card.repository if self.card else str(self.subject)

    def appraise(self, context: int) -> Mapping[str, Appraisal]:
        """Return the appraisal of each quantization for a context of this many tokens."""
        if self.conditions is None:
            return {}
        conditions = replace(self.conditions, context=context)
        if self.headers is not None:
            return self.headers.appraise(conditions)
        return {} if self.local is None else {self.choices[0].label: appraise(self.local, conditions)}

    def default(self, appraisals: Mapping[str, Appraisal]) -> Quantization | None:
        """Return the recommended quantization; None if there is none."""
        if not self.choices:
            return None
        if self.headers is None or not appraisals:
            return self.choices[0]
        return choose_default(self.choices, appraisals, named=self.named, cached=frozenset(self.here))

    def wanted(self, label: str) -> Wanted | None:
        """Return what to pull for this quantization; None if it does not come from the hub."""
        if self.headers is None:
            return None
        details = self.headers.details
        reference = ModelReference(repository=details.repository)
        if isinstance(self.subject, ModelReference):
            reference = replace(self.subject, quantization=None)
        if details.quantizations:
            reference = reference.with_quantization(label)
        return wanted_of(details, reference)


class ModelBrowser:
    """Searches and inspects models, and imports or deletes models on this machine.

    Each operation may run only once at a time.
    """

    def __init__(
        self,
        catalog: Catalog,
        library: Library,
        conditions: Callable[[], Awaitable[Conditions]],
        measure: Callable[[], Awaitable[object]] | None = None,
    ) -> None:
        """`measure` measures this machine's speed; afterwards `conditions` includes it."""
        self._catalog = catalog
        self._library = library
        self._conditions = conditions
        self._measure = measure
        self._headers: dict[tuple[str, str], Headers] = {}
        """The headers by repository and commit, to read each only once."""

    # ── finding ──────────────────────────────────────────────────────────────────────────────────

    async def prepare(self) -> None:
        """Import the modules for the first search, without sending a request."""
        with suppress(HubError):  # the first search reports it
            await self._catalog.prepare()

    async def listing(self) -> Listing:
        """Return the models on this machine."""
        return await self._library.listing()

    async def search(self, query: Query) -> Results:
        """Return the first page, or the error instead of it."""
        named = reference_in(query.text)
        text = named.repository if named and "/" in query.text else None
        try:
            page = await self._catalog.search(text or query.text, format=query.format, sort=query.sort)
        except HubError as error:
            return Results(query, error=error)
        return Results(query, page.cards, page.next)

    async def more(self, results: Results) -> Results:
        """Return the results with the next page added."""
        try:
            page = await self._catalog.search(page=results.next)
        except HubError as error:
            return replace(results, busy=False, error=error)
        known = {card.repository for card in results.cards}
        # A repository that moves down between two requests would be listed twice.
        new = tuple(card for card in page.cards if card.repository not in known)
        return Results(results.query, results.cards + new, page.next)

    # ── looking ──────────────────────────────────────────────────────────────────────────────────

    async def look(self, subject: Subject) -> AsyncGenerator[Look, None]:
        """Yield growing facts about a model, beginning with local ones and ending with the verdicts."""
        conditions = await self._conditions()
        if isinstance(subject, LibraryEntry):
            yield await _look_at_entry(subject, conditions)
            return
        card = subject if isinstance(subject, Card) else None
        first = Look(subject=subject, card=card, conditions=conditions, waiting_for="asking the hub")
        yield first
        reference = subject if isinstance(subject, ModelReference) else None
        repository = reference.repository if reference else card.repository if card else None
        assert repository is not None
        try:
            details = await self._catalog.details(repository, reference.revision if reference else None)
            here = await self._library.here(details, reference.revision if reference else None)
        except (HubError, StoreError) as error:
            yield replace(await self._without_hub(first, reference, repository), waiting_for="", error=error)
            return
        headers = self._headers.setdefault(
            (details.repository, details.commit), Headers(self._catalog, details)
        )
        second = replace(
            first,
            card=_best_card(details, card),
            choices=details.choices,
            here=here,
            named=reference.quantization if reference else None,
            headers=headers,
            waiting_for="reading the header" if details.choices else "",
        )
        yield second
        if second.choices:
            yield await self._with_default_header(second, headers, conditions)

    async def _with_default_header(self, look: Look, headers: Headers, conditions: Conditions) -> Look:
        cached = frozenset(look.here)
        try:
            await appraise_repository(headers, conditions, named=look.named, cached=cached)
        except ModelReferenceError as error:  # the named quantization does not exist, so show all of them
            return replace(look, named=None, waiting_for="", error=error)
        except (HubError, ModelFileError) as error:
            return replace(look, waiting_for="", error=error)
        return replace(look, waiting_for="")

    async def refine(self, look: Look, label: str) -> Look:
        """Return the inspection after reading the header of this quantization."""
        if look.headers is None or label in look.headers.facts:
            return look
        try:
            await look.headers.read(label)
        except (HubError, ModelFileError) as error:
            return replace(look, waiting_for="", error=error)
        return replace(look, waiting_for="", error=None)

    async def _without_hub(self, look: Look, reference: ModelReference | None, repository: str) -> Look:
        """Return the facts about a model from its local files, if it has any."""
        try:
            entry = await self._library.find(reference or ModelReference(repository=repository))
        except (ModelReferenceError, StoreError):
            entry = None
        if entry is None or look.conditions is None:
            return look
        local = await _look_at_entry(entry, look.conditions)
        return replace(local, subject=look.subject, card=look.card)

    @property
    def can_measure(self) -> bool:
        """True if this machine can be measured."""
        return self._measure is not None

    async def measure(self) -> None:
        """Measure the speed of this machine once, with all cores for half a minute.

        Raises:
            RunnerError: the machine could not be measured.
        """
        if self._measure is not None:
            await self._measure()

    # ── changing what is here ────────────────────────────────────────────────────────────────────

    async def plan_removal(self, entry: LibraryEntry) -> RemovalPlan:
        """Return what would be deleted with this model, and the space that it would free."""
        return await self._library.plan_removal(entry)

    async def remove(self, entry: LibraryEntry) -> Removal:
        """Delete a model; `undo` restores the last deletion.

        Raises:
            StoreError: the model's files cannot be moved.
        """
        return await self._library.remove(entry)

    async def undo(self) -> Removal | None:
        """Undo the last deletion, if there is one.

        Raises:
            StoreError: the files cannot be moved back.
        """
        if not (removals := self._library.removals):
            return None
        await self._library.undo(removals[-1])
        return removals[-1]

    async def import_path(self, path: Path) -> LibraryEntry:
        """Import a model without copying it.

        Raises:
            ModelFileError: the path has no model or several, or the model is damaged.
            StoreError: the list of imports cannot be written.
        """
        return await self._library.import_path(path)


async def _look_at_entry(entry: LibraryEntry, conditions: Conditions) -> Look:
    # Only the total size matters, so the first file gets it all.
    files = tuple(ModelFile(file, 0) for file in entry.files[1:])
    files = (ModelFile(entry.files[0], entry.size_bytes), *files)
    choice = Quantization(entry.label, files, entry.label)
    look = Look(subject=entry, choices=(choice,), here={entry.label: entry}, conditions=conditions)
    try:
        return replace(look, local=await asyncio.to_thread(read_local_facts, entry.model))
    except ModelFileError as error:
        return replace(look, error=error)


def _best_card(details: RepositoryDetails, card: Card | None) -> Card:
    """Return the model card of the details, completed with facts that only a search returns."""
    new = details.card
    if card is None or new.architecture:
        return new
    return replace(
        new,
        architecture=card.architecture,
        parameters=new.parameters or card.parameters,
        context_length=card.context_length,
        has_template=card.has_template,
    )


def reference_in(text: str) -> ModelReference | None:
    """Return the reference in a search text; None if it contains only ordinary words."""
    if not text.strip():
        return None
    try:
        return ModelReference.parse(text)
    except ModelReferenceError:
        return None


def longer(context: int) -> int:
    """Return the next longer context, in tokens."""
    return min(LONGEST_CONTEXT, max(SHORTEST_CONTEXT, 1 << context.bit_length()))


def shorter(context: int) -> int:
    """Return the next shorter context, in tokens."""
    return max(SHORTEST_CONTEXT, 1 << ((context - 1).bit_length() - 1))
