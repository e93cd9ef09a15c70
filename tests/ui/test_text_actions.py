"""Every action of Textual's text widgets at the edges of a text: none ends the program."""

from __future__ import annotations

import itertools

import pytest
from textual.binding import Binding
from textual.document._document import Selection
from textual.widgets import Input, TextArea

from tests.support.waiting import wait_until
from tests.ui.support import chat

TEXTS = ("", "word", "word\n", "\n\nlast", "two words\n\n  한국어 ")


def actions(widget: type[TextArea | Input]) -> list[str]:
    """The actions of the widget's own bindings."""
    found = {binding.action for binding in widget.BINDINGS if isinstance(binding, Binding)}
    return sorted(found - {"submit"})


DELETED_LINES = [
    ("", ["ctrl+k"], ""),
    ("", ["ctrl+x"], ""),
    ("", ["ctrl+shift+k"], ""),
    ("single", ["ctrl+x"], ""),
    ("single", ["ctrl+shift+k"], ""),
    ("first\n", ["ctrl+k"], "first"),
    ("first\nsecond", ["ctrl+x"], "first"),
    ("first\nsecond", ["ctrl+shift+k", "ctrl+z"], "first\nsecond"),
    ("first\n\nthird", ["up", "ctrl+k"], "first\nthird"),
]


@pytest.mark.slow
async def test_deleted_line_at_the_end_takes_its_break_along() -> None:
    async with chat() as it:
        for text, keys, left in DELETED_LINES:
            it.prompt.text = ""
            it.prompt.insert(text)
            await it.press(*keys)
            assert it.prompt.text == left, (text, keys)
            await it.press("z")
            assert "z" in it.prompt.text


async def test_cut_line_is_on_the_clipboard() -> None:
    async with chat() as it:
        it.prompt.insert("first\nsecond")
        await it.press("ctrl+x")
        assert it.app.clipboard.strip() == "second"


@pytest.mark.parametrize("key", ["ctrl+x", "ctrl+c"])
async def test_folded_paste_is_cut_and_copied_whole(key: str) -> None:
    paste = "line\n" * 40
    async with chat() as it:
        it.prompt.insert(f"see {it.prompt.folds.fold(paste)}")
        it.prompt.select_all()
        await it.press(key)
        assert it.app.clipboard == f"see {paste}"
        if key == "ctrl+x":
            await it.press("ctrl+z")
        assert it.prompt.text == "see [pasted 40 lines]"


@pytest.mark.slow  # hundreds of combinations, each with keys of its own
async def test_prompt_survives_every_action_at_every_edge() -> None:
    async with chat() as it:
        token = it.prompt.folds.fold("folded\n" * 40)
        for action, text in itertools.product(actions(TextArea), (*TEXTS, token, f"{token}\n{token}")):
            it.prompt.replace_all(text)
            start, end = (0, 0), it.prompt.document.end
            first_line = (0, len(it.prompt.document.lines[0]))
            for anchor, cursor in ((start, start), (first_line, first_line), (end, end), (start, end)):
                it.prompt.replace_all(text)
                it.prompt.selection = Selection(anchor, cursor)
                await it.app.run_action(action, it.prompt)
        await it.pilot.pause()
        assert it.app.is_running


@pytest.mark.slow
async def test_find_bar_survives_every_action_at_every_edge() -> None:
    async with chat() as it:
        await it.ask("question")
        await it.press("ctrl+slash")
        await wait_until(lambda: isinstance(it.app.focused, Input))
        line = it.app.focused
        assert isinstance(line, Input)
        for action, text in itertools.product(actions(Input), ("", "word", " two  한국어 ")):
            for anchor, cursor in itertools.product((0, len(text)), repeat=2):
                line.value = text
                line.selection = type(line.selection)(anchor, cursor)
                await it.app.run_action(action, line)
        await it.pilot.pause()
        assert it.app.is_running
