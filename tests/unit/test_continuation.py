"""A reply that resumes: what is sent, and what of the answer is new."""

from __future__ import annotations

import re

import pytest

from spnl_tui.engine.mistralrs.continuation import Continuation


@pytest.mark.parametrize(
    "text", ["The sea is", "The", "", "The sea \n", "x" * 100, "日本語の挨拶", "a (b|c)* [d]", " \n "]
)
def test_prompt_and_repeated_word_make_up_the_text(text: str) -> None:
    it = Continuation.after("Tell me. ", text)
    grammar = it.grammar
    assert (grammar is None) == (text == "")
    assert it.prompt + it.repeated == "Tell me. " + text
    if grammar is not None:
        assert len(it.repeated) <= 24
        assert re.fullmatch(grammar.text, it.repeated + " and more\nof it")
        assert not re.fullmatch(grammar.text, "other")


def test_control_token_that_closes_a_thought_may_follow() -> None:
    grammar = Continuation.after("", "Let me/see", close=7).grammar
    assert grammar is not None
    assert grammar.kind == "lark"
    assert "<[7]>" in grammar.text
    assert r"/ me\/see(.|\n)*/" in grammar.text.replace("\\ ", " ")


@pytest.mark.parametrize("stripped", [False, True], ids=["as it is", "stripped"])
def test_only_new_text_is_returned_however_it_is_cut(stripped: bool) -> None:
    repeated = Continuation.after("", "The sea is").repeated
    assert repeated == " is"
    reply = (repeated.lstrip() if stripped else repeated) + " wide and is deep"
    for size in (1, 2, 3, 50):
        it = Continuation.after("", "The sea is")
        pieces = [it.feed(reply[at : at + size]) for at in range(0, len(reply), size)]
        assert "".join(pieces) == " wide and is deep"
