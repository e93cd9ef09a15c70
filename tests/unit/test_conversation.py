"""The tree of turns: branching, walking, deleting and undoing, and what the model is sent."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spnl_tui.conversations.conversation import Conversation, Deletion
from spnl_tui.conversations.copies import fork
from spnl_tui.conversations.turn import Provenance, Turn
from spnl_tui.models.parts import TextPart, ToolCallPart, ToolResultPart
from spnl_tui.models.request import Message


def texts(turns: tuple[Turn, ...]) -> list[str]:
    return [turn.text for turn in turns]


def talk(*said: str) -> Conversation:
    conversation = Conversation()
    for index, text in enumerate(said):
        turn = conversation.add_turn("assistant" if index % 2 else "user", text)
        if turn.role == "assistant":
            conversation.finish(turn.id, "stop")
    return conversation


def test_turns_follow_each_other_on_the_active_branch() -> None:
    conversation = talk("q1", "a1", "q2")
    assert texts(conversation.path()) == ["q1", "a1", "q2"]
    assert [turn.parent for turn in conversation.path()] == [None, *(t.id for t in conversation.path()[:-1])]


def test_reply_streams_until_it_is_finished() -> None:
    conversation = talk("q")
    reply = conversation.add_turn("assistant")
    assert reply.streaming
    conversation.append(reply.id, "Hel")
    conversation.append(reply.id, "lo", reasoning="hm")
    reply = conversation.finish(reply.id, "cancelled", provenance=Provenance(model="m"))
    assert (reply.text, reply.reasoning, reply.finish_reason, reply.streaming) == (
        "Hello",
        "hm",
        "cancelled",
        False,
    )
    assert conversation[reply.id] == reply


def test_editing_keeps_the_old_branch_and_walking_back_shows_it_whole() -> None:
    conversation = talk("q1", "a1", "q2", "a2")
    first = conversation.path()[0]
    edited = conversation.branch_from(first.id, "q1'")
    assert texts(conversation.path()) == ["q1'"]
    assert texts(conversation.siblings(edited.id)) == ["q1", "q1'"]
    conversation.select(first.id)
    assert texts(conversation.path()) == ["q1", "a1", "q2", "a2"]
    conversation.select(edited.id)
    assert texts(conversation.path()) == ["q1'"]


def test_selecting_an_earlier_turn_keeps_the_choices_below() -> None:
    conversation = talk("q1", "a1", "q2", "a2")
    second = conversation.path()[3]
    conversation.regenerate(second.id)
    conversation.select(second.id)
    conversation.branch_from(conversation.path()[0].id, "other")
    conversation.select(second.parent or "")
    assert texts(conversation.path()) == ["q1", "a1", "q2", "a2"]


def test_regenerating_adds_a_chosen_empty_sibling() -> None:
    conversation = talk("q", "a")
    again = conversation.regenerate(conversation.path()[1].id)
    assert again.streaming
    assert texts(conversation.siblings(again.id)) == ["a", ""]
    assert conversation.path()[-1] == again
    with pytest.raises(ValueError, match="reply"):
        conversation.regenerate(conversation.path()[0].id)


def test_edited_reply_is_not_attributed_to_the_model() -> None:
    conversation = talk("q")
    reply = conversation.add_turn("assistant", "wrong", provenance=Provenance(model="m"))
    conversation.finish(reply.id, "length")
    edited = conversation.branch_from(reply.id, "right")
    assert (edited.provenance, edited.finish_reason) == (None, "length")


def test_messages_join_turns_of_one_role_and_leave_empty_ones_out() -> None:
    conversation = talk("q1")
    conversation.system_prompt = "Be brief."
    failed = conversation.add_turn("assistant")
    conversation.finish(failed.id, "failed", error="no memory")
    conversation.add_turn("user", "q2")
    partial = conversation.add_turn("assistant", "half an ans")
    conversation.finish(partial.id, "cancelled")
    assert conversation.messages() == (
        Message("system", "Be brief."),
        Message("user", "q1\n\nq2"),
        Message("assistant", "half an ans"),
    )


def test_fork_is_a_separate_conversation() -> None:
    conversation = talk("q1", "a1", "q2", "a2")
    branch = conversation.path()
    conversation.update_turn(
        dataclasses.replace(branch[1], provenance=Provenance(left_out=(branch[0].id, "elsewhere")))
    )
    forked = fork(conversation, branch[1].id)
    assert texts(forked.path()) == ["q1", "a1"]
    assert forked.id != conversation.id
    assert not {turn.id for turn in forked.turns()} & {turn.id for turn in conversation.turns()}
    provenance = forked.path()[1].provenance
    assert provenance is not None
    assert provenance.left_out == (forked.path()[0].id,)
    forked.add_turn("user", "only here")
    assert texts(conversation.path()) == ["q1", "a1", "q2", "a2"]


def test_deleting_a_turn_moves_its_children_to_its_parent() -> None:
    conversation = talk("q1", "a1", "q2", "a2")
    deletion = conversation.delete_turn(conversation.path()[1].id)
    assert texts(conversation.path()) == ["q1", "q2", "a2"]
    conversation.restore(deletion)
    assert texts(conversation.path()) == ["q1", "a1", "q2", "a2"]


def test_undo_restores_a_deleted_branch_whole() -> None:
    conversation = talk("q1", "a1", "q2", "a2")
    again = conversation.regenerate(conversation.path()[1].id)
    conversation.append(again.id, "a1'")
    conversation.select(conversation.siblings(again.id)[0].id)
    deletion = conversation.delete_branch(conversation.path()[1].id)
    assert texts(conversation.path()) == ["q1", "a1'"]
    conversation.restore(deletion)
    assert texts(conversation.path()) == ["q1", "a1", "q2", "a2"]
    assert texts(conversation.siblings(again.id)) == ["a1", "a1'"]


def test_turns_added_after_a_deletion_survive_its_undo() -> None:
    conversation = talk("q1", "a1", "q2")
    deletion = conversation.delete_turn(conversation.path()[1].id)
    conversation.add_turn("assistant", "new")
    conversation.restore(deletion)
    assert texts(conversation.path()) == ["q1", "a1", "q2", "new"]


def test_undo_below_a_deleted_turn_is_rejected() -> None:
    conversation = talk("q1", "a1", "q2")
    inner = conversation.delete_branch(conversation.path()[2].id)
    conversation.delete_branch(conversation.path()[1].id)
    with pytest.raises(KeyError):
        conversation.restore(inner)


def test_orphans_and_rings_stay_visible() -> None:
    turns = [
        Turn(id="orphan", parent="nowhere", role="user"),
        Turn(id="a", parent="c", role="user"),
        Turn(id="b", parent="a", role="user"),
        Turn(id="c", parent="b", role="user"),
        Turn(id="self", parent="self", role="user"),
    ]
    conversation = Conversation.of(Conversation(chosen={"a": "nothing"}), turns)
    assert {turn.id for turn in conversation.turns()} == {"orphan", "a", "b", "c", "self"}
    for turn in turns:
        conversation.select(turn.id)
        assert turn.id in {t.id for t in conversation.path()}


@pytest.mark.slow
@given(st.data())
def test_deletions_undone_in_reverse_order_restore_the_tree(data: st.DataObject) -> None:
    conversation = Conversation()
    for number in range(data.draw(st.integers(1, 12))):
        parent = data.draw(st.sampled_from([None, *(turn.id for turn in conversation.turns())]))
        conversation.add_turn("user", str(number), parent=parent)
    before = (list(conversation.turns()), conversation.path(), dict(conversation.chosen))
    deletions: list[Deletion] = []
    while len(conversation) and data.draw(st.booleans()):
        turn = data.draw(st.sampled_from(list(conversation.turns())))
        delete = data.draw(st.sampled_from([conversation.delete_turn, conversation.delete_branch]))
        deletions.append(delete(turn.id))
        assert set(conversation.path()) <= set(conversation.turns())
    for deletion in reversed(deletions):
        conversation.restore(deletion)
    assert (list(conversation.turns()), conversation.path(), conversation.chosen) == before


def test_branch_of_thousands_of_turns_is_handled() -> None:
    turns, parent = [], None
    for number in range(4999):
        turns.append(Turn(id=str(number), parent=parent, role="user", created_at=float(number)))
        parent = turns[-1].id
    conversation = Conversation.of(Conversation(), turns)
    conversation.add_turn("assistant", "said")
    assert len(conversation.path()) == len(list(conversation.turns())) == 5000
    conversation.delete_branch(conversation.path()[1].id)
    assert len(conversation) == 1


def test_call_during_which_the_program_ended_gets_a_result_when_it_is_sent() -> None:
    conversation = Conversation()
    conversation.add_turn("user", "Read it.")
    answered, open = ToolCallPart("a", "read_file", "{}"), ToolCallPart("b", "read_file", "{}")
    result = ToolResultPart("a", (TextPart("forty-two"),))
    reply = conversation.add_turn("assistant", (TextPart("I look."), answered, open, result))
    conversation.finish(reply.id, "cancelled")
    conversation.add_turn("user", "And?")
    messages = conversation.messages()
    assert [message.role for message in messages] == ["user", "assistant", "tool", "user"]
    assert [part.call_id for part in messages[2].content if isinstance(part, ToolResultPart)] == ["a", "b"]
    assert "stopped before it had a result" in messages[2].model_text
