"""Replays of stored replies: the request, why the reply may differ, and where it does."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import Literal, Protocol

from spnl_tui.conversations.context import messages_sent, prompt_sha256
from spnl_tui.conversations.conversation import Conversation
from spnl_tui.conversations.turn import Provenance, Turn
from spnl_tui.errors import StoreError
from spnl_tui.models.request import Grammar, Message, Sampling


@dataclass(frozen=True, slots=True)
class ReplayRequest:
    """The request that a stored reply answered."""

    model: str
    messages: tuple[Message, ...]
    sampling: Sampling
    thinking: bool | None
    grammar: Grammar | None
    begun: str
    """The beginning of the reply that the model continued; it is also the last message."""
    doubts: tuple[str, ...]
    """Reasons why the reply may differ now, as sentences. If empty, it must be the same."""


class Replier(Protocol):
    """The part of the engine that a replay needs. The caller finds and loads the model."""

    async def reply(self, request: ReplayRequest) -> str:
        """Return the text of one reply, without its beginning if it has one.

        Raises:
            SpnlError: there is none.
        """


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of both replies, or of one: "kept" is only in the stored one, "said" only in the new one."""

    kind: Literal["same", "kept", "said"]
    text: str


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """The result of a replay."""

    request: ReplayRequest
    text: str
    same: bool
    """True if the reply is the same, or for a stopped reply, if it begins the same."""
    differs_at: int | None
    """The place of the first different character."""
    pieces: tuple[Piece, ...]


def replay_request(conversation: Conversation, turn_id: str, now: Provenance | None = None) -> ReplayRequest:
    """Rebuild the request that this reply answered from its provenance.

    `now` tells how the model would run today (revision, file_sha256, engine_version, load_plan), to compare
    with how it ran then; fields that are not known on both sides are not compared.

    Raises:
        StoreError: the turn is no reply of a model.
    """
    reply = conversation[turn_id]
    kept = reply.provenance
    if reply.role != "assistant" or kept is None or kept.sampling is None:
        raise StoreError(
            "This turn cannot be replayed",
            "It is not a reply of a model, or it was kept without its sampling.",
            "Choose a reply that a model gave in spnl-chat.",
        )
    messages = messages_sent(conversation, reply)
    return ReplayRequest(
        model=kept.model,
        messages=messages,
        sampling=kept.sampling,
        thinking=kept.thinking,
        grammar=kept.grammar,
        begun=reply.text[: kept.begun],
        doubts=tuple(_doubts(reply, kept, prompt_sha256(messages), now)),
    )


async def replay(
    conversation: Conversation, turn_id: str, replier: Replier, now: Provenance | None = None
) -> ReplayResult:
    """Generate this reply again and compare. The conversation is not changed.

    Raises:
        StoreError: the turn is no reply of a model.
        SpnlError: what `replier` raises.
    """
    request = replay_request(conversation, turn_id, now)
    return compare(conversation[turn_id], request, request.begun + await replier.reply(request))


def compare(reply: Turn, request: ReplayRequest, text: str) -> ReplayResult:
    """Compare the stored reply with the new text."""
    old, new = reply.text, text
    if reply.finish_reason in ("cancelled", "failed"):
        # It was stopped; how it would have gone on is not known.
        new = text[: len(old)]
    at = next((n for n, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
    same = old == new
    return ReplayResult(request, text, same, None if same else at, tuple(_pieces(old, new)))


def _pieces(old: str, new: str) -> list[Piece]:
    before, after = (re.findall(r"\s*\S+|\s+$", text) for text in (old, new))
    pieces = []
    for tag, a1, a2, b1, b2 in difflib.SequenceMatcher(None, before, after).get_opcodes():
        if tag == "equal":
            pieces.append(Piece("same", "".join(before[a1:a2])))
            continue
        pieces += [Piece("kept", "".join(before[a1:a2])), Piece("said", "".join(after[b1:b2]))]
    return [piece for piece in pieces if piece.text]


def _doubts(reply: Turn, kept: Provenance, sha256: str, now: Provenance | None) -> list[str]:
    doubts = []
    sampling = kept.sampling or Sampling()
    if sampling.temperature > 0 and sampling.seed is None:
        doubts.append("It was sampled without a seed, so it cannot be repeated.")
    if kept.prompt_sha256 is None:
        doubts.append("What it answered was not kept exactly.")
    elif kept.prompt_sha256 != sha256:
        doubts.append("The turns before it have changed since.")
    if reply.finish_reason in ("cancelled", "failed"):
        doubts.append("It was stopped before its end: only the part that was kept can be compared.")
    for name, what in {
        "revision": "The model's revision",
        "file_sha256": "The model's file",
        "engine_version": "The engine's version",
        "load_plan": "The way in which the model is loaded",
    }.items():
        then, today = getattr(kept, name), getattr(now, name) if now else None
        if then and today and then != today:
            doubts.append(f"{what} is another one than then.")
    return doubts
