"""The prompt: its history, its size, and what is not sent."""

from __future__ import annotations

import pytest
from textual import events

from spnl_tui.ui import messages
from spnl_tui.ui.widgets.status_line import StatusLine
from tests.support.waiting import wait_until
from tests.ui.support import TempStore, chat


async def test_blank_prompt_is_not_sent() -> None:
    async with chat() as it:
        await it.press("space", "enter")
        assert it.happened(messages.ReplyBegan) == []


@pytest.mark.slow
async def test_history_keys_keep_the_draft() -> None:
    async with chat() as it:
        await it.ask("one")
        await it.ask("two")
        await it.press(*"draft", "up")
        assert it.prompt.text == "two"
        await it.press("up", "up")
        assert it.prompt.text == "one"
        await it.press("down", "down")
        assert it.prompt.text == "draft"


@pytest.mark.slow
async def test_up_moves_within_a_prompt_of_several_lines_first() -> None:
    async with chat() as it:
        await it.ask("old")
        await it.press("a", "ctrl+j", "b", "up")
        assert it.prompt.text == "a\nb"
        await it.press("up")
        assert it.prompt.text == "old"


async def test_prompt_grows_up_to_a_third_of_the_screen() -> None:
    async with chat() as it:
        assert it.prompt.size.height == 1
        await it.press("a", "ctrl+j", "b", "ctrl+j", "c")
        await it.pilot.pause()
        assert it.prompt.size.height == 3
        it.prompt.insert("\n" * 30)
        await it.pilot.pause()
        assert it.prompt.outer_size.height <= 8


async def test_paste_of_several_lines_is_not_sent() -> None:
    async with chat() as it:
        # As a terminal's paste comes: by way of the app, which hands it to the focused widget.
        it.app.post_message(events.Paste("one\r\ntwo\x1b[31m\n"))
        await wait_until(lambda: it.prompt.text)
        await it.pilot.pause()
        assert it.prompt.text == "one\ntwo[31m\n"
        assert it.happened(messages.PromptSubmitted) == []


@pytest.mark.slow
async def test_unsent_prompt_is_counted(store: TempStore) -> None:
    async with chat(store=store) as it:
        await it.ask("Hi")
        it.prompt.insert("three more words")
        await wait_until(lambda: it.screen.activity.unsent == 3)
        assert "context 24+3 of 8,192" in str(it.screen.query_one(StatusLine).render())
        it.prompt.text = ""
        await wait_until(lambda: it.screen.activity.unsent == 0)


@pytest.mark.slow
async def test_terminal_too_narrow_for_the_prompt_does_not_end_the_program() -> None:
    async with chat() as it:
        for size in ((1, 1), (5, 12), (5, 2), (80, 24)):
            await it.pilot.resize_terminal(*size)
        await it.press("z")
        assert it.prompt.text == "z"
