"""Copies conversations with new ids."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable, Mapping

from spnl_tui.conversations.conversation import Conversation
from spnl_tui.conversations.turn import Turn, new_id


def fork(conversation: Conversation, turn_id: str) -> Conversation:
    """Return a new conversation with the branch up to this turn, with new ids."""
    now = time.time()
    details = dataclasses.replace(
        conversation, pinned=False, archived=False, created_at=now, updated_at=now, chosen={}
    )
    return _with_new_ids(details, conversation.path_to(turn_id))


def copy(conversation: Conversation) -> Conversation:
    """Return a copy of the conversation with new ids throughout."""
    return _with_new_ids(conversation, tuple(conversation.turns()))


def with_ids(conversation: Conversation, ids: Mapping[str, str]) -> Conversation:
    """Return a copy of the conversation with turn ids replaced according to `ids`."""
    return _renamed(conversation, conversation.id, conversation.turns(), ids)


def _with_new_ids(details: Conversation, turns: tuple[Turn, ...]) -> Conversation:
    return _renamed(details, new_id(), turns, {turn.id: new_id() for turn in turns})


def _renamed(details: Conversation, id: str, turns: Iterable[Turn], named: Mapping[str, str]) -> Conversation:
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
    chosen = {ids.get(parent): ids[child] for parent, child in details.chosen.items()}
    return Conversation.of(dataclasses.replace(details, id=id, chosen=chosen), copies)
