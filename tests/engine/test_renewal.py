"""A real runner is replaced while idle: the next turn finds the conversation in the prefix cache."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from pathlib import Path

from spnl_tui.engine import protocol as wire
from spnl_tui.engine.load_plan import LoadOverrides, plan_load
from spnl_tui.engine.pooled import PooledModel
from spnl_tui.engine.process import RunnerProcess
from spnl_tui.models.local import read_local_facts, resolve_local
from spnl_tui.models.machine import read_machine
from spnl_tui.models.request import Message, Sampling
from tests.support.gguf_maker import make_gguf

LONG = Message("user", " ".join(f"word{number}" for number in range(200)))


async def steps_of(pooled: PooledModel, messages: tuple[Message, ...]) -> tuple[int, str]:
    """In how many steps the prompt was read, and the reply."""
    steps, text = 0, ""
    sampling = Sampling(temperature=0, max_tokens=4)
    async with aclosing(
        pooled.serve(lambda id: wire.Chat(id=id, messages=messages, sampling=sampling), lambda work: None)
    ) as events:
        async for event in events:
            steps += isinstance(event, wire.PrefillProgressed)
            if isinstance(event, wire.ReplyChunk):
                text += event.text
    assert isinstance(event, wire.ReplyFinished)
    return steps, text


async def test_the_next_turn_after_a_renewal_is_no_slower(tmp_path: Path) -> None:
    model = resolve_local(make_gguf(tmp_path / "m.gguf"))
    plan = plan_load(read_local_facts(model), read_machine(), LoadOverrides(device="cpu", threads=1))
    pooled = PooledModel(model, plan, RunnerProcess.spawn, lambda: 0)

    async def nobody() -> None:
        await asyncio.Event().wait()

    async def somebody() -> None:
        return

    try:
        async for _ in pooled.load():
            pass
        first, reply = await steps_of(pooled, (LONG,))
        assert first > 2
        turn = (LONG, Message("assistant", reply), Message("user", "Go on."))
        old = pooled.pid
        await pooled.renew(nobody)
        assert pooled.pid != old
        assert (await steps_of(pooled, turn))[0] == 1
        # Somebody waits: the conversation is not read to its end.
        await pooled.renew(somebody)
        assert 1 < (await steps_of(pooled, turn))[0] <= first
    finally:
        await pooled.end()
