"""Pictures of every main state at a small and a large terminal. For layout only: test_chat.py has the rest.

After a change that is meant: `pytest tests/ui/test_snapshots.py --snapshot-update`, and look at the pictures.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from textual.pilot import Pilot

from spnl_tui.settings import InterfaceSettings, Settings
from spnl_tui.ui.main_screen import MainScreen
from tests.support.pictures import ask, both_sizes, finished, snapshot
from tests.support.scripted_engine import ScriptedEngine, failure, reply
from tests.support.waiting import wait_until
from tests.ui.support import ScriptedStarter, make_app

ANSWER = """\
# Paris

Paris is the capital of **France**, on the *Seine*. It has been so for most of the time since 987; see
`history.md` for the years in between.

1. The Louvre, once a palace and now a museum
2. Notre-Dame
   - begun in 1163
   - burnt in 2019
3. The Eiffel Tower

```python
def greet(name: str) -> None:
    print(f"Bonjour, {name}!")  # politely
```

| City | People |
|---|---|
| Paris | 2.1 million |
| Lyon | 0.5 million |

> Paris is always a good idea.
"""


@both_sizes
def test_first_run(snap_compare: Any, size: tuple[int, int]) -> None:
    async def act(pilot: Pilot[None], screen: MainScreen) -> None:
        await wait_until(lambda: screen.activity.state == "no model")

    snapshot(snap_compare, make_app(ScriptedEngine(), model=None, starter=ScriptedStarter()), size, act)


@pytest.mark.slow
@both_sizes
def test_downloading_the_starter(snap_compare: Any, size: tuple[int, int]) -> None:
    async def act(pilot: Pilot[None], screen: MainScreen) -> None:
        await wait_until(lambda: screen.activity.state == "no model")
        await ask(pilot, screen, "What is the capital of France?", lambda: screen.activity.state == "getting")
        await wait_until(lambda: "41%" in str(screen.chat.welcome.render()))

    snapshot(snap_compare, make_app(ScriptedEngine(), model=None, starter=ScriptedStarter()), size, act)


@both_sizes
def test_loading(snap_compare: Any, size: tuple[int, int]) -> None:
    engine = ScriptedEngine()
    engine.load_script = [engine.load_script[0], asyncio.Event()]

    async def act(pilot: Pilot[None], screen: MainScreen) -> None:
        await wait_until(lambda: screen.activity.state == "loading")
        screen.chat.prompt.insert("Already typing while the model\nis being loaded")

    snapshot(snap_compare, make_app(engine), size, act)


@pytest.mark.slow
@both_sizes
def test_replying(snap_compare: Any, size: tuple[int, int]) -> None:
    script = reply(ANSWER, pieces=10, reasoning="The user asks about Paris.")
    engine = ScriptedEngine([[*script[:8], asyncio.Event()]])

    async def act(pilot: Pilot[None], screen: MainScreen) -> None:
        await ask(pilot, screen, "Tell me about Paris.", lambda: screen.activity.tokens == 24)
        await ask(pilot, screen, "And about Lyon?", lambda: screen.query(".queued"))
        screen.chat.prompt.insert("and then")

    snapshot(snap_compare, make_app(engine), size, act)


@pytest.mark.slow
@pytest.mark.parametrize("theme", ["spnl-dark", "spnl-light"])
@both_sizes
def test_finished(snap_compare: Any, size: tuple[int, int], theme: str) -> None:
    engine = ScriptedEngine(
        [reply("Hello! What can I do?"), reply(ANSWER, pieces=10, reasoning="Paris, then.")]
    )
    settings = Settings(interface=InterfaceSettings(theme=theme))

    async def act(pilot: Pilot[None], screen: MainScreen) -> None:
        await ask(pilot, screen, "Hi", finished(screen, 2))
        await ask(pilot, screen, "Tell me about Paris.", finished(screen, 4))

    snapshot(snap_compare, make_app(engine, settings=settings), size, act)


@pytest.mark.slow
@both_sizes
def test_failed(snap_compare: Any, size: tuple[int, int]) -> None:
    died = failure(
        "The model ended unexpectedly",
        "Its process was ended by the system, which it ran out of memory.",
        "Send the prompt again, or choose a smaller quantization.",
    )
    engine = ScriptedEngine([[*reply("Paris is the capital of **Fr")[:-1], died]])

    async def act(pilot: Pilot[None], screen: MainScreen) -> None:
        await ask(pilot, screen, "Tell me about Paris.", finished(screen, 2))

    snapshot(snap_compare, make_app(engine), size, act)


@pytest.mark.slow
@both_sizes
def test_help(snap_compare: Any, size: tuple[int, int]) -> None:
    async def act(pilot: Pilot[None], screen: MainScreen) -> None:
        await wait_until(lambda: screen.activity.context_length)
        await pilot.press("f1", *"branch")  # filtered: a new command elsewhere does not change the picture

    snapshot(snap_compare, make_app(ScriptedEngine()), size, act)
