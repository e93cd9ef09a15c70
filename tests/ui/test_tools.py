"""Tools in the interface: the question before a call, the call in the reply, the commands."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from spnl_tui.models.parts import ToolCallPart, as_text
from spnl_tui.settings import Settings
from spnl_tui.settings.schema import ToolSettings
from spnl_tui.ui.tools import question_box
from spnl_tui.ui.tools.call_block import CallBlock
from spnl_tui.ui.tools.permissions_screen import PermissionsScreen
from spnl_tui.ui.tools.question_box import QuestionBox
from tests.support.scripted_engine import ScriptedEngine, calling, reply
from tests.support.waiting import is_running, wait_until
from tests.ui.support import Chat, at_rest, chat


@pytest.fixture(autouse=True)
def _read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(question_box, "READING_S", 0.0)


def write(path: str, text: str) -> ToolCallPart:
    return ToolCallPart("", "write_file", json.dumps({"path": path, "text": text}))


def settings(folder: Path, *allow: str) -> Settings:
    return Settings(tools=ToolSettings(enabled=("files",), workspace=folder, allow=allow))


async def question(it: Chat) -> QuestionBox:
    """Wait for a question that can be read, and return it."""
    await wait_until(lambda: it.screen.tools.asking)
    box = it.screen.query_one(QuestionBox)
    await wait_until(lambda: box._shown_at < float("inf"))
    await it.pilot.pause()
    return box


def results(it: Chat) -> list[str]:
    return [
        as_text(part.content)
        for part in it.screen.conversation.path()[-1].content
        if part.type == "tool_result"
    ]


def shown(it: Chat) -> str:
    """Return the text of the screen."""
    return "\n".join(strip.text.rstrip() for strip in it.screen._compositor.render_strips())


@pytest.mark.slow
async def test_question_is_answered_by_one_key_each(tmp_path: Path) -> None:
    engine = ScriptedEngine([
        calling(write("a.txt", "one\n")), calling(write("b.txt", "two")), calling(write("c.txt", "three")),
        calling(write("c.txt", "four")), reply("All done."),
    ])  # fmt: skip
    saved: dict[str, list[str]] = {}
    async with chat(engine, settings=settings(tmp_path)) as it:
        it.screen.tools._tools._save_rules = lambda name, rules: saved.update({name: list(rules)})
        await it.ask("Write the files.", wait=False)
        box = await question(it)
        assert box.has_focus
        await at_rest(it.pilot)
        assert "write_file wants to run" in shown(it)
        assert "+one" in shown(it)
        await it.press("y")
        await wait_until(lambda: box.question is not None and "b.txt" in box.question.call.arguments)
        await question(it)
        await it.press("n", *"No.", "enter")
        await wait_until(lambda: box.question is not None and "c.txt" in box.question.call.arguments)
        await question(it)
        await it.press("e")
        await it.pilot.pause()
        box._input.value = '{"path": "d.txt", "text": "five"}'
        await it.press("enter")
        await wait_until(lambda: box.question is not None and box.question.effect.summary == "d.txt")
        await question(it)
        await it.press("a")
        await wait_until(lambda: box.question is not None and "four" in box.question.call.arguments)
        await question(it)
        await it.press("escape")
        await wait_until(lambda: it.screen.activity.state == "idle")
        await it.pilot.pause()
        assert not box.display
        assert it.prompt.has_focus
        assert sorted({*os.listdir(tmp_path)} - {"home"}) == ["a.txt", "d.txt"]
        assert results(it) == [
            "Created a.txt (1 lines).",
            "The user denied this call. No.",
            '[The user has changed the arguments to {"path": "d.txt", "text": "five"}]\n\n'
            "Created d.txt (1 lines).",
            "The call was stopped before it had a result.",
        ]
        assert saved["tools.allow"] == ["write_file(d.txt)"]


@pytest.mark.slow
async def test_keys_typed_ahead_do_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = ScriptedEngine([calling(write("a.txt", "one")), reply("Done.")])
    async with chat(engine, settings=settings(tmp_path)) as it:
        monkeypatch.setattr(question_box, "READING_S", 60.0)
        await it.ask("Write it.", wait=False)
        box = await question(it)
        await it.press(*"yes")
        await it.pilot.pause()
        assert it.prompt.text == "yes"
        assert box.question is not None
        assert not (tmp_path / "a.txt").exists()
        monkeypatch.setattr(question_box, "READING_S", 0.0)
        await it.press("y")  # the prompt has the keys while something is typed
        assert it.prompt.text == "yesy"
        await it.press("alt+h", "y")
        await wait_until(lambda: (tmp_path / "a.txt").exists())


@pytest.mark.slow
async def test_question_hides_nothing_behind_letters_or_width(tmp_path: Path) -> None:
    text = "safe\x1b[2K\u202egpj.exe\u200b" + "x" * 300 + "END"
    engine = ScriptedEngine([calling(write("раypal.txt", text)), reply("Done.")])
    async with chat(engine, settings=settings(tmp_path)) as it:
        await it.ask("Write it.", wait=False)
        await question(it)
        await at_rest(it.pilot)
        picture = shown(it)
        assert "safe\\x1b[2K\\u202egpj.exe\\u200b" in picture
        assert "END" in picture
        assert "U+0440 cyrillic small letter er" in picture
        assert "\u202e" not in picture


async def test_call_is_one_line_whose_result_unfolds(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("The meeting is on Monday.\n[bold]no markup[/bold]\n")
    read = ToolCallPart("", "read_file", '{"path": "notes.txt"}')
    engine = ScriptedEngine([calling(read), reply("On **Monday**.")])
    async with chat(engine, settings=settings(tmp_path, "read_file")) as it:
        await it.ask("When is the meeting?")
        await at_rest(it.pilot)
        lines = [line.strip() for line in shown(it).splitlines() if line.strip()]
        block = next(line for line in lines if "read_file" in line)
        assert block.startswith("▸ read_file  notes.txt  done")
        texts = ("Let me see.", "read_file", "On Monday.")
        order = [next(n for n, line in enumerate(lines) if text in line) for text in texts]
        assert order == sorted(order)
        await it.press("alt+o")
        await at_rest(it.pilot)
        assert "[bold]no markup[/bold]" in shown(it)
        assert not it.screen.query_one(CallBlock).folded


@pytest.mark.slow
async def test_tools_and_permissions_are_chosen_by_commands(tmp_path: Path) -> None:
    read = ToolCallPart("", "read_file", '{"path": "a.txt"}')
    engine = ScriptedEngine([calling(read), reply("Done."), reply("No tools.")])
    (tmp_path / "a.txt").write_text("x")
    async with chat(engine, settings=Settings(tools=ToolSettings(workspace=tmp_path))) as it:
        tools = it.screen.tools
        await it.ask("/tools files", wait=False)
        await wait_until(lambda: tools._tools.groups(it.screen.conversation.id) == ("files",))
        await it.ask("Read it.", wait=False)
        await question(it)
        await it.press("c")
        await wait_until(lambda: it.ended() == 1)
        assert [kind for kind, _ in tools.rules()] == ["allowed in this conversation"]
        await it.ask("/permissions", wait=False)
        await wait_until(lambda: isinstance(it.app.screen, PermissionsScreen))
        await it.press("enter")
        await wait_until(lambda: not tools.rules())
        await it.ask("/tools filse", wait=False)
        await wait_until(lambda: it.prompt.text == "/tools filse")
        it.prompt.text = ""
        await it.ask("/tools none", wait=False)
        await wait_until(lambda: not tools._tools.groups(it.screen.conversation.id))
        await it.ask("And now?")
        assert it.turns[-1] == ("assistant", "No tools.")


async def test_escape_ends_a_running_command_and_keeps_the_call(tmp_path: Path) -> None:
    command = ToolCallPart("", "run_command", '{"command": "echo $$ > pid; sleep 600"}')
    engine = ScriptedEngine([calling(command)])
    tools = ToolSettings(enabled=("command",), workspace=tmp_path, allow=("run_command",))
    async with chat(engine, settings=Settings(tools=tools)) as it:
        await it.ask("Wait.", wait=False)
        pid = tmp_path / "pid"
        await wait_until(lambda: pid.exists() and pid.read_text().strip())
        await wait_until(lambda: it.screen.activity.state == "calling")
        await it.press("escape")
        await wait_until(lambda: it.screen.activity.state == "idle")
        await wait_until(lambda: not is_running(int(pid.read_text())))
        assert results(it) == ["The call was stopped before it had a result."]
