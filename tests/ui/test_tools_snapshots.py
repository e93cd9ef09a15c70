"""Pictures of tools: the question before a call, and a reply with calls."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from textual.pilot import Pilot

from spnl_tui.models.parts import ToolCallPart
from spnl_tui.settings import Settings
from spnl_tui.settings.schema import ToolSettings
from spnl_tui.tools import agent
from spnl_tui.ui.main_screen import MainScreen
from spnl_tui.ui.tools.call_block import CallBlock
from spnl_tui.ui.tools.question_box import QuestionBox
from tests.support.pictures import ask, both_sizes, finished, snapshot
from tests.support.scripted_engine import ScriptedEngine, calling, reply
from tests.support.waiting import wait_until
from tests.ui.support import make_app

EDIT = ToolCallPart(
    "", "edit_file", json.dumps({"path": "dates.py", "old": "strict = no", "new": "strict = yes"})
)
READ = ToolCallPart("", "read_file", '{"path": "dates.py"}')
MISSING = ToolCallPart("", "read_file", '{"path": "date.py"}')


def app(engine: ScriptedEngine, folder: Path) -> Any:
    (folder / "dates.py").write_text("# How dates are read.\nstrict = no\nzone = UTC\n")
    tools = ToolSettings(enabled=("files",), workspace=folder, allow=("read_file",))
    return make_app(engine, settings=Settings(tools=tools))


@both_sizes
def test_question(snap_compare: Any, size: tuple[int, int], tmp_path: Path) -> None:
    async def act(pilot: Pilot[None], screen: MainScreen) -> None:
        await ask(pilot, screen, "Read dates strictly.", lambda: screen.tools.asking)
        box = screen.query_one(QuestionBox)
        await wait_until(lambda: box.has_focus and box._shown_at < float("inf"))
        await wait_until(lambda: screen.activity.state == "calling" and screen.query(CallBlock))

    snapshot(snap_compare, app(ScriptedEngine([calling(EDIT)]), tmp_path), size, act)


@both_sizes
def test_calls_in_a_reply(
    snap_compare: Any, size: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Every call takes no time, because the picture shows the seconds.
    monkeypatch.setattr(agent, "time", SimpleNamespace(monotonic=lambda: 0.0))
    engine = ScriptedEngine([calling(MISSING), calling(READ), reply("Dates are read **leniently**.")])

    async def act(pilot: Pilot[None], screen: MainScreen) -> None:
        await ask(pilot, screen, "How are dates read?", finished(screen, turns=2))
        await pilot.press("alt+o")

    snapshot(snap_compare, app(engine, tmp_path), size, act)
