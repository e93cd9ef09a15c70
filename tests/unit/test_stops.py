"""Stop sequences are found wherever they stand, however the text is cut into chunks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spnl_tui.engine.mistralrs.runner.stops import StopFilter


def shown(chunks: list[str], stops: list[str]) -> str:
    text, stop_filter = "", StopFilter(stops)
    for chunk in chunks:
        text += stop_filter.feed(chunk)
        if stop_filter.stopped:
            return text
    return text + stop_filter.rest()


@pytest.mark.slow
@given(
    st.lists(st.text("ab\n", max_size=4), max_size=12),
    st.lists(st.text("ab\n", min_size=1, max_size=3), max_size=3),
)
def test_text_ends_before_the_first_stop_sequence(chunks: list[str], stops: list[str]) -> None:
    whole = "".join(chunks)
    result = shown(chunks, stops)
    assert whole.startswith(result)
    assert not any(stop in result for stop in stops)
    if result != whole:
        assert any(whole.startswith(stop, len(result)) for stop in stops)


def test_text_that_cannot_begin_a_stop_sequence_is_shown_at_once() -> None:
    stop_filter = StopFilter(["END"])
    assert stop_filter.feed("The") == "The"
    assert stop_filter.feed(" E") == " "
    assert stop_filter.feed("N") == ""
    assert stop_filter.feed("x") == "ENx"
