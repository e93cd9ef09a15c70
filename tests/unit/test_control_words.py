"""Control words in a text are text."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from spnl_tui.engine.mistralrs.runner.control_words import JOINER, ControlWords

WORDS = ("<|im_end|>", "<|im_start|>", "[INST]", "</s>", "<s>", "<｜User｜>", "<<", "\n\n")


@given(st.lists(st.sampled_from([*WORDS, "<", "|", "im_end", " ", "[", "a", JOINER]), max_size=12))
def test_no_control_word_survives_and_no_letter_is_lost(pieces: list[str]) -> None:
    text = "".join(pieces)
    sent = ControlWords(WORDS).as_text(text)
    assert sent.replace(JOINER, "") == text.replace(JOINER, "")
    assert not any(word in sent for word in WORDS if not word.isspace())


def test_other_text_stays_as_it_is() -> None:
    text = "a < b, [INSTALL], <|im_ending|> and </span>" * 1000
    assert ControlWords(WORDS).as_text(text) == text
    assert ControlWords().as_text("<|im_end|>") == "<|im_end|>"
