"""A conversation as a tree of turns. Pure: nothing here reads or writes anything.

A reply that is generated again, or a prompt that is edited, becomes a sibling of the first one, and the
first one stays. At every fork one sibling is chosen (the newest, until the user chooses another), and the
chosen turns from the root downwards are the *active branch*: what is shown, and what the model is sent.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from spnl_tui.conversations.turn import FinishReason, Provenance, Turn, as_messages, new_id
from spnl_tui.models.parts import Content, append_text, as_content
from spnl_tui.models.request import Message, Role, Sampling


@dataclass(frozen=True, slots=True)
class Deletion:
    """What a deletion took away: all that undoing it needs."""

    conversation: str
    removed: tuple[Turn, ...]
    """Parents before their children, siblings in their order."""
    reattached: tuple[tuple[str, str | None], ...]
    """Turns that went to another parent, as (id, the parent before)."""
    chosen: dict[str | None, str]
    """The choices before."""


@dataclass(kw_only=True, slots=True)
class Conversation:
    """A tree of turns, and what is set for all of them.

    The fields are free to be assigned. The tree is changed by the methods alone, which raise KeyError for
    a turn that is not in it.
    """

    id: str = field(default_factory=new_id)
    title: str = ""
    title_is_automatic: bool = True
    """Whether the title may be replaced by a better one: the user has not given it."""
    system_prompt: str = ""
    sampling: Sampling = field(default_factory=Sampling)
    model: str = ""
    """The model reference that the next reply comes from."""
    tags: tuple[str, ...] = ()
    pinned: bool = False
    archived: bool = False
    created_at: float = field(default_factory=time.time)
    updated_at: float = field(default_factory=time.time)
    chosen: dict[str | None, str] = field(default_factory=dict)
    """The chosen child of a turn (None: of the root) wherever it is not the newest."""
    _turns: dict[str, Turn] = field(default_factory=dict, repr=False)
    _children: dict[str | None, list[str]] = field(default_factory=dict, repr=False)
    _branch: list[str] | None = field(default=None, repr=False, compare=False)
    """The ids of the active branch; None: to be walked again. Every key asks for it, and it may be long."""

    @classmethod
    def of(cls, details: Conversation, turns: Iterable[Turn]) -> Conversation:
        """The conversation with these details and turns, siblings in the order of their time.

        A turn whose parent is unknown becomes a root, and a ring of parents is cut, so that whatever is in
        a damaged file can still be seen.
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
        """Every turn, parents before their children, siblings in their order, each branch to its end."""
        waiting = list(reversed(self._children.get(None, ())))
        while waiting:
            turn_id = waiting.pop()
            yield self._turns[turn_id]
            waiting.extend(reversed(self._children.get(turn_id, ())))

    def children(self, turn_id: str | None) -> tuple[Turn, ...]:
        """The turns that follow this one (None: the first turns), oldest first."""
        return tuple(self._turns[child] for child in self._children.get(turn_id, ()))

    def siblings(self, turn_id: str) -> tuple[Turn, ...]:
        """The turns in this one's place, itself among them, oldest first."""
        return self.children(self._turns[turn_id].parent)

    def has_siblings(self, turn_id: str) -> bool:
        """Whether there are others in this one's place."""
        return len(self._children[self._turns[turn_id].parent]) > 1

    def last_fork(self) -> Turn | None:
        """The last turn of the active branch that has siblings; None if none has."""
        if all(len(children) <= 1 for children in self._children.values()):
            return None  # as in most, which may be long, and keys ask for this
        return next((turn for turn in reversed(self.path()) if self.has_siblings(turn.id)), None)

    def path(self) -> tuple[Turn, ...]:
        """The active branch, from the first turn to the last."""
        if self._branch is None:
            self._branch = []
            at = self._chosen_child(None)
            while at is not None:
                self._branch.append(at)
                at = self._chosen_child(at)
        return tuple(map(self._turns.__getitem__, self._branch))

    def path_to(self, turn_id: str) -> tuple[Turn, ...]:
        """From the first turn to this one, whether or not they are active."""
        branch = []
        at: str | None = turn_id
        while at is not None:
            turn = self._turns[at]
            branch.append(turn)
            at = turn.parent
        return tuple(reversed(branch))

    def messages(self, turns: Iterable[Turn] | None = None) -> tuple[Message, ...]:
        """What the engine is sent for these turns (the active branch by default); see `as_messages`."""
        return as_messages(self.system_prompt, self.path() if turns is None else turns)

    # ── changing ─────────────────────────────────────────────────────────────────────────────────

    def add_turn(
        self,
        role: Role,
        content: str | Content = "",
        *,
        parent: str | Literal["end"] | None = "end",
        provenance: Provenance | None = None,
    ) -> Turn:
        """Add a turn below `parent` (by default at the end of the active branch), and choose it.

        An assistant's turn starts without a finish reason: it is streaming until `finish`.
        """
        if parent == "end":
            branch = self.path()
            parent = branch[-1].id if branch else None
        if parent is not None and parent not in self._turns:
            raise KeyError(parent)
        created_at = time.time()
        if siblings := self._children.get(parent):
            # Siblings are in the order of their time, even when the clock is set back.
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
        """Put this turn in the place of the one with its id. Its place in the tree must be the same."""
        if self._turns[turn.id].parent != turn.parent:
            raise ValueError("update_turn does not move a turn")
        self._turns[turn.id] = turn
        self.updated_at = time.time()

    def append(self, turn_id: str, text: str = "", reasoning: str = "") -> Turn:
        """Add text to a reply that is being written. Returns the turn as it now is."""
        turn = self._turns[turn_id]
        content = append_text(turn.content, text)
        turn = dataclasses.replace(turn, content=content, reasoning=turn.reasoning + reasoning)
        self.update_turn(turn)
        return turn

    def finish(
        self, turn_id: str, reason: FinishReason, *, provenance: Provenance | None = None, error: str = ""
    ) -> Turn:
        """End a reply. Without `provenance` it keeps the one it has. Returns the turn as it now is."""
        turn = self._turns[turn_id]
        turn = dataclasses.replace(
            turn, finish_reason=reason, provenance=provenance or turn.provenance, error=error
        )
        self.update_turn(turn)
        return turn

    def select(self, turn_id: str) -> None:
        """Make the active branch run through this turn; below it, it runs as it last did."""
        for turn in self.path_to(turn_id):
            self._choose(turn.parent, turn.id)

    def branch_from(self, turn_id: str, text: str) -> Turn:
        """Edit a turn: a sibling with the new text is added and chosen, and the old one stays.

        An edited reply keeps its finish reason, but not its provenance: no model said it so.
        """
        old = self._turns[turn_id]
        new = self.add_turn(old.role, old.with_text(text).content, parent=old.parent)
        if old.role == "assistant":
            new = self.finish(new.id, old.finish_reason or "cancelled")
        return new

    def regenerate(self, turn_id: str) -> Turn:
        """Start another reply beside this one: an empty one, chosen, to be streamed into."""
        old = self._turns[turn_id]
        if old.role != "assistant":
            raise ValueError("only a reply can be generated again")
        return self.add_turn("assistant", parent=old.parent)

    def fork(self, turn_id: str) -> Conversation:
        """A conversation of its own with the branch that ends in this turn. Its turns have new ids."""
        now = time.time()
        details = dataclasses.replace(
            self, pinned=False, archived=False, created_at=now, updated_at=now, chosen={}
        )
        return details._with_new_ids(self.path_to(turn_id))

    def copy(self) -> Conversation:
        """The same conversation with new ids throughout."""
        return self._with_new_ids(tuple(self.turns()))

    def with_ids(self, ids: Mapping[str, str]) -> Conversation:
        """Return the same conversation, its turns with these ids for their own."""
        return self._renamed(self.id, tuple(self.turns()), ids)

    def _with_new_ids(self, turns: tuple[Turn, ...]) -> Conversation:
        return self._renamed(new_id(), turns, {turn.id: new_id() for turn in turns})

    def _renamed(self, id: str, turns: tuple[Turn, ...], named: Mapping[str, str]) -> Conversation:
        ids: dict[str | None, str] = dict(named.items())
        copies = []
        for turn in turns:
            provenance = turn.provenance
            if provenance is not None and provenance.left_out:
                left_out = tuple(ids[old] for old in provenance.left_out if old in ids)
                provenance = dataclasses.replace(provenance, left_out=left_out)
            copies.append(
                dataclasses.replace(turn, id=ids[turn.id], parent=ids.get(turn.parent), provenance=provenance)
            )
        chosen = {ids.get(parent): ids[child] for parent, child in self.chosen.items()}
        return Conversation.of(dataclasses.replace(self, id=id, chosen=chosen), copies)

    # ── deleting ─────────────────────────────────────────────────────────────────────────────────

    def delete_turn(self, turn_id: str) -> Deletion:
        """Take one turn out. What followed it then follows its parent, in its place."""
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
        """Take out a turn and everything below it."""
        turn = self._turns[turn_id]
        removed = [turn]
        for above in removed:  # grows while it is walked: breadth first, so parents come first
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
        """Undo a deletion. What was added since stays.

        Deletions are undone in the opposite order: one whose parent is still deleted raises KeyError.
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
        """Choose this child of `parent`; None, or the newest, is the choice that need not be kept."""
        self._branch = None
        if child is None or self._children[parent][-1] == child:
            self.chosen.pop(parent, None)
        else:
            self.chosen[parent] = child

    def _choose_again(self, chosen: dict[str | None, str]) -> None:
        """Make these choices, as far as the turns are still there."""
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
