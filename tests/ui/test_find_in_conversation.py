"""Finding words within the conversation that is seen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, Static

from spnl_tui.ui.chat.find_bar import FindBar
from spnl_tui.ui.main_screen import MainScreen
from tests.support.pictures import ask, both_sizes, finished, snapshot
from tests.support.scripted_engine import ScriptedEngine, reply
from tests.support.waiting import wait_until
from tests.ui.support import Chat, chat, make_app

PARA = "\n\n".join(f"Paragraph {number}." for number in range(60))


def about(it: Chat) -> str:
    return "".join(str(line.render()) for line in it.screen.query("FindBar Static"))


def looking(it: Chat) -> bool:
    return any(bar.display for bar in it.screen.query(FindBar))


def under_cursor(it: Chat) -> str:
    turn = it.screen.turns.under_cursor()
    return turn.text if turn is not None else ""


def found(it: Chat) -> list[str]:
    """The texts of the turns that are marked."""
    return [widget.turn.text for widget in it.screen.query(".-found")]  # type: ignore[attr-defined]  # all are turns


@pytest.mark.slow
async def test_turns_with_the_words_are_marked_and_walked() -> None:
    engine = ScriptedEngine([reply("It is **Paris**."), reply("Lyon."), reply("No more.")])
    async with chat(engine) as it:
        await it.ask("Capital of France?")
        await it.ask("Bigger than PARIS?")
        await it.ask("And Rome?")
        await it.press(*"draft", "ctrl+underscore")
        await wait_until(lambda: looking(it))
        await it.press(*"paris")
        await wait_until(lambda: about(it) == "turn 2 of 2")
        assert found(it) == ["It is **Paris**.", "Bigger than PARIS?"]
        await wait_until(lambda: under_cursor(it) == "Bigger than PARIS?")
        await it.press("up")
        await wait_until(lambda: under_cursor(it) == "It is **Paris**.")
        assert about(it) == "turn 1 of 2"
        await it.press("enter")  # and around
        await wait_until(lambda: about(it) == "turn 2 of 2")
        await it.press("down")
        await wait_until(lambda: about(it) == "turn 1 of 2")
        await it.press("x")
        await wait_until(lambda: about(it) == "not found")
        assert found(it) == []
        await it.press("backspace")
        await wait_until(lambda: found(it))
        await it.press("escape")
        assert (found(it), it.prompt.text, it.app.focused) == ([], "draft", it.prompt)
        assert under_cursor(it)
        assert not looking(it)


@pytest.mark.slow
async def test_line_with_the_words_scrolls_into_view() -> None:
    text = PARA.replace("Paragraph 30.", "Here is the *needle*.")
    async with chat(ScriptedEngine([reply(text), reply("Yes.")])) as it:
        await it.ask("Long")
        await it.ask("Short")
        await it.press(*"/find needle", "enter")
        await wait_until(lambda: about(it) == "turn 1 of 1")
        transcript = it.transcript

        def seen() -> bool:
            prose = next(p for p in it.screen.query("Reply Prose") if "needle" in str(p.render()))
            line = str(prose.render()).split("\n").index("Here is the needle.")
            row = prose.region.y + line - transcript.content_region.y
            return 0 <= row < transcript.content_region.height

        await wait_until(seen)


async def test_switching_conversations_closes_the_find_bar(tmp_path: Path) -> None:
    async with chat() as it:
        await it.press("ctrl+slash")
        assert not looking(it)
        await it.ask("Yes?")
        await it.press("ctrl+slash")
        await wait_until(lambda: looking(it))
        await it.press(*"yes")
        await wait_until(lambda: about(it) == "turn 2 of 2")
        await it.press("ctrl+n")
        await wait_until(lambda: not it.turns)
        assert not looking(it)


async def test_text_in_a_folded_file_is_not_found(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_text("needle")
    async with chat() as it:
        await it.ask("See @a.txt")
        await it.press(*"/find needle", "enter")
        await wait_until(lambda: about(it) == "not found")


@pytest.mark.slow
@both_sizes
def test_find_bar(snap_compare: Any, size: tuple[int, int]) -> None:
    engine = ScriptedEngine([reply("Trains are **faster** than planes where trains are fast.")])

    async def act(pilot: Pilot[None], screen: MainScreen) -> None:
        await ask(pilot, screen, "Are trains fast?", finished(screen, 2))
        await pilot.press("ctrl+slash")
        await wait_until(lambda: screen.query(FindBar))
        line = screen.query_one("FindBar Input", Input)
        line.cursor_blink = False
        await pilot.press(*"trains")
        await wait_until(lambda: "of 2" in str(screen.query_one("FindBar Static", Static).render()))

    snapshot(snap_compare, make_app(engine), size, act)
