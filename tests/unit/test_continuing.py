"""A reply that goes on: what is asked, and what of the answer is new."""

from __future__ import annotations

import re

import pytest

from spnl_tui.engine.mistralrs.continuation import Continuation, continuable, is_continuable
from spnl_tui.models.request import Message


def begun(text: str) -> Continuation:
    return Continuation.of((Message("user", "Tell me."), Message("assistant", text)))


@pytest.mark.parametrize(
    "text", ["The sea is", "The", "", "The sea \n", "x" * 100, "日本語の挨拶", "a (b|c)* [d]", " \n "]
)
def test_what_is_kept_and_what_is_said_again_make_up_the_text(text: str) -> None:
    it = begun(text)
    kept = it.messages[-1].text
    assert is_continuable(kept)  # it holds the mark
    assert is_continuable(continuable("{{ messages }}"))
    grammar = it.grammar
    assert (grammar is None) == (text == "")
    if grammar is not None:
        assert text.endswith(it.again)
        assert len(it.again) <= 24
        assert re.fullmatch(grammar.text, it.again + " and more\nof it")
        assert not re.fullmatch(grammar.text, "other")


@pytest.mark.parametrize("stripped", [False, True], ids=["as it is", "stripped"])
def test_only_what_is_new_is_given_however_it_is_cut(stripped: bool) -> None:
    again = begun("The sea is").again
    assert again == " is"
    reply = (again.lstrip() if stripped else again) + " wide and is deep"
    for size in (1, 2, 3, 50):
        it = begun("The sea is")
        pieces = [it.feed(reply[at : at + size]) for at in range(0, len(reply), size)]
        assert "".join(pieces) == " wide and is deep"


def test_a_mark_that_somebody_typed_is_taken_out() -> None:
    mark = begun("x").messages[-1].text
    it = Continuation.of((Message("user", f"a{mark}b"), Message("assistant", "c")))
    assert not is_continuable(it.messages[0].text)
