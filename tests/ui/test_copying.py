"""Copying turns, code and conversations, to the terminal's clipboard and the machine's."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from spnl_tui.errors import ClipboardError
from spnl_tui.ui.chat.clipboard import clipboard_program, set_clipboard
from spnl_tui.ui.chat.code_picker import CodePicker
from spnl_tui.ui.chat.reply_text import Prose
from tests.support.scripted_engine import ScriptedEngine, reply
from tests.support.waiting import wait_until
from tests.ui.support import chat, told


def make_program(folder: Path, name: str, code: str) -> None:
    file = folder / name
    file.write_text(f"#!{sys.executable}\nimport sys, time\n{code}\n")
    file.chmod(0o755)


def test_clipboard_program_suits_the_desktop(tmp_path: Path) -> None:
    env = {"PATH": str(tmp_path), "DISPLAY": ":0", "WAYLAND_DISPLAY": "w"}
    assert clipboard_program(env, "linux") is None
    for name, platform in [("xsel", "linux"), ("xclip", "linux"), ("wl-copy", "linux"), ("pbcopy", "darwin")]:
        make_program(tmp_path, name, "")
        assert (clipboard_program(env, platform) or [""])[0] == name
    assert clipboard_program({"PATH": str(tmp_path)}, "linux") is None  # as over SSH
    make_program(tmp_path, "clip.exe", "")
    assert clipboard_program({"PATH": str(tmp_path)}, "linux") == ("clip.exe",)


@pytest.mark.parametrize(("name", "encoding"), [("wl-copy", "utf-8"), ("clip.exe", "utf-16")])
async def test_clipboard_program_receives_the_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, encoding: str
) -> None:
    out = tmp_path / "out"
    make_program(tmp_path, name, f"open({str(out)!r}, 'wb').write(sys.stdin.buffer.read())")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("WAYLAND_DISPLAY", "w")
    assert await set_clipboard("Grüße, 日本\n")
    assert out.read_bytes().decode(encoding) == "Grüße, 日本\n"


async def test_clipboard_program_that_fails_or_hangs_is_abandoned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("spnl_tui.ui.chat.clipboard._PATIENCE_S", 0.5)
    assert not await set_clipboard("x")
    for code, says in [("sys.exit(3)", "status 3"), ("time.sleep(60)", "longer than")]:
        make_program(tmp_path, "clip.exe", code)
        with pytest.raises(ClipboardError, match=says):
            await set_clipboard("x")


@pytest.mark.slow
async def test_copy_takes_the_turn_under_the_cursor_or_the_last_reply() -> None:
    copied: list[str] = []

    async def copy(text: str) -> bool:
        copied.append(text)
        return True

    script = [reply("One\x1b[31m.\n\n```sh\nls\n```\n"), reply("Two.")]
    async with chat(ScriptedEngine(script), set_clipboard=copy) as it:
        await it.ask("First?")
        await it.ask("Second?")
        await it.press("ctrl+y")
        await wait_until(lambda: copied == ["Two."])
        await wait_until(lambda: "The reply was copied." in told(it)[-1])
        await it.press("alt+up", "alt+up", "ctrl+y")
        await wait_until(lambda: copied[1:] == ["Second?"])
        assert it.app.clipboard == "Second?"
        assert not it.available("chat.copy_code")
        await it.press("alt+up", "ctrl+b")
        await wait_until(lambda: copied[2:] == ["ls"])
        await it.press("ctrl+y")
        await wait_until(lambda: copied[3:] == ["One[31m.\n\n```sh\nls\n```\n"])


@pytest.mark.slow
async def test_copy_takes_the_whole_conversation_or_explains_why_not() -> None:
    async with chat() as it:
        await it.press(*"/copy all", "enter")
        await wait_until(lambda: it.prompt.text == "/copy all")
        it.prompt.text = ""
        await it.ask("First?")
        await it.press(*"/copy all", "enter")
        await wait_until(lambda: "## User\n\nFirst?\n\n## Assistant" in it.app.clipboard)
        assert it.app.clipboard.endswith("\n\nYes.\n")
        await it.press(*"/copy code", "enter")
        await wait_until(lambda: "no code block" in told(it)[-1])
        await it.press(*"/copy nothing", "enter")
        await wait_until(lambda: "'nothing'" in told(it)[-1])


@pytest.mark.slow
async def test_failed_clipboard_falls_back_to_the_terminal_and_is_reported() -> None:
    async def fail(text: str) -> bool:
        raise ClipboardError("xclip has not copied it", "It ended with status 1.")

    text = "```\na\n```\n\n```\nb\n```\n"
    async with chat(ScriptedEngine([reply(text)]), set_clipboard=fail) as it:
        await it.ask("Hi")
        await it.press(*"/code", "enter")
        await wait_until(lambda: isinstance(it.app.screen, CodePicker))
        await it.press("enter")
        await wait_until(lambda: "xclip has not copied it" in told(it)[-1])
        assert it.app.clipboard == "b"


@pytest.mark.slow
async def test_long_text_warns_that_the_terminal_may_drop_it() -> None:
    async with chat(ScriptedEngine([reply("x" * 80_000)])) as it:
        await it.ask("Hi")
        await it.press("ctrl+y")
        await wait_until(lambda: "some terminals refuse it" in told(it)[-1])


@pytest.mark.slow
async def test_selection_is_copied_without_wraps() -> None:
    text = "The **quick** brown fox jumps over the lazy dog and runs away from it all, again and again."
    async with chat(ScriptedEngine([reply(text)])) as it:
        await it.ask("First")
        prose = it.screen.query(Prose).first()
        await it.pilot.mouse_down(prose, offset=(4, 0))
        await it.pilot.hover(prose, offset=(5, 1))
        await it.pilot.mouse_up(prose, offset=(5, 1))

        await it.press("ctrl+c")
        await wait_until(lambda: it.app.clipboard != "")

        assert it.app.clipboard.startswith("quick brown fox jumps")
        assert "\n" not in it.app.clipboard
        assert any("selection was" in message for message in told(it))
