"""Prefetch with a real runner: the last conversation after a renewal, and the prompt that is being typed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest
import pytest_asyncio

from spnl_tui.engine.backend import PrefillProgressed, ReplyChunk, ReplyFinished
from spnl_tui.engine.fair_queue import FairQueue
from spnl_tui.engine.mistralrs import wire
from spnl_tui.engine.mistralrs.load_plan import LoadOverrides, plan_load
from spnl_tui.engine.mistralrs.pooled_model import PooledModel
from spnl_tui.engine.mistralrs.request import RunnerRequest
from spnl_tui.engine.mistralrs.runner_process import RunnerProcess
from spnl_tui.engine.prefetch import Prefetch
from spnl_tui.models.files.local import read_local_facts, resolve_local
from spnl_tui.models.machine import read_machine
from spnl_tui.models.request import Message, Sampling
from tests.support.gguf_maker import make_gguf

pytestmark = pytest.mark.alone

LONG = Message("user", " ".join(f"word{number}" for number in range(200)))


async def steps_of(pooled: PooledModel, messages: tuple[Message, ...]) -> tuple[int, str]:
    """Return in how many steps the prompt was read, and the reply."""
    steps, text = 0, ""
    sampling = Sampling(temperature=0, max_tokens=4)
    request = RunnerRequest(pooled, wire.Chat(id=0, messages=messages, sampling=sampling))
    async with aclosing(request.follow()) as events:
        async for event in events:
            steps += isinstance(event, PrefillProgressed)
            if isinstance(event, ReplyChunk):
                text += event.text
    assert isinstance(event, ReplyFinished)
    return steps, text


@pytest_asyncio.fixture
async def pooled(tmp_path: Path) -> AsyncIterator[PooledModel]:
    """Yield a small model that is loaded."""
    model = resolve_local(make_gguf(tmp_path / "m.gguf"))
    plan = plan_load(read_local_facts(model), read_machine(), LoadOverrides(device="cpu", threads=1))
    pooled = PooledModel(model, plan, RunnerProcess.spawn, lambda: 0)
    try:
        async for _ in pooled.load():
            pass
        yield pooled
    finally:
        await pooled.end()


def busy_turns() -> FairQueue:
    """Return a queue with one admitted and one waiting request."""
    turns = FairQueue(1)
    turns.ask()
    turns.ask()
    return turns


async def test_turn_after_a_renewal_reads_in_one_step(pooled: PooledModel) -> None:
    first, reply = await steps_of(pooled, (LONG,))
    assert first > 2
    turn = (LONG, Message("assistant", reply), Message("user", "Go on."))
    old = pooled.pid
    await pooled.renew(FairQueue(1))
    assert pooled.pid != old
    assert (await steps_of(pooled, turn))[0] == 1
    # A request waits, so the conversation is not read again.
    await pooled.renew(busy_turns())
    assert (await steps_of(pooled, turn))[0] == first


async def test_turn_after_an_ended_prefill_reads_in_one_step(
    pooled: PooledModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As if every step took too long.
    monkeypatch.setattr("spnl_tui.engine.mistralrs.pooled_model.CANCEL_BOUND_S", 0.0)
    monkeypatch.setattr("spnl_tui.engine.mistralrs.pooled_model.LEAST_PATIENCE_S", 0.0)
    _, reply = await steps_of(pooled, (LONG,))
    old = pooled.pid
    pasted = Message("user", " ".join(f"other{number}" for number in range(230)))
    sampling = Sampling(temperature=0, max_tokens=4)
    request = RunnerRequest(pooled, wire.Chat(id=0, messages=(pasted,), sampling=sampling))
    async with aclosing(request.follow()) as events:
        async for event in events:
            if isinstance(event, PrefillProgressed):
                break
    await request.clean_up(FairQueue(1))
    turn = (LONG, Message("assistant", reply), Message("user", "Go on."))
    assert pooled.pid != old
    assert (await steps_of(pooled, turn))[0] == 1


async def test_prefetched_prompt_is_not_read_again(pooled: PooledModel) -> None:
    prompt = (Message("system", "Be brief."), Message("user", f"{LONG.text} and the end."))
    typed = (prompt[0], Message("user", LONG.text))
    steps: list[int] = []
    reading = Prefetch(typed, Sampling(), lambda done, total: steps.append(done))
    await pooled.read_ahead(reading, FairQueue(1))
    assert steps == sorted(set(steps))
    assert len(steps) > 1
    pid = pooled.pid
    assert (await steps_of(pooled, prompt))[0] == 1
    assert pooled.pid == pid


async def test_runner_without_room_is_replaced_by_the_prefetch(
    pooled: PooledModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, process = pooled.pid, pooled.memory_bytes()

    def grown() -> int:
        return process + (10**9 if pooled.pid == old else 0)

    monkeypatch.setattr(pooled, "memory_bytes", grown)
    await pooled.read_ahead(Prefetch((LONG,), Sampling()), FairQueue(1))
    assert pooled.pid not in (old, None)
    prompt = Message("user", f"{LONG.text} and the end.")
    assert not pooled.has_grown(wire.Chat(id=0, messages=(prompt,)))
    assert (await steps_of(pooled, (prompt,)))[0] == 1
