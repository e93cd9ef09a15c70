"""Pulls as a user meets them, key by key, from a hub on 127.0.0.1."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from spnl_tui.hub.access import HubAccess
from spnl_tui.hub.pulls.interrupted import InterruptedPull
from spnl_tui.hub.pulls.pull import PullRequest
from spnl_tui.hub.pulls.queue import PullQueue
from spnl_tui.hub.pulls.queued_pull import QueuedPull
from spnl_tui.settings import InterfaceSettings, PullSettings, Settings
from spnl_tui.ui import messages
from spnl_tui.ui.pulls.block import PullBlock
from spnl_tui.ui.pulls.controller import PullsController
from spnl_tui.ui.pulls.quit_screen import QuitScreen
from spnl_tui.ui.widgets.top_line import TopLine
from tests.support.hub import LoopbackHub
from tests.support.hub_content import BLOCK, Pattern
from tests.support.pulls import QUICK, part_files
from tests.support.waiting import wait_until
from tests.ui.support import Chat, chat

SIZE = 2 * BLOCK


class Pulls:
    """The interface under test, and its queue."""

    def __init__(self, chat: Chat, queue: PullQueue) -> None:
        self.chat = chat
        self.queue = queue

    def get(self, number: int = 0) -> QueuedPull:
        """The pull of this repository."""
        return next(item for item in self.queue.items if item.name == f"m{number}")

    @property
    def states(self) -> dict[str, str]:
        return {item.name: item.state for item in self.queue.items}

    @property
    def top(self) -> str:
        return self.chat.screen.query_one(TopLine).render().plain

    @property
    def toasts(self) -> list[str]:
        return [f"{toast.title}\n{toast.message}" for toast in self.chat.app._notifications]

    def blocks(self) -> list[str]:
        """What the blocks show, from top to bottom."""
        return [block.render().plain for block in self.chat.screen.pulls.query(PullBlock)]

    async def pull(self, *numbers: int) -> None:
        """Ask for pulls, as another pane does."""
        for number in numbers:
            request = PullRequest(f"acme/m{number}", (f"m{number}.gguf",))
            self.chat.screen.post_message(messages.PullRequested(request, f"m{number}"))
        await wait_until(lambda: {f"m{number}" for number in numbers} <= self.states.keys())

    async def until(self, state: str, number: int = 0) -> None:
        await wait_until(lambda: self.states.get(f"m{number}") == state)
        # The screen learns of it with the next event.
        await wait_until(
            lambda: any(d.state == state for d in self.chat.screen.queued_pulls if d.name == f"m{number}")
        )
        await self.chat.pilot.pause()

    async def press(self, *keys: str) -> None:
        await self.chat.press(*keys)
        await self.chat.pilot.pause()


Open = Callable[..., AbstractAsyncContextManager[Pulls]]


@pytest.fixture
def launch(hub: LoopbackHub, tmp_path: Path) -> Open:
    """Open the interface, as one run of the program does. The hub is slow until told otherwise."""
    for number in range(3):
        hub.add_repo(f"acme/m{number}", {f"m{number}.gguf": Pattern(SIZE, seed=number)})
        hub.faults.add("slow", path=f"m{number}.gguf", rate=100_000, times=None)
    hub.chunk = 1 << 14

    @asynccontextmanager
    async def _open(limit: int = 2, undo_s: float = 30, **options: Any) -> AsyncIterator[Pulls]:
        queue = PullQueue(
            tmp_path / "downloads.json",
            hub=HubAccess(hub.endpoint, False),
            cache=tmp_path / "cache",
            options=QUICK,
            limit=limit,
            undo_s=undo_s,
        )
        async with chat(pull_queue=queue, **options) as it:
            yield Pulls(it, queue)

    return _open


@pytest.mark.slow
async def test_pull_continues_during_a_chat_and_enter_loads_the_model(hub: LoopbackHub, launch: Open) -> None:
    async with launch() as it:
        await it.pull(0)
        await it.until("pulling")
        await wait_until(lambda: "↓ 1 pull " in it.top and "/s" in it.top)
        await it.chat.ask("Hello")
        assert it.chat.turns[-1] == ("assistant", "Yes.")
        assert it.blocks() == []  # a hidden pane does nothing
        await it.press("f4")
        assert "pulling" in it.blocks()[0]
        await it.press("enter")  # too early: nothing happens
        assert it.chat.happened(messages.ModelChosen) == []
        hub.faults.clear()
        it.queue.pause(it.get().id)
        it.queue.resume(it.get().id)
        await it.until("done")
        assert it.chat.happened(messages.PullEnded) == ["PullEnded"]
        assert any("Pulled m0" in toast for toast in it.toasts)
        assert "↓" not in it.top
        await it.press("enter")
        await wait_until(lambda: it.chat.screen.activity.model == "acme/m0:m0")
        assert it.chat.app.focused is it.chat.prompt
        (chosen,) = (m for m in it.chat.messages if isinstance(m, messages.ModelChosen))
        assert (chosen.model.format, chosen.model.files) == ("gguf", ("m0.gguf",))
        assert (chosen.model.directory / "m0.gguf").stat().st_size == SIZE


async def test_text_without_pulls_wraps() -> None:
    async with chat(size=(60, 20)) as it:
        await it.press("f4")
        await wait_until(lambda: it.screen.panes.seen == "pulls")
        await it.pilot.pause()
        assert it.screen.query_one("#no-pulls").region.right <= 58


@pytest.mark.slow
async def test_pull_requested_before_the_queue_opens_is_not_lost(hub: LoopbackHub, launch: Open) -> None:
    hub.faults.clear()
    async with launch() as it:
        screen = it.chat.screen
        # `spnl-chat pull` has left another one.
        left = InterruptedPull(PullRequest("acme/m1", ("m1.gguf",)), "m1", done=7)

        async def find_interrupted() -> list[InterruptedPull]:
            return [left]

        early = PullsController(
            screen,
            Settings(),
            lambda: it.queue,
            lambda pulls: None,
            screen.key,
            screen.undo.push,
            find_interrupted,
        )
        early.grant(messages.PullRequested(PullRequest("acme/m0", ("m0.gguf",)), "m0"))
        assert it.states == {}
        screen.run_worker(early.follow())
        await it.until("done")
        assert (it.get(1).state, it.get(1).done) == ("paused", 7)


@pytest.mark.slow
async def test_paused_pull_resumes(hub: LoopbackHub, launch: Open) -> None:
    async with launch() as it:
        await it.pull(0)
        await it.press("f4")
        await it.until("pulling")
        await it.press("space")
        await it.until("paused")
        assert "paused" in it.blocks()[0]
        hub.faults.clear()
        await it.press("space")
        await it.until("done")


@pytest.mark.slow
async def test_keys_act_on_the_selected_pull_and_reorder_it(launch: Open) -> None:
    async with launch(limit=1) as it:
        await it.pull(0, 1, 2)
        await it.press("f4")
        await it.until("pulling", 0)
        await it.until("waiting", 2)
        await it.press("down", "down", "shift+up")
        await wait_until(lambda: [text.split()[0] for text in it.blocks()] == ["m0", "m2", "m1"])
        assert it.chat.screen.pulls.selected == it.get(2).id
        await it.press("up", "space")
        await it.until("paused", 0)
        await it.until("pulling", 2)
        await it.press("shift+down")
        await wait_until(lambda: [text.split()[0] for text in it.blocks()] == ["m2", "m0", "m1"])


@pytest.mark.slow
async def test_undone_cancel_keeps_the_received_data(hub: LoopbackHub, launch: Open) -> None:
    async with launch() as it:
        await it.pull(0)
        await it.press("f4")
        await wait_until(lambda: it.get().done > 0)
        await it.press("delete")
        await wait_until(lambda: it.blocks() == [])
        assert any("Cancelled m0" in toast and "Ctrl+Z undoes it" in toast for toast in it.toasts)
        assert it.chat.screen.query_one("#no-pulls").display
        await it.press("ctrl+z")
        await it.until("pulling")
        hub.faults.clear()
        it.queue.pause(it.get().id)
        it.queue.resume(it.get().id)
        await it.until("done")
        assert [r.start for r in hub.downloads("m0.gguf") if r.where == "cdn"][-1] > 0
        await it.press("alt+c")
        await wait_until(lambda: it.states == {})
        await it.press("ctrl+z", "ctrl+z")
        await wait_until(lambda: any("nothing to undo" in toast for toast in it.toasts))
        assert it.states == {"m0": "done"}


@pytest.mark.slow
@pytest.mark.parametrize(("key", "kept"), [("delete", False), ("shift+delete", True)])
async def test_cancel_drops_or_keeps_the_partial_file(
    launch: Open, tmp_path: Path, key: str, kept: bool
) -> None:
    async with launch(undo_s=0) as it:
        await it.pull(0)
        await it.press("f4")
        await wait_until(lambda: it.get().done > 0)
        await it.press(key)
        await wait_until(lambda: it.states == {})
        if kept:
            assert part_files(tmp_path / "cache")
        else:
            await wait_until(lambda: not part_files(tmp_path / "cache"))


@pytest.mark.slow
async def test_failed_pull_shows_its_reason_and_can_be_retried(hub: LoopbackHub, launch: Open) -> None:
    repository = hub.repositories["acme/m0"]
    repository.gated = True
    async with launch() as it:
        await it.pull(0)
        await it.press("f4")
        await it.until("failed")
        (block,) = it.blocks()
        assert "failed: " in block
        error = it.get().error
        assert error is not None
        assert error.hint in block
        assert any(error.title in toast for toast in it.toasts)
        repository.gated = False
        hub.faults.clear()
        await it.press("ctrl+r")
        await it.until("done")


@pytest.mark.slow
async def test_escape_returns_to_the_chat_with_its_keys(launch: Open) -> None:
    async with launch() as it:
        await it.press("f4")
        assert it.chat.screen.panes.seen == "pulls"
        await it.press("ctrl+r", "ctrl+n")  # keys of the chat, which is not seen
        await it.press("escape")
        assert it.chat.screen.panes.seen == "chat"
        assert it.chat.app.focused is it.chat.prompt
        await it.press("u", "x")
        assert it.chat.prompt.text == "ux"


# ── the end of the program, and the next start ───────────────────────────────────────────────────────


@pytest.mark.slow
async def test_quitting_asks_once_and_the_next_start_resumes_with_one_key(
    hub: LoopbackHub, launch: Open
) -> None:
    async with launch() as it:
        await it.pull(0)
        await wait_until(lambda: it.get().done > 0)
        await it.press("ctrl+q")
        await wait_until(lambda: isinstance(it.chat.app.screen, QuitScreen))
        await it.press("escape")
        await wait_until(lambda: not isinstance(it.chat.app.screen, QuitScreen))
        assert it.states == {"m0": "pulling"}
        await it.press("ctrl+q")
        await wait_until(lambda: isinstance(it.chat.app.screen, QuitScreen))
        await it.press("enter")  # pause and quit is the first choice
        await wait_until(lambda: it.chat.app._exit)
    hub.faults.clear()
    async with launch() as it:
        await wait_until(lambda: it.states == {"m0": "paused"})
        await wait_until(lambda: any("m0" in toast and "F9 goes on" in toast for toast in it.toasts))
        await wait_until(lambda: "↓ 1 pull paused – F9 goes on" in it.top)
        await it.press("f9")
        await it.until("done")
        assert [r.start for r in hub.downloads("m0.gguf") if r.where == "cdn"][-1] > 0
    async with launch() as it:
        await it.pull(1)
        assert "m0" not in it.states  # what is done is not offered again


@pytest.mark.slow
async def test_quit_key_pressed_twice_pauses_and_quits(launch: Open) -> None:
    async with launch() as it:
        await it.pull(0)
        await it.press("ctrl+q")
        await wait_until(lambda: isinstance(it.chat.app.screen, QuitScreen))
        await it.press("ctrl+q")
        await wait_until(lambda: it.chat.app._exit)
    async with launch() as it:
        await wait_until(lambda: it.states == {"m0": "paused"})


@pytest.mark.slow
async def test_quitting_can_cancel_the_pulls(launch: Open, tmp_path: Path) -> None:
    async with launch() as it:
        await it.pull(0, 1)
        await wait_until(lambda: it.get(0).done > 0)
        await it.press("ctrl+q")
        await wait_until(lambda: isinstance(it.chat.app.screen, QuitScreen))
        await it.press("c")
        await wait_until(lambda: it.chat.app._exit)
    assert part_files(tmp_path / "cache") == []


@pytest.mark.slow
@pytest.mark.parametrize(("choice", "left"), [("pause", {"m0": "paused"}), ("cancel", {})])
async def test_quitting_obeys_the_settings(launch: Open, choice: Any, left: dict[str, str]) -> None:
    settings = Settings(pulls=PullSettings(on_quit=choice))
    async with launch(settings=settings) as it:
        await it.pull(0)
        await it.press("ctrl+q")
        await wait_until(lambda: it.chat.app._exit)
    async with launch() as it:
        await it.pull(1)
        assert {name: state for name, state in it.states.items() if name != "m1"} == left


async def test_quitting_without_pulls_asks_nothing(launch: Open) -> None:
    async with launch() as it:
        await it.press("ctrl+q")
        await wait_until(lambda: it.chat.app._exit)


# ── notifications ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
@pytest.mark.parametrize(
    ("when", "looked_at", "told"),
    [
        ("unfocused", True, False),
        ("unfocused", False, True),
        ("always", True, True),
        ("never", False, False),
    ],
)
async def test_terminal_is_notified_when_a_pull_ends(
    hub: LoopbackHub, launch: Open, monkeypatch: pytest.MonkeyPatch, when: Any, looked_at: bool, told: bool
) -> None:
    hub.faults.clear()
    async with launch(settings=Settings(interface=InterfaceSettings(notifications=when))) as it:
        written: list[str] = []
        assert it.chat.app._driver is not None
        monkeypatch.setattr(it.chat.app._driver, "write", written.append)
        it.chat.app.app_focus = looked_at
        await it.pull(0)
        await wait_until(lambda: it.chat.happened(messages.PullEnded))
        await it.chat.pilot.pause()
        said = [text for text in written if text.startswith("\x1b]9;")]
        assert said == (["\x1b]9;spnl-chat: m0 is here\x1b\\"] if told else [])
