"""A conversation as a tree of turns, without reading or writing files.

Regenerating a reply or editing a prompt adds a sibling and keeps the original. At every fork one sibling is
chosen (the newest, until the user chooses another). The chosen turns from the root downwards are the
*active branch*, which is shown and sent to the model.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum, auto

from spnl_tui.conversations.turn import FinishReason, Provenance, Turn, as_messages, new_id
from spnl_tui.models.parts import (
    Content,
    ImagePart,
    append_text,
    as_content,
    text_of,
    with_text,
    without_images,
)
from spnl_tui.models.request import Message, Role, Sampling


class End(Enum):
    """The type of END, the place below the last turn of the active branch."""

    END = auto()


END = End.END


@dataclass(frozen=True, slots=True)
class Deletion:
    """The information to undo a deletion."""

    conversation: str
    removed: tuple[Turn, ...]
    """The deleted turns, parents before children and siblings in order."""
    reattached: tuple[tuple[str, str | None], ...]
    """Turns that moved to another parent, as pairs of id and former parent."""
    chosen: dict[str | None, str]
    """The chosen children before the deletion."""


@dataclass(kw_only=True, slots=True)
class Conversation:
    """A tree of turns, with the settings for all of them.

    Callers may assign the fields, but only the methods change the tree. They raise KeyError for unknown
    turns.
    """

    id: str = field(default_factory=new_id)
    title: str = ""
    title_is_automatic: bool = True
    """True if the user did not choose the title, so that an automatic title may replace it."""
    system_prompt: str = ""
    sampling: Sampling = field(default_factory=Sampling)
    model: str = ""
    """The reference of the model for the next reply."""
    tags: tuple[str, ...] = ()
    pinned: bool = False
    archived: bool = False
    created_at: float = field(default_factory=time.time)
    updated_at: float = field(default_factory=time.time)
    chosen: dict[str | None, str] = field(default_factory=dict)
    """The chosen child of each turn (None stands for the root), unless it is the newest."""
    _turns: dict[str, Turn] = field(default_factory=dict, repr=False)
    _children: dict[str | None, list[str]] = field(default_factory=dict, repr=False)
    _branch: list[str] | None = field(default=None, repr=False, compare=False)
    """The ids of the active branch, cached because every key press needs them; None if outdated."""

    @classmethod
    def of(cls, details: Conversation, turns: Iterable[Turn]) -> Conversation:
        """Return a conversation with these details and turns. Siblings are sorted by time.

        A turn with an unknown parent becomes a root, and a cycle of parents is cut, so that all turns of a
        damaged file stay visible.
        """
        tree = dataclasses.replace(
            details, chosen=dict(details.chosen), _turns={}, _children={}, _branch=None
        )
        by_id = {turn.id: turn for turn in turns}
        sound: set[str] = set()
        for turn_id in by_id:
            trail: set[str] = set()
            at: str | None = turn_id
            while at is not None and at not in sound:
                trail.add(at)
                parent = by_id[at].parent
                if parent is not None and (parent not in by_id or parent in trail):
                    by_id[at] = dataclasses.replace(by_id[at], parent=None)
                    break
                at = parent
            sound |= trail
        for turn in by_id.values():
            tree._turns[turn.id] = turn
            tree._children.setdefault(turn.parent, []).append(turn.id)
        for parent_id in tree._children:
            tree._sort(parent_id)
        tree._choose_again(details.chosen)
        return tree

    # ── looking ──────────────────────────────────────────────────────────────────────────────────

    def __len__(self) -> int:
        return len(self._turns)

    def __contains__(self, turn_id: object) -> bool:
        return turn_id in self._turns

    def __getitem__(self, turn_id: str) -> Turn:
        return self._turns[turn_id]

    def turns(self) -> Iterator[Turn]:
        """Yield all turns depth first, parents before children and siblings in order."""
        waiting = list(reversed(self._children.get(None, ())))
        while waiting:
            turn_id = waiting.pop()
            yield self._turns[turn_id]
            waiting.extend(reversed(self._children.get(turn_id, ())))

    def children(self, turn_id: str | None) -> tuple[Turn, ...]:
        """Return the children of this turn, oldest first; the first turns for None."""
        return tuple(self._turns[child] for child in self._children.get(turn_id, ()))

    def siblings(self, turn_id: str) -> tuple[Turn, ...]:
        """Return this turn and its siblings, oldest first."""
        return self.children(self._turns[turn_id].parent)

    def has_siblings(self, turn_id: str) -> bool:
        """Return True if the turn has siblings."""
        return len(self._children[self._turns[turn_id].parent]) > 1

    def last_fork(self) -> Turn | None:
        """Return the last turn of the active branch that has siblings; None if there is none."""
        if all(len(children) <= 1 for children in self._children.values()):
            # the usual case, handled early because keys ask for this and conversations may be long
            return None
        return next((turn for turn in reversed(self.path()) if self.has_siblings(turn.id)), None)

    def path(self) -> tuple[Turn, ...]:
        """Return the active branch, from the first turn to the last."""
        if self._branch is None:
            self._branch = []
            at = self._chosen_child(None)
            while at is not None:
                self._branch.append(at)
                at = self._chosen_child(at)
        return tuple(map(self._turns.__getitem__, self._branch))

    def path_to(self, turn_id: str) -> tuple[Turn, ...]:
        """Return the branch from the first turn to this one, even if it is not active."""
        branch = []
        at: str | None = turn_id
        while at is not None:
            turn = self._turns[at]
            branch.append(turn)
            at = turn.parent
        return tuple(reversed(branch))

    def messages(self, turns: Iterable[Turn] | None = None) -> tuple[Message, ...]:
        """Return the messages of these turns, by default of the active branch; see `as_messages`."""
        return as_messages(self.system_prompt, self.path() if turns is None else turns)

    # ── changing ─────────────────────────────────────────────────────────────────────────────────

    def add_turn(
        self,
        role: Role,
        content: str | Content = "",
        *,
        parent: str | End | None = END,
        provenance: Provenance | None = None,
    ) -> Turn:
        """Add a turn below `parent` (by default at the end of the active branch), and choose it.

        An assistant's turn is streaming, without a finish reason, until `finish`.
        """
        if isinstance(parent, End):
            branch = self.path()
            parent = branch[-1].id if branch else None
        if parent is not None and parent not in self._turns:
            raise KeyError(parent)
        created_at = time.time()
        if siblings := self._children.get(parent):
            # Keep siblings in chronological order even if the clock was set back.
            created_at = max(created_at, self._turns[siblings[-1]].created_at + 1e-6)
        turn = Turn(
            id=new_id(),
            parent=parent,
            role=role,
            content=as_content(content),
            provenance=provenance,
            created_at=created_at,
        )
        self._insert(turn)
        self.select(turn.id)
        return turn

    def update_turn(self, turn: Turn) -> None:
        """Replace the turn with the same id. The parent must stay the same."""
        if self._turns[turn.id].parent != turn.parent:
            raise ValueError("update_turn cannot move a turn")
        self._turns[turn.id] = turn
        self.updated_at = time.time()

    def append(self, turn_id: str, text: str = "", reasoning: str = "") -> Turn:
        """Append text to a streaming reply and return the changed turn."""
        turn = self._turns[turn_id]
        content = append_text(turn.content, text)
        turn = dataclasses.replace(turn, content=content, reasoning=turn.reasoning + reasoning)
        self.update_turn(turn)
        return turn

    def finish(
        self, turn_id: str, reason: FinishReason, *, provenance: Provenance | None = None, error: str = ""
    ) -> Turn:
        """End a reply and return the changed turn. Without `provenance`, the reply keeps its own."""
        turn = self._turns[turn_id]
        turn = dataclasses.replace(
            turn, finish_reason=reason, provenance=provenance or turn.provenance, error=error
        )
        self.update_turn(turn)
        return turn

    def select(self, turn_id: str) -> None:
        """Make the active branch pass through this turn. The choices below it stay."""
        for turn in self.path_to(turn_id):
            self._choose(turn.parent, turn.id)

    def branch_from(self, turn_id: str, new: str | Content) -> Turn:
        """Edit a turn: add and choose a sibling with the new content, and keep the old one.

        If the new content has images, they replace the old ones; other parts stay. An edited reply keeps its
        finish reason but loses its provenance, because no model wrote it.
        """
        old = self._turns[turn_id]
        content = as_content(new)
        kept = old.content if isinstance(new, str) else without_images(old.content)
        images = tuple(part for part in content if isinstance(part, ImagePart))
        turn = self.add_turn(old.role, (*images, *with_text(kept, text_of(content))), parent=old.parent)
        if old.role == "assistant":
            turn = self.finish(turn.id, old.finish_reason or "cancelled")
        return turn

    def regenerate(self, turn_id: str) -> Turn:
        """Add an empty sibling of this reply, choose it, and return it for streaming."""
        old = self._turns[turn_id]
        if old.role != "assistant":
            raise ValueError("only a reply can be regenerated")
        return self.add_turn("assistant", parent=old.parent)

    # ── deleting ─────────────────────────────────────────────────────────────────────────────────

    def delete_turn(self, turn_id: str) -> Deletion:
        """Delete one turn. The turns below it move to its parent."""
        turn = self._turns[turn_id]
        children = self.children(turn_id)
        deletion = Deletion(
            conversation=self.id,
            removed=(turn,),
            reattached=tuple((child.id, turn_id) for child in children),
            chosen=dict(self.chosen),
        )
        chosen = self._chosen_child(turn.parent)
        if chosen == turn_id:
            chosen = self._chosen_child(turn_id)
        self._remove(turn)
        for child in children:
            self._turns[child.id] = dataclasses.replace(child, parent=turn.parent)
            self._children[turn.parent].append(child.id)
        self._sort(turn.parent)
        self._choose(turn.parent, chosen)
        self.updated_at = time.time()
        return deletion

    def delete_branch(self, turn_id: str) -> Deletion:
        """Delete a turn and everything below it."""
        turn = self._turns[turn_id]
        removed = [turn]
        for above in removed:  # `removed` grows while it is iterated: breadth first, so parents come first
            removed.extend(self.children(above.id))
        deletion = Deletion(
            conversation=self.id,
            removed=tuple(removed),
            reattached=(),
            chosen=dict(self.chosen),
        )
        chosen = self._chosen_child(turn.parent)
        for gone in reversed(removed):
            self._remove(gone)
        self._choose(turn.parent, None if chosen == turn_id else chosen)
        self.updated_at = time.time()
        return deletion

    def restore(self, deletion: Deletion) -> None:
        """Undo a deletion. Turns added since then stay.

        Undo deletions in reverse order: if the parent is still deleted, KeyError is raised.
        """
        first = deletion.removed[0]
        if first.parent is not None and first.parent not in self._turns:
            raise KeyError(first.parent)
        for turn in deletion.removed:
            self._insert(turn)
        for turn_id, parent in deletion.reattached:
            if (child := self._turns.get(turn_id)) is not None:
                self._children[child.parent].remove(turn_id)
                self._insert(dataclasses.replace(child, parent=parent))
        self._choose_again(deletion.chosen)

    # ── the tree itself ──────────────────────────────────────────────────────────────────────────

    def _chosen_child(self, parent: str | None) -> str | None:
        children = self._children.get(parent)
        return self.chosen.get(parent, children[-1]) if children else None

    def _choose(self, parent: str | None, child: str | None) -> None:
        """Choose this child of `parent`. The newest child and None are defaults, which are not stored."""
        self._branch = None
        if child is None or self._children[parent][-1] == child:
            self.chosen.pop(parent, None)
        else:
            self.chosen[parent] = child

    def _choose_again(self, chosen: dict[str | None, str]) -> None:
        """Restore these choices where the turns still exist."""
        self._branch = None
        self.chosen = {}
        for parent, child in chosen.items():
            if child in self._children.get(parent, ()):
                self._choose(parent, child)

    def _sort(self, parent: str | None) -> None:
        self._branch = None
        self._children[parent].sort(key=lambda turn_id: (self._turns[turn_id].created_at, turn_id))

    def _insert(self, turn: Turn) -> None:
        self._turns[turn.id] = turn
        self._children.setdefault(turn.parent, []).append(turn.id)
        self._sort(turn.parent)
        self.updated_at = time.time()

    def _remove(self, turn: Turn) -> None:
        self._branch = None
        del self._turns[turn.id]
        self._children[turn.parent].remove(turn.id)
        self._children.pop(turn.id, None)
        self.chosen.pop(turn.id, None)
