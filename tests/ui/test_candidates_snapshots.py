"""Pictures of candidates: while they stream, when they are done, and judged."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from textual.pilot import Pilot

from spnl_tui.engine.backend import ModelHandle
from spnl_tui.ui.main_screen import MainScreen
from tests.support.pictures import both_sizes, snapshot
from tests.support.scripted_engine import MODEL, ScriptedEngine, Step, reply
from tests.support.waiting import wait_until
from tests.ui.candidates_support import OTHER
from tests.ui.support import held, make_app

PLAIN = "Fresh bread, every morning, from the corner where you have always bought it."
LISTED = """\
Three of them, since one is never enough:

1. **Warm loaves**, warm hearts
2. Rise with us
3. The best thing *before* sliced bread

```
bake(fresh=True)
```
"""
SHORT = "Rise and dine."


async def send(pilot: Pilot[None], screen: MainScreen, text: str) -> None:
    screen.chat.prompt.insert(text)
    await pilot.press("enter")


async def done(screen: MainScreen, count: int) -> None:
    def ended() -> bool:
        path = screen.conversation.path()
        siblings = screen.conversation.siblings(path[-1].id) if path else ()
        return len(siblings) == count and not any(turn.streaming for turn in siblings)

    await wait_until(lambda: ended() and not screen.replying)


def picture(
    snap_compare: Any,
    size: tuple[int, int],
    scripts: list[list[Step]],
    act: Any,
    models: dict[str, ModelHandle] | None = None,
) -> None:
    snapshot(snap_compare, make_app(ScriptedEngine(scripts), models=models), size, act)


@pytest.mark.slow
@both_sizes
def test_streaming(snap_compare: Any, size: tuple[int, int]) -> None:
    async def act(pilot: Pilot[None], screen: MainScreen) -> None:
        await send(pilot, screen, "/n 3 Write a tagline for a bakery")
        await wait_until(lambda: screen.activity.tokens == 4 and screen.activity.state == "replying")
        await pilot.pause()

    picture(snap_compare, size, [reply(PLAIN), held("Three of them, since", asyncio.Event())], act)


@pytest.mark.slow
@both_sizes
def test_done(snap_compare: Any, size: tuple[int, int]) -> None:
    async def act(pilot: Pilot[None], screen: MainScreen) -> None:
        await send(pilot, screen, "/compare a b -- Write a tagline for a bakery")
        await done(screen, 2)
        await pilot.press("right")

    picture(snap_compare, size, [reply(PLAIN), reply(LISTED)], act, {"a": MODEL, "b": OTHER})


@pytest.mark.slow
@both_sizes
def test_judged(snap_compare: Any, size: tuple[int, int]) -> None:
    reason = "It says in three words what the others need a sentence for, and one remembers it."

    async def act(pilot: Pilot[None], screen: MainScreen) -> None:
        await send(pilot, screen, "/n 3 Write a tagline for a bakery")
        await done(screen, 3)
        await send(pilot, screen, "/judge brevity and wit")
        await wait_until(lambda: screen.candidates.shown and screen.candidates.shown.best)
        await wait_until(lambda: not screen.replying)

    scripts = [reply(PLAIN), reply(LISTED), reply(SHORT), reply(json.dumps({"reason": reason, "best": 3}))]
    picture(snap_compare, size, scripts, act)
