"""Several replies to one prompt, of which the user chooses one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

from spnl_tui.chat.candidate_set import CandidateSet
from spnl_tui.chat.events import (
    CandidateAdded,
    CandidateChosen,
    CandidatesChanged,
    CandidatesClosed,
    CandidatesOpened,
    SessionEvent,
    TurnsReplaced,
)
from spnl_tui.settings.schema import MOST_CANDIDATES
from spnl_tui.text import plain

if TYPE_CHECKING:
    from spnl_tui.chat.recording import ReportingStore
    from spnl_tui.chat.runs import Runs
    from spnl_tui.conversations.conversation import Conversation
    from spnl_tui.conversations.turn import Turn


class Candidates:
    """The candidates of one conversation."""

    def __init__(
        self,
        conversation: Conversation,
        runs: Runs,
        store: ReportingStore,
        emit: Callable[[SessionEvent], Awaitable[None]],
    ) -> None:
        self._conversation = conversation
        self._runs = runs
        self._store = store
        self._emit = emit
        self.open: CandidateSet | None = None
        """The candidates to choose from; None if there are none."""

    @property
    def chosen(self) -> str:
        """The id of the highlighted candidate."""
        return self._conversation.path()[-1].id

    @property
    def siblings(self) -> tuple[Turn, ...]:
        """All replies in the place of the last one, including itself."""
        path = self._conversation.path()
        return self._conversation.siblings(path[-1].id) if path and path[-1].role == "assistant" else ()

    @property
    def above(self) -> Sequence[Turn]:
        """The active branch without the highlighted candidate."""
        path = self._conversation.path()
        return path[:-1] if self.open is not None and path and path[-1].id in self.open.turns else path

    def refresh(self) -> bool:
        """Drop candidates that were deleted. Returns True if there still are candidates to choose from."""
        path = self._conversation.path()
        if self.open is not None and path and path[-1].id in self.open.turns:
            self.open.turns = [turn_id for turn_id in self.open.turns if turn_id in self._conversation]
        else:
            self.open = None
        return self.open is not None

    async def show(self, turns: Sequence[Turn], labels: Sequence[str]) -> None:
        """Compare these replies."""
        ids = [turn.id for turn in turns]
        candidates = CandidateSet(ids, dict(zip(ids, labels, strict=True)))
        await self._emit(CandidatesOpened(candidates))
        # Only now: candidates that are closed before their replies begin could not be stopped.
        self.open = candidates
        await self._emit(CandidatesChanged())

    async def show_siblings(self) -> None:
        """Compare the last reply with its siblings."""
        siblings = self.siblings[-MOST_CANDIDATES:]
        await self._emit(TurnsReplaced(self.chosen))
        several = len({model_label(turn) for turn in siblings}) > 1
        await self.show(siblings, [model_label(turn) if several else "" for turn in siblings])

    async def add(self, label: str) -> Turn:
        """Add an empty candidate and highlight it."""
        assert self.open is not None
        parent = self._conversation[self.open.turns[0]].parent
        turn = self._conversation.add_turn("assistant", parent=parent)
        self.open.turns.append(turn.id)
        self.open.labels[turn.id] = label
        await self._emit(CandidateAdded(turn, label))
        return turn

    async def highlight(self, turn_id: str) -> None:
        """Make this candidate the active branch, and save that choice."""
        if self.open is None or turn_id not in self._conversation:
            return
        self._conversation.select(turn_id)
        await self._emit(CandidatesChanged())
        if not self._conversation[turn_id].streaming:
            await self._store.save_choice(self._conversation)

    async def move(self, by: int) -> None:
        """Highlight the candidate before (-1) or after (1)."""
        if (candidates := self.open) is not None:
            place = candidates.turns.index(self.chosen) + by
            await self.highlight(candidates.turns[min(max(place, 0), len(candidates.turns) - 1)])

    async def close(self) -> None:
        """Continue with the highlighted candidate, if there are any, and let it finish.

        Stop the others and keep their partial replies. Delete those that are empty.
        """
        conversation, candidates = self._conversation, self.open
        if candidates is None:
            return
        self.open = None
        chosen = self.chosen
        await self._emit(CandidatesClosed())
        await self._runs.stop(but=chosen)
        for turn_id in candidates.turns:
            turn = conversation[turn_id]
            if turn_id != chosen and turn.finish_reason == "cancelled" and not (turn.text or turn.reasoning):
                await self._store.save_deletion(conversation, conversation.delete_branch(turn_id))
        if not conversation[chosen].streaming:
            await self._store.save_choice(conversation)
        await self._emit(CandidateChosen(conversation[chosen]))


def model_label(turn: Turn) -> str:
    """Return the short name of the model that made this reply."""
    name = turn.provenance.model if turn.provenance else ""
    return plain(name).rpartition("/")[2]
