"""Unforeseen exceptions: each is shown and logged, and the program continues."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from textual.app import ComposeResult
from textual.geometry import Offset
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from spnl_tui.ui.dialogs.confirm_screen import ConfirmScreen
from spnl_tui.ui.widgets.background import start
from tests.support.scripted_engine import ScriptedEngine
from tests.support.waiting import wait_until
from tests.ui.support import Chat, TempStore, chat, held, kept, told

TOLD = "An error in the program: ZeroDivisionError: integer division or modulo by zero"


def fail(*args: Any, **kwargs: Any) -> Any:
    return 1 // 0


async def fail_later(*args: Any, **kwargs: Any) -> Any:
    return 1 // 0


class Broken(ModalScreen[None]):
    """A dialog that cannot be composed."""

    def compose(self) -> ComposeResult:
        yield Input()
        fail()


class BrokenPart(ModalScreen[None]):
    """A dialog with a part that cannot be mounted."""

    class Part(Static):
        def on_mount(self) -> None:
            fail()

    def compose(self) -> ComposeResult:
        yield self.Part()


async def in_message_handler(it: Chat) -> None:
    it.screen.prompts.submit = fail_later  # type: ignore[method-assign]
    await it.press("x", "enter")


async def in_key_action(it: Chat) -> None:
    it.prompt.insert_newline = fail  # type: ignore[method-assign]
    await it.press("ctrl+j")


async def in_worker(it: Chat) -> None:
    start(it.screen, "test", fail_later)


async def in_timer(it: Chat) -> None:
    it.screen.set_timer(0.001, fail)


async def in_callback(it: Chat) -> None:
    it.screen.call_after_refresh(fail)


async def in_dialog(it: Chat) -> None:
    it.app.push_screen(Broken())


async def in_part_of_a_dialog(it: Chat) -> None:
    it.app.push_screen(BrokenPart())


@pytest.mark.slow
@pytest.mark.parametrize(
    "raise_it",
    [in_message_handler, in_key_action, in_worker, in_timer, in_callback, in_dialog, in_part_of_a_dialog],
)
async def test_unforeseen_exception_becomes_a_toast(
    raise_it: Callable[[Chat], Awaitable[None]], caplog: pytest.LogCaptureFixture
) -> None:
    hold = asyncio.Event()
    async with chat(ScriptedEngine([held("Half", hold, " and whole.")]), strict=False) as it:
        await it.ask("question", wait=False)
        await wait_until(lambda: it.turns[-1:] == [("assistant", "Half")])
        with caplog.at_level(logging.ERROR, "spnl_tui"):
            await raise_it(it)
            await wait_until(lambda: any(toast.startswith(TOLD) for toast in told(it)))
        await wait_until(lambda: it.app.screen is it.screen)
        assert "1 // 0" in caplog.text
        it.prompt.focus()
        await it.press(*"draft")
        assert it.prompt.text == "draft"
        hold.set()
        await wait_until(lambda: it.ended() == 1)
        assert it.turns == [("user", "question"), ("assistant", "Half and whole.")]


@pytest.mark.slow
async def test_exception_in_every_frame_ends_the_program_and_keeps_the_reply(store: TempStore) -> None:
    async with chat(ScriptedEngine([held("Half", asyncio.Event())]), store=store, strict=False) as it:
        await it.ask("question", wait=False)
        await wait_until(lambda: it.turns[-1:] == [("assistant", "Half")])
        it.screen.set_interval(0.001, fail)
        await wait_until(lambda: not it.app.is_running)
    assert it.app.return_code == 1
    [[_, reply]] = await kept(store)
    assert reply[1] == "Half"


async def test_second_enter_dismisses_no_other_dialog() -> None:
    answers: list[bool | None] = []
    async with chat() as it:
        first, second = ConfirmScreen("First?"), ConfirmScreen("Second?")
        it.app.push_screen(first, answers.append)
        it.app.push_screen(second)
        await wait_until(lambda: it.app.screen is second)
        for _ in range(3):
            second.dismiss(True)
        await it.pilot.pause()
        assert it.app.screen is first
        first.dismiss(True)
        await wait_until(lambda: answers == [True])


async def test_click_on_a_widget_that_was_just_removed_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async with chat() as it:
        removed = Static("gone")
        find = it.screen._compositor.get_widget_and_offset_at
        gone = (removed, Offset(0, 0))
        monkeypatch.setattr(it.screen._compositor, "get_widget_and_offset_at", lambda x, y: gone)
        await it.pilot.mouse_down(offset=(5, 5))
        monkeypatch.setattr(it.screen._compositor, "get_widget_and_offset_at", find)
        await it.press("z")
        assert it.prompt.text == "z"
