"""One reply that is followed, without a screen."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from spnl_tui.chat.reply import ReplyRun, Step, Summarizing
from spnl_tui.chat.status import Activity
from spnl_tui.engine.reply import Reply


async def test_second_cancellation_still_waits_for_the_events_to_close() -> None:
    async def slow_to_leave() -> AsyncIterator[Step]:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.05)
        yield Summarizing()

    async def draw(reply: Reply, activity: Activity) -> None: ...

    events, run = slow_to_leave(), ReplyRun(Activity(), lambda: 0.0)

    async def follow() -> None:
        async with aclosing(events):  # type: ignore[type-var]  # a generator
            try:
                await run.run(events, draw)
            finally:
                await run.close()

    following = asyncio.create_task(follow())
    for _ in range(2):
        await asyncio.sleep(0.01)
        following.cancel()
    with pytest.raises(asyncio.CancelledError):  # and nothing worse
        await following
