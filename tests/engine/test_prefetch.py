"""Prefetch over real processes, without a model."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from pathlib import Path

import pytest

from spnl_tui.engine.backend import Backend, Event, PrefillProgressed, ReplyFinished, RequestQueued
from spnl_tui.engine.mistralrs import pool
from spnl_tui.engine.mistralrs.load_plan import LoadPlan
from spnl_tui.engine.prefetch import Prefetch
from spnl_tui.models.request import Message, Sampling
from spnl_tui.paths import Paths
from tests.support.engines import ask, chat, fake_engine, fake_model, fake_plan, kinds, text_of
from tests.support.waiting import is_running, wait_until

MODEL = fake_model()
MUCH = " word" * 200
"""Long enough to be worth a prefetch."""


@pytest.fixture
def log(paths: Paths) -> Path:
    """Return the file in which a runner notes its requests."""
    paths.state.mkdir(parents=True, exist_ok=True)
    return paths.state / "asked"


def typed(text: str, sampling: Sampling | None = None) -> Prefetch:
    """Return a prefetch of a prompt that is being typed."""
    return Prefetch([Message("user", text)], sampling or Sampling())


async def read_ahead(engine: Backend, reading: Prefetch) -> None:
    """Prefetch and wait for the end."""
    engine.prefetch(MODEL, reading)
    async with asyncio.timeout(10):
        await reading.ended.wait()


def asked(log: Path) -> int:
    """Return how often the runner noted a request."""
    return len(log.read_text().splitlines()) if log.exists() else 0


async def until_reading(engine: Backend, log: Path) -> int:
    """Wait until the runner reads, and return its process id."""
    await wait_until(lambda: asked(log))
    pid = engine.loaded()[0].pid
    assert pid is not None
    return pid


async def test_prefetched_prompt_is_read_once_and_again_after_a_long_addition(
    paths: Paths, log: Path
) -> None:
    async with fake_engine(paths) as engine:
        await chat(engine, MODEL, "hello")
        draft = f"log={log}{MUCH}"
        await read_ahead(engine, typed(draft))
        assert asked(log) == 1
        for more, times in ((" and more", 1), (MUCH, 2)):
            draft += more
            await read_ahead(engine, typed(draft))
            assert asked(log) == times
        await wait_until(lambda: engine.at_rest)


@pytest.mark.parametrize(
    "plan",
    [
        fake_plan(),
        fake_plan(prefix_cache=0),
        fake_plan(device="cuda", max_sequences=4),
        fake_plan(completion_only=True),
        fake_plan(window=64),
    ],
    ids=["little", "no cache", "GPU", "base model", "window"],
)
async def test_short_prompt_is_not_prefetched(paths: Paths, log: Path, plan: LoadPlan) -> None:
    async with fake_engine(paths, lambda model: plan) as engine:
        async for _ in engine.load(MODEL):
            pass
        much = MUCH if plan != fake_plan() else " word" * 20
        await read_ahead(engine, typed(f"log={log}{much}"))
        assert not asked(log)


async def test_seeded_prompt_is_not_prefetched(paths: Paths, log: Path) -> None:
    async with fake_engine(paths) as engine:
        await chat(engine, MODEL, "hello")
        await read_ahead(engine, typed(f"log={log}{MUCH}", Sampling(seed=1)))
        assert not asked(log)


async def test_unloaded_model_prefetches_nothing(paths: Paths, log: Path) -> None:
    async with fake_engine(paths) as engine:
        await read_ahead(engine, typed(f"log={log}{MUCH}"))
        await chat(engine, MODEL, "hello")
        await engine.unload(MODEL)
        await read_ahead(engine, typed(f"log={log}{MUCH}"))
        assert engine.loaded() == ()
        assert not asked(log)


# ── when a request waits ───────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
async def test_prefetched_prompt_waits_for_its_current_step(
    paths: Paths, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spnl_tui.engine.mistralrs.pooled_model.CANCEL_BOUND_S", 0.2)
    async with fake_engine(paths) as engine:
        await chat(engine, MODEL, "hello")
        draft = f"tokens=1 prefill=1 log={log}{MUCH}"
        engine.prefetch(MODEL, typed(draft))
        pid = await until_reading(engine, log)
        events = await chat(engine, MODEL, f"{draft} end")
        assert kinds(events)[0] == "PrefillProgressed"  # reported as being read, not as queued
        assert text_of(events) == f"word-{pid} "
        assert asked(log) == 3  # and when its token came, twice


@pytest.mark.parametrize(
    ("text", "said"),
    [("tokens=1", RequestQueued), (f"steps=1000{MUCH} end", PrefillProgressed)],
    ids=["another prompt", "the prompt itself"],
)
async def test_prefetch_stops_after_its_step_when_a_request_waits(
    paths: Paths, text: str, said: type[Event]
) -> None:
    async with fake_engine(paths) as engine:
        await chat(engine, MODEL, "hello")
        told: list[int] = []
        draft = [Message("user", f"steps=1000{MUCH}")]
        reading = Prefetch(draft, Sampling(), lambda done, total: told.append(done))
        engine.prefetch(MODEL, reading)
        await wait_until(lambda: len(told) == 3)
        pid = engine.loaded()[0].pid
        async with aclosing(ask(engine, MODEL, [Message("user", text)], Sampling())) as events:
            assert isinstance(await anext(events), said)
            await wait_until(reading.ended.is_set)
        assert told[-1] < 20
        assert engine.loaded()[0].pid == pid


@pytest.mark.slow
async def test_other_prompt_ends_a_slow_prefetch_within_its_bound(paths: Paths, log: Path) -> None:
    async with fake_engine(paths) as engine:
        await chat(engine, MODEL, "hello")
        engine.prefetch(MODEL, typed(f"prefill=30 log={log}{MUCH}"))
        pid = await until_reading(engine, log)
        started = time.monotonic()
        assert text_of(await chat(engine, MODEL, "something else"))
        assert time.monotonic() - started < 10
        assert not is_running(pid)


async def test_ephemeral_request_waits_for_the_prefetch(
    paths: Paths, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spnl_tui.engine.mistralrs.pooled_model.CANCEL_BOUND_S", 0.0)
    async with fake_engine(paths) as engine:
        await chat(engine, MODEL, "hello")
        engine.prefetch(MODEL, typed(f"prefill=1 log={log}{MUCH}"))
        pid = await until_reading(engine, log)
        assert f"word-{pid}" in text_of(await chat(engine, MODEL, "a title", ephemeral=True))


async def test_waiting_request_runs_before_a_prefetch(paths: Paths, log: Path) -> None:
    async with fake_engine(paths) as engine:
        first = asyncio.create_task(chat(engine, MODEL, "tokens=20 delay=0.02"))
        await wait_until(lambda: engine.loaded() and engine.loaded()[0].state == "busy")
        reading = typed(f"log={log}{MUCH}")
        engine.prefetch(MODEL, reading)
        await asyncio.sleep(0)
        second = asyncio.create_task(chat(engine, MODEL, "tokens=3"))
        await asyncio.gather(first, second)
        await wait_until(reading.ended.is_set)
        assert not asked(log)


async def test_prefetch_runs_when_the_reply_has_ended(paths: Paths, log: Path) -> None:
    async with fake_engine(paths) as engine:
        reply = asyncio.create_task(chat(engine, MODEL, "tokens=20 delay=0.02"))
        await wait_until(lambda: engine.loaded() and engine.loaded()[0].state == "busy")
        await read_ahead(engine, typed(f"log={log}{MUCH}"))
        assert reply.done()
        assert asked(log) == 1


async def test_prefetch_stopped_while_it_waits_never_runs(paths: Paths, log: Path) -> None:
    async with fake_engine(paths) as engine:
        reply = asyncio.create_task(chat(engine, MODEL, "tokens=20 delay=0.02"))
        await wait_until(lambda: engine.loaded() and engine.loaded()[0].state == "busy")
        reading = typed(f"log={log}{MUCH}")
        engine.prefetch(MODEL, reading)
        reading.stop()
        await wait_until(reading.ended.is_set)
        assert not reply.done()
        assert isinstance((await reply)[-1], ReplyFinished)
        assert not asked(log)


async def test_unload_ends_the_prefetch(paths: Paths, log: Path) -> None:
    async with fake_engine(paths) as engine:
        await chat(engine, MODEL, "hello")
        reading = typed(f"prefill=30 log={log}{MUCH}")
        engine.prefetch(MODEL, reading)
        await until_reading(engine, log)
        await engine.unload(MODEL)
        await wait_until(reading.ended.is_set)
        assert engine.loaded() == ()


# ── a model that was unloaded while idle ────────────────────────────────────────────────────────────────────


async def test_idle_model_is_reported_as_idle_unloaded(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "_HOUSEKEEPING_S", 0.05)
    async with fake_engine(paths, keep_warm_s=0.3) as engine:
        await chat(engine, MODEL, "hello")
        await wait_until(lambda: not engine.loaded())
        monkeypatch.setattr(pool, "_HOUSEKEEPING_S", 600)
        assert engine.idle_unloaded(MODEL)
        async for _ in engine.load(MODEL):
            pass
        assert not engine.idle_unloaded(MODEL)
        await engine.unload(MODEL)
        assert not engine.idle_unloaded(MODEL)
        assert not engine.idle_unloaded(fake_model("never asked for"))
