"""Long texts that are pasted into the prompt."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual import events

from spnl_tui.ui.chat.input.folds import Folds
from tests.support.scripted_engine import ScriptedEngine
from tests.support.waiting import wait_until
from tests.ui.support import Chat, chat

LONG = "\n".join(f"line {number} of @nobody" for number in range(48))
TOKEN = "[pasted 48 lines]"


async def paste(it: Chat, text: str) -> None:
    before = it.prompt.text
    it.app.post_message(events.Paste(text))
    await wait_until(lambda: it.prompt.text != before)
    await it.pilot.pause()


def test_long_pastes_are_folded() -> None:
    folds = Folds()
    twelve = "\n".join("abcdefghijkl")
    assert folds.fold(twelve) == twelve
    assert folds.fold(f"{twelve}\n") == f"{twelve}\n"
    assert folds.fold(f"{twelve}\nm") == "[pasted 13 lines]"
    assert folds.fold("x" * 2000) == "x" * 2000
    assert folds.fold("x" * 2001) == "[pasted 2,001 characters]"
    assert folds.fold("y" * 2001) == "[pasted 2,001 characters, 2]"
    assert folds.fold("x" * 2001) == "[pasted 2,001 characters]"
    typed = "a [pasted 2,001 characters, 2] b [pasted 2,001 characters]"
    assert folds.unfold(typed) == f"a {'y' * 2001} b {'x' * 2001}"
    assert folds.refold(folds.unfold(typed)) == typed
    assert folds.unfold("[pasted 99 lines]") == "[pasted 99 lines]"


@given(st.lists(st.integers(13, 15).map(lambda lines: "x\n" * lines), max_size=3), st.text(max_size=9))
def test_unfolding_reverts_folding(texts: list[str], words: str) -> None:
    folds = Folds()
    whole = words.join([words, *texts, words])
    for text in texts:
        folds.fold(text)
    assert folds.unfold(folds.refold(whole)) == whole


@pytest.mark.slow
async def test_folded_paste_is_sent_whole_and_returns_folded() -> None:
    async with chat() as it:
        await it.press(*"Sum up: ")
        await paste(it, LONG.replace("\n", "\r\n"))
        await it.press(*"!")
        assert it.prompt.text == f"Sum up: {TOKEN}!"
        await it.press("enter")
        await wait_until(it.ended)
        assert it.turns[0] == ("user", f"Sum up: {LONG}!")
        await it.press("up")
        assert it.prompt.text == f"Sum up: {TOKEN}!"
        it.prompt.text = ""
        await it.press("ctrl+e")
        await wait_until(lambda: it.prompt.text == f"Sum up: {TOKEN}!")
        await it.press("end", "backspace", "?", "enter")
        await wait_until(lambda: it.ended() == 2)
        assert it.turns[0] == ("user", f"Sum up: {LONG}?")


@pytest.mark.slow
async def test_token_is_deleted_as_a_whole_and_undo_restores_it() -> None:
    async with chat(ScriptedEngine()) as it:
        await paste(it, LONG)
        await it.press("a", "left", "backspace")
        assert it.prompt.text == "a"
        await it.press("ctrl+z")
        assert it.prompt.text == f"{TOKEN}a"
        await it.press("home", "delete")
        assert it.prompt.text == "a"
        await it.press("ctrl+z", "home", "right", "b")  # the cursor does not go into it
        assert it.prompt.text == f"{TOKEN}ba"
        await it.press("left", "left", "c")
        assert it.prompt.text == f"c{TOKEN}ba"
        it.prompt.move_cursor((0, 5))  # as with a mouse
        await it.press("x")
        assert it.prompt.text == "cxba"
        await it.press("ctrl+z", "enter")
        await wait_until(it.ended)
        assert it.turns[0] == ("user", f"c{LONG}ba")


@pytest.mark.slow
async def test_meter_counts_the_text_behind_a_token() -> None:
    async with chat() as it:
        await wait_until(lambda: it.screen.activity.context_length)
        await paste(it, LONG)
        await wait_until(lambda: it.screen.activity.unsent == len(LONG.split()))
        await it.press("space")
        await paste(it, LONG.upper())
        await paste(it, LONG)
        assert it.prompt.text == f"{TOKEN} [pasted 48 lines, 2]{TOKEN}"
        await it.press("enter")
        await wait_until(it.ended)
        assert it.turns[0] == ("user", f"{LONG} {LONG.upper()}{LONG}")
