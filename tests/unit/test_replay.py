"""Running stored replies again."""

from __future__ import annotations

from dataclasses import replace

import pytest

from spnl_tui.conversations.context import prompt_sha256
from spnl_tui.conversations.conversation import Conversation
from spnl_tui.conversations.replay import Piece, ReplayRequest, replay, replay_request
from spnl_tui.conversations.turn import FinishReason, Provenance
from spnl_tui.errors import StoreError
from spnl_tui.models.request import Message, Sampling

GREEDY = Sampling(temperature=0)


class Saying:
    """Replies with this text, and remembers what it was asked."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.asked: list[ReplayRequest] = []

    async def reply(self, request: ReplayRequest) -> str:
        self.asked.append(request)
        return self.text


def answered(
    text: str, sampling: Sampling = GREEDY, finish_reason: FinishReason = "stop", **kept: str
) -> tuple[Conversation, str]:
    conversation = Conversation(system_prompt="Be brief.")
    conversation.add_turn("user", "Why?")
    sent = conversation.messages()
    reply = conversation.add_turn("assistant", text)
    provenance = Provenance(
        model="m",
        sampling=sampling,
        system_prompt="Be brief.",
        prompt_sha256=prompt_sha256(sent),
        **kept,  # type: ignore[arg-type]
    )
    conversation.finish(reply.id, finish_reason, provenance=provenance)
    conversation.system_prompt = "Changed since."
    return conversation, reply.id


async def test_replay_of_a_greedy_reply_sends_the_same_request() -> None:
    conversation, reply = answered("Because it is.")
    engine = Saying("Because it is.")
    result = await replay(conversation, reply, engine)
    (request,) = engine.asked
    assert request.messages == (Message("system", "Be brief."), Message("user", "Why?"))
    assert (request.model, request.sampling, request.doubts) == ("m", GREEDY, ())
    assert (result.same, result.differs_at, result.pieces) == (True, None, (Piece("same", "Because it is."),))


async def test_replay_shows_where_a_reply_differs() -> None:
    conversation, reply = answered("The sky is blue today.\n")
    result = await replay(conversation, reply, Saying("The sky was blue today.\nReally."))
    assert (result.same, result.differs_at) == (False, 8)
    kept = "".join(piece.text for piece in result.pieces if piece.kind != "said")
    said = "".join(piece.text for piece in result.pieces if piece.kind != "kept")
    assert (kept, said) == ("The sky is blue today.\n", "The sky was blue today.\nReally.")
    assert Piece("kept", " is") in result.pieces


async def test_stopped_reply_is_compared_up_to_its_end() -> None:
    conversation, reply = answered("Because", finish_reason="cancelled")
    result = await replay(conversation, reply, Saying("Because it is."))
    assert result.same
    assert "stopped" in result.request.doubts[0]


@pytest.mark.parametrize(
    ("sampling", "word"),
    [(Sampling(temperature=0.7), "seed"), (Sampling(temperature=0.7, seed=3), None), (GREEDY, None)],
)
def test_sampled_reply_repeats_only_with_a_seed(sampling: Sampling, word: str | None) -> None:
    doubts = replay_request(*answered("x", sampling)).doubts
    assert (len(doubts) == 1 and word in doubts[0]) if word else not doubts


def test_changes_since_the_reply_are_reported() -> None:
    conversation, reply = answered("x", file_sha256="a", engine_version="1", revision="r")
    now = Provenance(file_sha256="b", engine_version="1", load_plan="other")
    (doubt,) = replay_request(conversation, reply, now).doubts
    assert "file" in doubt
    conversation.delete_turn(conversation.path()[0].id)
    conversation.add_turn("user", "Other", parent=None)
    (changed,) = replay_request(conversation, reply).doubts
    assert "changed" in changed


def test_only_replies_of_a_model_can_be_replayed() -> None:
    conversation, reply = answered("x")
    with pytest.raises(StoreError, match="cannot be replayed"):
        replay_request(conversation, conversation.path()[0].id)
    edited = conversation.branch_from(reply, "y")
    with pytest.raises(StoreError, match="cannot be replayed"):
        replay_request(conversation, edited.id)


async def test_continued_reply_is_replayed_from_its_beginning() -> None:
    conversation, id = answered("The sea is wide.")
    turn = conversation[id]
    assert turn.provenance is not None
    sent = (*conversation.messages(conversation.path()[:-1]), Message("assistant", "The sea"))
    sent = (Message("system", "Be brief."), *sent[1:])
    provenance = replace(turn.provenance, begun=len("The sea"), prompt_sha256=prompt_sha256(sent))
    conversation.update_turn(replace(turn, provenance=provenance))
    saying = Saying(" is wide.")
    result = await replay(conversation, id, saying)
    assert result.same
    assert result.request.doubts == ()
    assert saying.asked[0].begun == "The sea"
    assert saying.asked[0].messages == sent
