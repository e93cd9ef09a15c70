"""Thoughts are told from replies by the model's own markers, however the text is cut into chunks."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from spnl_tui.engine.mistralrs.runner.thoughts import HarmonySplitter, Splitter, ThoughtSplitter
from spnl_tui.models.prompts.thought_markers import HARMONY, KNOWN, ThoughtMarkers

THINK = ThoughtMarkers("<think>", "</think>")


def split(splitter: Splitter, chunks: Iterable[str]) -> tuple[str, str]:
    text = thought = ""
    for chunk in chunks:
        piece = splitter.feed(chunk)
        text, thought = text + piece.text, thought + piece.thought
        if splitter.ended:
            return text, thought
    piece = splitter.rest()
    return text + piece.text, thought + piece.thought


def cut(text: str, size: int) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


@pytest.mark.parametrize("markers", KNOWN, ids=lambda markers: markers.open.strip())
@pytest.mark.parametrize("size", [1, 3, 100])
def test_written_markers_of_every_family_split_a_reply(markers: ThoughtMarkers, size: int) -> None:
    reply = f"\n{markers.open}{markers.heading}Hm, so.{markers.close}\n\nHello there."
    assert split(ThoughtSplitter([markers]), cut(reply, size)) == ("Hello there.", "Hm, so.")


@pytest.mark.parametrize("markers", KNOWN, ids=lambda markers: markers.open.strip())
def test_marker_tokens_of_every_family_split_a_reply(markers: ThoughtMarkers) -> None:
    splitter = ThoughtSplitter([markers], tokens={markers.open, markers.close}, hidden={markers.open})
    chunks = [markers.open, *cut(f"{markers.heading}Hm, so.", 2), markers.close, "\n\n", "Hello", " there."]
    assert split(splitter, chunks) == ("Hello there.", "Hm, so.")


@pytest.mark.parametrize("tokens", [set(), {"<think>", "</think>"}], ids=["written", "tokens"])
def test_reply_about_the_markers_keeps_its_words(tokens: set[str]) -> None:
    chunks = ["Write", " `", "<think>", "`", " before and `", "</think>", "`", " after", "<think>", "."]
    splitter = ThoughtSplitter([THINK], tokens=tokens, hidden=tokens)
    assert split(splitter, chunks) == ("".join(chunks), "")


def test_marker_in_code_does_not_close_a_thought() -> None:
    chunks = ["They ask about `", "</think>", "`", " again.", "</think>", "\n", "Yes."]
    splitter = ThoughtSplitter([THINK], inside=THINK)
    assert split(splitter, chunks) == ("Yes.", "They ask about `</think>` again.")


def test_thought_that_ends_with_code_is_closed() -> None:
    splitter = ThoughtSplitter([THINK], inside=THINK)
    assert split(splitter, ["Use `len`", "</think>", "\n\n", "`len` it is."]) == ("`len` it is.", "Use `len`")


def test_text_that_looks_like_a_token_does_not_close_a_thought() -> None:
    splitter = ThoughtSplitter([THINK], tokens={"<think>", "</think>"}, inside=THINK)
    chunks = ["a", "</", "think", ">", "b", "</think>", "c"]
    assert split(splitter, chunks) == ("c", "a</think>b")


def test_empty_thought_may_come_before_another() -> None:
    chunks = cut("<think>\n\n</think>\n\n<think>Hm</think>\nHi", 4)
    text, thought = split(ThoughtSplitter([THINK]), chunks)
    assert (text, thought.strip()) == ("Hi", "Hm")


def test_control_tokens_are_not_shown_and_ends_end_the_reply() -> None:
    splitter = ThoughtSplitter(tokens={"<|a|>", "<|z|>"}, hidden={"<|a|>", "<|z|>"}, ends={"<|z|>"})
    assert split(splitter, ["Hi", "<|a|>", " you", "<|z|>", "user"]) == ("Hi you", "")
    assert splitter.ended


def test_token_that_comes_with_held_text_is_found() -> None:
    # mistral.rs holds back "<" until it knows that no marker of its own begins there.
    splitter = ThoughtSplitter([THINK], tokens={"<think>", "</think>"}, inside=THINK)
    assert split(splitter, ["a ", "<</think>", "b"]) == ("b", "a <")


def test_resumed_text_keeps_its_first_characters() -> None:
    assert split(ThoughtSplitter([THINK], begun=True), ["\n\n", "<think>", " more"]) == (
        "\n\n<think> more",
        "",
    )


def test_indentation_of_the_first_line_is_kept() -> None:
    assert split(ThoughtSplitter(), ["\n \n", "    code"]) == ("    code", "")


@pytest.mark.parametrize("tokens", [set(), set(HARMONY)], ids=["written", "tokens"])
def test_harmony_channels_are_thought_and_reply(tokens: set[str]) -> None:
    chunks = [
        "<|channel|>", "analysis", "<|message|>", "Hm, so.", "<|end|>", "<|start|>", "assistant",
        "<|channel|>", "final", "<|message|>", "Hello", " there.", "<|return|>", "<|start|>", "user",
    ]  # fmt: skip
    splitter = HarmonySplitter(tokens=tokens, hidden=tokens)
    assert split(splitter, chunks) == ("Hello there.", "Hm, so.")
    assert splitter.ended


def test_harmony_call_of_a_tool_is_not_part_of_the_reply() -> None:
    chunks = [
        "<|channel|>",
        "commentary to=functions.x ",
        "<|constrain|>",
        "json",
        "<|message|>",
        "{}",
        "<|call|>",
    ]
    assert split(HarmonySplitter(), chunks)[0] == ""


def test_model_that_does_not_write_harmony_is_shown() -> None:
    assert split(HarmonySplitter(), ["Just ", "text."]) == ("Just text.", "")


def test_harmony_prompt_with_an_open_channel_continues_in_it() -> None:
    assert split(HarmonySplitter(channel="analysis"), ["so.", "<|end|>"]) == ("", "so.")
    final = HarmonySplitter(channel="final")
    assert split(final, ["so.", "<|end|>", "more"]) == ("so.", "")
