"""Files that go with a prompt, from the "@" to the transcript."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from textual import events
from textual.pilot import Pilot

from spnl_tui.ui.chat.input import file_completer
from spnl_tui.ui.chat.input.completion_list import Completions
from spnl_tui.ui.chat.input.file_completer import best, entries_of, files_below
from spnl_tui.ui.chat.turns import UserTurn
from spnl_tui.ui.main_screen import MainScreen
from tests.support.pictures import ask, both_sizes, finished, snapshot
from tests.support.scripted_engine import MODEL, ScriptedEngine, reply
from tests.support.waiting import wait_until
from tests.ui.support import TempStore, chat, held, make_app, offered, told

FILE = "`src/app.py`:\n```py\nprint(1)\n```"
SENT = f"{FILE}\n\nExplain @src/app.py"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a few files."""
    folder = tmp_path / "work"
    for path, text in {
        "src/app.py": "print(1)\n",
        "src/widgets/app_bar.py": "x",
        "README.md": "# Read me\n",
        "My notes.txt": "one two",
        "data.bin": "\0",
        ".git/config": "x",
        ".hidden.py": "x",
        "__pycache__/app.pyc": "x",
    }.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    monkeypatch.chdir(folder)
    return folder


def test_completion_offers_matching_files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "link").symlink_to(folder, target_is_directory=True)
    below = ["My notes.txt", "README.md", "data.bin", "src/app.py", "src/widgets/app_bar.py"]
    assert files_below(folder) == below
    assert entries_of(folder / "src") == ["app.py", "widgets/"]
    assert files_below(folder / "none") == []
    monkeypatch.setattr(file_completer, "MAX_FILES", 2)
    assert files_below(folder) == below[:2]


def test_completion_offers_the_likeliest_file_first() -> None:
    paths = ["lib/a-p-p.txt", "app/main.py", "src/my_app.py", "src/app.py", "other"]
    assert [path for _, path in best("app", paths)] == [
        "src/app.py",
        "src/my_app.py",
        "app/main.py",
        "lib/a-p-p.txt",
    ]
    assert best("", paths)[0] == (0, "lib/a-p-p.txt")
    assert best("zz", paths) == []


@pytest.mark.slow
async def test_completed_path_sends_the_file_folded(tmp_path: Path) -> None:
    store = TempStore(tmp_path / "c.db")
    async with chat(store=store) as it:
        await it.press(*"Explain @app")
        await wait_until(lambda: offered(it) == ["src/app.py", "src/widgets/app_bar.py"])
        await it.press("enter")
        assert it.prompt.text == "Explain @src/app.py "
        await it.press("enter")
        await wait_until(it.ended)
        assert it.turns[0] == ("user", SENT)
        assert it.engine.asked[0][0].text == SENT
        shown = it.screen.query_one(UserTurn)
        await wait_until(lambda: "token" in str(shown.render()))
        count = len(FILE.split())
        assert str(shown.render()) == f"Explain @src/app.py (8 B, {count} tokens)"
        await it.press("up")
        assert it.prompt.text == "Explain @src/app.py"
        await it.press("ctrl+u", "ctrl+e")
        await wait_until(lambda: "Edit" in str(it.prompt.border_title))
        assert it.prompt.text == "Explain @src/app.py"
    async with chat(store=store) as it:
        await wait_until(lambda: it.prompt.past.prompts == ("Explain @src/app.py",))
    await store.close()


@pytest.mark.slow
async def test_names_with_spaces_and_other_directories_are_completed(folder: Path) -> None:
    async with chat() as it:
        await it.press(*"@notes")
        await wait_until(lambda: offered(it) == ["My notes.txt"])
        await it.press("tab")
        assert it.prompt.text == '@"My notes.txt" '
        it.prompt.text = ""
        await it.press(*f"@{folder}/sr")
        await wait_until(lambda: offered(it) == [f"{folder}/src/"])
        await it.press("tab")
        await wait_until(lambda: offered(it) == [f"{folder}/src/app.py", f"{folder}/src/widgets/"])
        await it.press("down", "escape")
        assert offered(it) == []
        assert it.prompt.text == f"@{folder}/src/"


@pytest.mark.parametrize(("path", "says"), [("data.bin", "binary"), ("gone.py", "no such file")])
async def test_file_that_cannot_be_sent_keeps_the_prompt(path: str, says: str) -> None:
    async with chat() as it:
        await it.ask(f"Explain @{path}", wait=False)
        await wait_until(lambda: told(it))
        assert says in told(it)[0]
        assert it.prompt.text == f"Explain @{path}"
        assert it.engine.asked == []
        assert it.turns == []


@pytest.mark.slow
async def test_command_that_takes_a_prompt_sends_files_and_pastes() -> None:
    async with chat(models={MODEL.name: MODEL}) as it:
        pasted = "x\n" * 19 + "y"
        it.prompt.insert("/n 2 Explain @src/app.py ")
        it.app.post_message(events.Paste(pasted))
        await wait_until(lambda: it.prompt.text.endswith("lines]"))
        await it.press("enter")
        await wait_until(lambda: it.ended() == 2)
        assert it.turns[0] == ("user", f"{SENT} {pasted}")
        await it.press("escape")
        it.prompt.insert(f"/compare {MODEL.name} {MODEL.name} -- Explain @src/app.py")
        await it.press("enter")
        await wait_until(lambda: it.ended() == 4)
        assert ("user", SENT) in it.turns
        await it.press("escape")
        it.prompt.insert("/n 2 @gone.py")
        await it.press("enter")
        await wait_until(lambda: it.prompt.text == "/n 2 @gone.py")
        await wait_until(lambda: told(it))
        assert "no such file" in told(it)[-1]


@pytest.mark.slow
async def test_tokens_of_a_file_are_shown_once_the_model_is_found() -> None:
    engine = ScriptedEngine([reply("One."), reply("Two.")])
    count, loaded = engine.count_tokens, False

    async def count_when_loaded(model: Any, texts: Any) -> tuple[int, ...] | None:
        return await count(model, texts) if loaded else None

    engine.count_tokens = count_when_loaded  # type: ignore[method-assign]  # as an engine that loads
    async with chat(engine) as it:
        await it.ask("@src/app.py")
        assert str(it.screen.query_one(UserTurn).render()) == "@src/app.py (8 B)"
        loaded = True
        await it.ask("Again")
        await wait_until(lambda: "4 tokens" in str(it.screen.query(UserTurn).first().render()))


async def test_meter_counts_the_content_of_files_but_not_commands(folder: Path) -> None:
    (folder / "README.md").write_text("word " * 500)
    async with chat() as it:
        await wait_until(lambda: it.screen.activity.context_length)
        it.prompt.insert("@README.md")
        await wait_until(lambda: it.screen.activity.unsent > 500)
        it.prompt.text = "/rename a b c"
        await wait_until(lambda: it.screen.activity.unsent == 0)


@pytest.mark.slow
async def test_queued_prompt_with_a_file_returns_as_it_was_typed() -> None:
    hold = asyncio.Event()
    async with chat(ScriptedEngine([held("One", hold)])) as it:
        await it.ask("First", wait=False)
        await wait_until(lambda: it.screen.activity.state == "replying")
        await it.ask("Explain @src/app.py", wait=False)
        await wait_until(lambda: it.screen.query(".queued"))
        assert "(8 B)" in str(it.screen.query_one(".queued").render())
        assert "print" not in str(it.screen.query_one(".queued").render())
        await it.press("escape")
        await wait_until(lambda: it.prompt.text == "Explain @src/app.py")


@pytest.mark.slow
@both_sizes
def test_paths_and_a_folded_file(snap_compare: Any, size: tuple[int, int]) -> None:
    async def act(pilot: Pilot[None], screen: MainScreen) -> None:
        await ask(pilot, screen, "Explain @src/app.py, please.", finished(screen, 2))
        await wait_until(lambda: "token" in str(screen.query_one(UserTurn).render()))
        await pilot.press(*"And @ap")
        await wait_until(lambda: screen.query_one(Completions).display and screen.activity.unsent)

    snapshot(snap_compare, make_app(ScriptedEngine([reply("It prints **1**.")])), size, act)
