"""Pictures of the pulls pane in each state. For layout only: test_pulls.py has the rest."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from spnl_tui.errors import HubError
from spnl_tui.hub.pulls.pull import DiskFullError, PullFinished, PullRequest
from spnl_tui.hub.pulls.queued_pull import PullsChanged, PullState, QueuedPull
from spnl_tui.ui.main_screen import MainScreen
from spnl_tui.ui.pulls.quit_screen import QuitScreen
from tests.support.scripted_engine import ScriptedEngine
from tests.support.waiting import wait_until
from tests.ui.support import at_rest, make_app, until_counted

SMALL, LARGE = (80, 24), (200, 60)
both_sizes = pytest.mark.parametrize("size", [SMALL, LARGE], ids=["80x24", "200x60"])


class StillQueue:
    """A queue in which nothing moves."""

    notice = ""

    def __init__(self, *items: QueuedPull) -> None:
        self.items = items
        self.under_way = sum(item.under_way for item in items)

    def restore(self) -> tuple[QueuedPull, ...]:
        return tuple(item for item in self.items if item.left_over)

    async def events(self) -> AsyncGenerator[PullsChanged, None]:
        yield PullsChanged(pulls=self.items)
        await asyncio.Event().wait()

    async def close(self) -> None:
        pass


def queued_pull(name: str, state: PullState, done: int, words: str = "", **more: Any) -> QueuedPull:
    return QueuedPull(
        id=name,
        name=name,
        request=PullRequest("acme/m", ("m.gguf",)),
        state=state,
        words=words or state,
        done=done,
        total=more.pop("total", 1_107_000_000),
        **more,
    )


PULLING = queued_pull("qwen3:1.7b:Q4_K_M", "pulling", 470_000_000, bytes_per_s=12.3e6, eta_s=52)
STALLED = queued_pull(
    "bartowski/SmolLM2-135M-Instruct-GGUF:Q8_0",
    "stalled",
    40_000_000,
    "stalled (no bytes for 6 s) – retrying in 4 s",
    total=144_000_000,
)
VERIFYING = queued_pull("phi4", "verifying", 9_050_000_000, total=9_050_000_000)
CONNECTING = queued_pull("gemma3:1b", "connecting", 0, total=None)
WAITING = queued_pull("llama3.2:3b", "waiting", 0, total=None)
PAUSED = queued_pull("qwen3:8b", "paused", 2_000_000_000, total=5_030_000_000)
DISK_FULL = queued_pull(
    "qwen3:14b",
    "paused",
    3_100_000_000,
    "paused: The disk is full, 5.9 GB more are needed on the disk that holds /home/me/.cache/huggingface/hub",
    total=9_000_000_000,
    error=DiskFullError(Path("/home/me/.cache/huggingface/hub"), 5_900_000_000),
)
DONE = queued_pull(
    "smollm2:135m",
    "done",
    98_362_432,
    total=98_362_432,
    finished=PullFinished(
        repo="acme/m", commit="0" * 40, snapshot=Path("/m"), files=(Path("/m/m.gguf"),), fetched=98_362_432
    ),
)
FAILED = queued_pull(
    "meta-llama/Llama-3.2-1B-Instruct",
    "failed",
    0,
    "failed: Access is restricted",
    total=None,
    error=HubError(
        "Access is restricted",
        "meta-llama/Llama-3.2-1B-Instruct can be had only by those who have accepted its conditions.",
        "Accept them at https://huggingface.co/meta-llama/Llama-3.2-1B-Instruct, then log in: hf auth login",
    ),
)
NOTED = replace(
    PULLING, id="noted", name="qwen3:0.6b", note="model.gguf starts over: the file has changed on the hub"
)

Act = Callable[[Pilot[None], MainScreen], Awaitable[None]]


def snapshot(snap_compare: Any, size: tuple[int, int], queue: StillQueue, act: Act) -> None:
    """Do something, and compare the picture when all is at rest."""
    app = make_app(ScriptedEngine(), pull_queue=queue)  # type: ignore[arg-type]

    async def run_before(pilot: Pilot[None]) -> None:
        screen = app.screen
        assert isinstance(screen, MainScreen)
        screen.chat.prompt.cursor_blink = False
        await wait_until(lambda: screen.queued_pulls == queue.items and screen.activity.context_length)
        await act(pilot, screen)
        await until_counted(screen)
        await at_rest(pilot)

    assert snap_compare(app, terminal_size=size, run_before=run_before)


async def show_pulls(pilot: Pilot[None], screen: MainScreen) -> None:
    await pilot.press("f4")


async def show_second(pilot: Pilot[None], screen: MainScreen) -> None:
    await pilot.press("f4", "down")


@pytest.mark.slow
@both_sizes
def test_no_pulls(snap_compare: Any, size: tuple[int, int]) -> None:
    snapshot(snap_compare, size, StillQueue(), show_pulls)


@pytest.mark.slow
@both_sizes
def test_active_pulls(snap_compare: Any, size: tuple[int, int]) -> None:
    snapshot(snap_compare, size, StillQueue(PULLING, STALLED, VERIFYING, CONNECTING, WAITING), show_second)


@pytest.mark.slow
@both_sizes
def test_resting(snap_compare: Any, size: tuple[int, int]) -> None:
    snapshot(snap_compare, size, StillQueue(DONE, FAILED, DISK_FULL, PAUSED), show_pulls)


@pytest.mark.slow
@both_sizes
def test_failed_pull_with_its_note(snap_compare: Any, size: tuple[int, int]) -> None:
    snapshot(snap_compare, size, StillQueue(NOTED, FAILED, DONE), show_second)


@both_sizes
def test_pulls_in_the_top_line_of_the_chat(snap_compare: Any, size: tuple[int, int]) -> None:
    async def act(pilot: Pilot[None], screen: MainScreen) -> None:
        screen.chat.prompt.insert("Meanwhile")

    snapshot(snap_compare, size, StillQueue(PULLING, NOTED), act)


@pytest.mark.slow
@both_sizes
def test_offer_to_resume(snap_compare: Any, size: tuple[int, int]) -> None:
    async def act(pilot: Pilot[None], screen: MainScreen) -> None:
        await wait_until(lambda: screen.app._notifications)

    left = replace(PULLING, state="paused", words="paused: the program ended", left_over=True, eta_s=None)
    snapshot(snap_compare, size, StillQueue(left, replace(left, id="2", name="phi4")), act)


@pytest.mark.slow
@both_sizes
def test_question_when_quitting(snap_compare: Any, size: tuple[int, int]) -> None:
    async def act(pilot: Pilot[None], screen: MainScreen) -> None:
        await pilot.press("f4", "ctrl+q")
        await wait_until(lambda: isinstance(screen.app.screen, QuitScreen))

    snapshot(snap_compare, size, StillQueue(PULLING, WAITING), act)
