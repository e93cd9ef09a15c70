"""Chats as queries, and queries as chats."""

from __future__ import annotations

import pytest

from spnl_tui.conversations.conversation import Conversation
from spnl_tui.conversations.turn import Provenance
from spnl_tui.errors import QueryError
from spnl_tui.models.request import Sampling
from spnl_tui.queries.chat import branch_to_lisp, query_to_chat
from spnl_tui.queries.formats.any_format import read_query


def conversation() -> Conversation:
    """Two questions, the first with two replies of which the older one is chosen."""
    it = Conversation(
        system_prompt='Be "brief".', model="qwen3:1.7b", sampling=Sampling(temperature=0.3, max_tokens=99)
    )
    prompt = it.add_turn("user", "One?\n(or so)")
    first = it.add_turn("assistant", "Yes.")
    it.finish(first.id, "stop", provenance=Provenance(model="other"))
    it.finish(it.add_turn("assistant", "No.", parent=prompt.id).id, "stop")
    it.select(first.id)
    it.add_turn("user", "Two?")
    it.finish(it.add_turn("assistant", "Also.").id, "stop")
    return it


def test_a_branch_is_asked_again_by_its_query() -> None:
    opened = query_to_chat(read_query(branch_to_lisp(conversation())), Sampling())
    assert [(turn.role, turn.text) for turn in opened.conversation.path()] == [
        ("user", "One?\n(or so)"),
        ("assistant", "Yes."),
    ]
    assert (opened.prompt, opened.model) == ("Two?", "qwen3:1.7b")
    assert opened.conversation.system_prompt == 'Be "brief".'
    assert opened.conversation.sampling == Sampling(temperature=0.3, max_tokens=99)
    assert not any(turn.streaming for turn in opened.conversation.turns())


def test_a_conversation_without_a_model_names_the_one_that_replied() -> None:
    it = conversation()
    it.model = ""
    assert '"other"' in branch_to_lisp(it)


def test_missing_values_of_a_query_are_those_of_a_new_chat() -> None:
    defaults = Sampling(temperature=0.1, top_p=0.9)
    assert query_to_chat(read_query('(g "m" "Hi")'), defaults).conversation.sampling == defaults


@pytest.mark.parametrize("query", ['(plus (g "m" "a") (g "m" "b"))', '(g "m" (g "m" "a"))', '(user "a")'])
def test_query_with_several_requests_is_not_a_chat(query: str) -> None:
    with pytest.raises(QueryError, match="Not a chat"):
        query_to_chat(read_query(query), Sampling())


def test_an_empty_conversation_has_no_query() -> None:
    with pytest.raises(QueryError, match="Nothing to export"):
        branch_to_lisp(Conversation())
