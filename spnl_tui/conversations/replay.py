"""Replays stored replies: rebuilds the request, says why the new reply may differ, and compares both."""

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
    """The request for a stored reply."""

    model: str
    messages: tuple[Message, ...]
    sampling: Sampling
    thinking: bool | None
    grammar: Grammar | None
    begun: str
    """The beginning of the reply that the model continued, which is also the last message."""
    doubts: tuple[str, ...]
    """Sentences that say why the new reply may differ. If empty, it must be the same."""


class Replier(Protocol):
    """Generates replies for replays. The caller finds and loads the model."""

    async def reply(self, request: ReplayRequest) -> str:
        """Return the text of one reply, without the beginning that it continues.

        Raises:
            SpnlError: the request failed.
        """


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of the replies. "same" is in both, "kept" only in the stored one, "said" only in the new
    one."""

    kind: Literal["same", "kept", "said"]
    text: str


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """The result of a replay."""

    request: ReplayRequest
    text: str
    same: bool
    """True if the replies are equal; for a stopped reply, if the new one begins with it."""
    differs_at: int | None
    """The offset of the first different character; None if there is none."""
    pieces: tuple[Piece, ...]


def replay_request(conversation: Conversation, turn_id: str, now: Provenance | None = None) -> ReplayRequest:
    """Rebuild a reply's request from its provenance.

    `now` describes the model as it would run today (revision, file_sha256, engine_version, load_plan), to
    compare with the stored values. Fields unknown on either side are not compared.

    Raises:
        StoreError: the turn is not a model's reply.
    """
    reply = conversation[turn_id]
    kept = reply.provenance
    if reply.role != "assistant" or kept is None or kept.sampling is None:
        raise StoreError(
            "This turn cannot be replayed",
            "It is not a model's reply, or its sampling was not stored.",
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
    """Generate this reply again and compare both. The conversation does not change.

    Raises:
        StoreError: the turn is not a model's reply.
        SpnlError: the error of `replier`.
    """
    request = replay_request(conversation, turn_id, now)
    return compare(conversation[turn_id], request, request.begun + await replier.reply(request))


def compare(reply: Turn, request: ReplayRequest, text: str) -> ReplayResult:
    """Compare the stored reply with the new text."""
    old, new = reply.text, text
    if reply.finish_reason in ("cancelled", "failed"):
        # The reply was stopped, so compare only its part.
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
        doubts.append("It was sampled without a seed, so it cannot be reproduced.")
    if kept.prompt_sha256 is None:
        doubts.append("Its prompt was not stored exactly.")
    elif kept.prompt_sha256 != sha256:
        doubts.append("The turns before it have changed since.")
    if reply.finish_reason in ("cancelled", "failed"):
        doubts.append("It was stopped early, so only the stored part can be compared.")
    for name, what in {
        "revision": "The model's revision",
        "file_sha256": "The model's file",
        "engine_version": "The engine's version",
        "load_plan": "The load plan",
    }.items():
        then, today = getattr(kept, name), getattr(now, name) if now else None
        if then and today and then != today:
            doubts.append(f"{what} has changed since.")
    return doubts
