"""Requests that are left early and runners that die, over real processes without a model."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from contextlib import aclosing

import pytest

from spnl_tui.engine.backend import (
    Backend,
    ModelLoaded,
    PrefillProgressed,
    ReplyChunk,
    ReplyFinished,
    RequestFailed,
)
from spnl_tui.engine.fair_queue import FairQueue
from spnl_tui.engine.mistralrs.backend import MistralRsBackend
from spnl_tui.models.request import Message, Sampling
from spnl_tui.paths import Paths
from tests.support.engines import GREEDY, ask, chat, fake_engine, fake_model, fake_plan, text_of
from tests.support.waiting import is_running, wait_until

MODEL = fake_model()


# ── left before the end ──────────────────────────────────────────────────────────────────────────


async def test_left_candidates_free_the_runner_for_the_next_request(paths: Paths) -> None:
    async with fake_engine(paths) as engine:
        prompt = [Message("user", "tokens=10000 delay=0.01")]
        async with aclosing(ask(engine, MODEL, prompt, GREEDY, n=3)) as events:
            async for event in events:
                if isinstance(event, ReplyChunk):
                    break
        before = engine.loaded()[0].pid
        assert text_of(await chat(engine, MODEL, "again"))
        assert engine.loaded()[0].pid == before


async def test_left_iterator_stops_the_reply_and_keeps_the_runner(paths: Paths) -> None:
    async with fake_engine(paths) as engine:
        stream = ask(engine, MODEL, [Message("user", "tokens=10000 delay=0.01")], GREEDY)
        async with aclosing(stream):
            async for event in stream:
                if isinstance(event, ReplyChunk):
                    break
        pid = engine.loaded()[0].pid
        assert text_of(await chat(engine, MODEL, "hello")).split()[0] == f"word-{pid}"


async def _leave_after_a_chunk(engine: Backend, text: str, *, ephemeral: bool = False) -> int | None:
    """Leave a reply while it decodes, wait for the engine to rest, and return the process id."""
    async with aclosing(
        ask(engine, MODEL, [Message("user", text)], Sampling(), ephemeral=ephemeral)
    ) as events:
        async for event in events:
            if isinstance(event, ReplyChunk):
                pid = engine.loaded()[0].pid
                break
    assert isinstance(engine, MistralRsBackend)
    await wait_until(lambda: engine.at_rest)
    return pid


@pytest.mark.parametrize("ephemeral", [False, True])
async def test_stopped_reply_is_read_again_unless_it_is_ephemeral(paths: Paths, ephemeral: bool) -> None:
    log = paths.state / "asked"
    log.parent.mkdir(parents=True, exist_ok=True)
    async with fake_engine(paths) as engine:
        await _leave_after_a_chunk(
            engine, f"tokens=100 delay=0.1 say tokens=0 log={log}", ephemeral=ephemeral
        )
        assert log.exists() != ephemeral


@pytest.mark.slow
async def test_reading_again_may_take_longer_than_the_stop_bound(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spnl_tui.engine.mistralrs.pooled_model.CANCEL_BOUND_S", 0.5)
    async with fake_engine(paths) as engine:
        pid = await _leave_after_a_chunk(engine, "tokens=100 delay=0.1 say tokens=0 prefill=1")
        assert engine.loaded()[0].pid == pid


async def test_place_admitted_to_a_cancelled_request_is_released(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with fake_engine(paths, lambda model: fake_plan(every_core=True)) as engine:
        first = asyncio.create_task(chat(engine, MODEL, "tokens=5 delay=0.05"))
        await wait_until(lambda: engine.needs_every_core)
        second = asyncio.create_task(chat(engine, MODEL, "hello"))
        leave = FairQueue.leave

        def leave_and_stop(turns: FairQueue, turn: asyncio.Future[None]) -> None:
            leave(turns, turn)  # the turn passes to the second request
            second.cancel()

        await asyncio.sleep(0.05)
        monkeypatch.setattr(FairQueue, "leave", leave_and_stop)
        await asyncio.gather(first, second, return_exceptions=True)
        assert second.cancelled()
        assert engine.loaded()[0].state == "idle"
        assert not engine.needs_every_core
        monkeypatch.undo()
        assert isinstance((await chat(engine, MODEL, "hello"))[-1], ReplyFinished)


@pytest.mark.slow
async def test_prefill_that_does_not_stop_is_ended_and_reloaded(paths: Paths) -> None:
    async with fake_engine(paths) as engine:
        stream = ask(engine, MODEL, [Message("user", "prefill=30")], GREEDY)
        async with aclosing(stream):
            async for event in stream:
                if isinstance(event, PrefillProgressed):
                    break
            old = engine.loaded()[0].pid
            started = time.monotonic()
        assert time.monotonic() - started < 1  # the caller is free at once
        events = await chat(engine, MODEL, "hello")
        assert text_of(events).split()[0] != f"word-{old}"
        assert old is not None
        assert not is_running(old)


async def test_cancelled_queued_request_lets_the_others_run(paths: Paths) -> None:
    async with fake_engine(paths) as engine:
        first = asyncio.create_task(chat(engine, MODEL, "tokens=30 delay=0.01"))
        second = asyncio.create_task(chat(engine, MODEL, "hello"))
        third = asyncio.create_task(chat(engine, MODEL, "hello"))
        await wait_until(lambda: engine.loaded() and engine.loaded()[0].state == "busy")
        second.cancel()
        assert isinstance((await first)[-1], ReplyFinished)
        assert isinstance((await third)[-1], ReplyFinished)
        with pytest.raises(asyncio.CancelledError):
            await second


@pytest.mark.slow
async def test_abandoned_prefill_does_not_reload_an_unloaded_model(paths: Paths) -> None:
    async with fake_engine(paths) as engine:
        stream = ask(engine, MODEL, [Message("user", "prefill=30")], GREEDY)
        async with aclosing(stream):
            async for event in stream:
                if isinstance(event, PrefillProgressed):
                    break
            pid = engine.loaded()[0].pid
        await asyncio.sleep(0)
        await engine.unload(MODEL)
        assert pid is not None
        assert not is_running(pid)
        other = fake_model("other")
        assert isinstance((await chat(engine, other, "hello"))[-1], ReplyFinished)  # it was unloaded
        assert [loaded.model for loaded in engine.loaded()] == [other]


# ── runners that die ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
@pytest.mark.parametrize(("how", "reason"), [("die", "as asked"), ("garbage", "malformed line")])
async def test_dead_runner_is_an_event_and_the_next_prompt_works(paths: Paths, how: str, reason: str) -> None:
    async with fake_engine(paths) as engine:
        events = await chat(engine, MODEL, f"tokens=50 delay=0.01 {how}")
        end = events[-1]
        assert isinstance(end, RequestFailed)
        assert reason in end.message
        assert text_of(events)  # what came before is kept
        assert isinstance((await chat(engine, MODEL, "hello"))[-1], ReplyFinished)


@pytest.mark.slow
async def test_dead_runner_ends_one_candidate(paths: Paths) -> None:
    async with fake_engine(paths) as engine:
        events = await chat(engine, MODEL, "tokens=9 delay=0.01 die", n=3)
        ends = [e for e in events if isinstance(e, RequestFailed)]
        assert [(e.candidate, e.title) for e in ends] == [
            (each, "The engine stopped unexpectedly") for each in range(3)
        ]
        assert len([e for e in events if isinstance(e, ModelLoaded)]) == 3
        assert text_of(await chat(engine, MODEL, "again"))


@pytest.mark.slow
async def test_killed_runner_is_an_event(paths: Paths) -> None:
    async with fake_engine(paths) as engine:
        stream = ask(engine, MODEL, [Message("user", "tokens=1000 delay=0.01")], GREEDY)
        async with aclosing(stream):
            async for event in stream:
                if isinstance(event, ReplyChunk) and event.tokens == 3:
                    pid = engine.loaded()[0].pid
                    assert pid is not None
                    os.kill(pid, signal.SIGKILL)
        assert isinstance(event, RequestFailed)
        assert "killed" in event.message
        assert isinstance((await chat(engine, MODEL, "hello"))[-1], ReplyFinished)


@pytest.mark.parametrize(
    ("kind", "title"), [("refused", "Refused"), ("dying", "The engine stopped while loading")]
)
async def test_failed_load_reports_the_reason(paths: Paths, kind: str, title: str) -> None:
    async with fake_engine(paths) as engine:
        events = await chat(engine, fake_model(kind), "hello")
        end = events[-1]
        assert isinstance(end, RequestFailed)
        assert end.title == title
        assert engine.loaded() == ()
