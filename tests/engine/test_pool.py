"""The pool over real child processes, without a model."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest

from spnl_tui.engine.backend import Backend, Event, ReplyFinished, RequestFailed
from spnl_tui.engine.mistralrs import pool
from spnl_tui.engine.mistralrs.load_plan import LoadPlan
from spnl_tui.models.machine import Gpu
from spnl_tui.models.memory import MemoryEstimate
from spnl_tui.paths import Paths
from tests.support.engines import chat, fake_engine, fake_model, fake_plan, text_of
from tests.support.waiting import is_running, wait_until

MODEL = fake_model()
TIGHT = dataclasses.replace(
    fake_plan(context=3000), memory=MemoryEstimate(1, 0, kv_cache=2 * 3000 * 20_000, loading=1)
)
"""20 KB for each token: after 50 MB, memory is left for a prompt of 1,100 tokens, but not for its steps."""


# ── making room ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
async def test_least_recently_used_idle_model_is_unloaded_for_another(paths: Paths) -> None:
    def plan(model: object) -> LoadPlan:
        return fake_plan(memory=100)

    def available() -> int:
        return 250 - 100 * len(engine.loaded())

    async with fake_engine(paths, plan, available_memory=available) as engine:
        a, b, c = (fake_model(name) for name in "abc")
        for model in (a, b, a, c):
            assert isinstance((await chat(engine, model, "hello"))[-1], ReplyFinished)
        assert {loaded.model for loaded in engine.loaded()} == {a, c}


@pytest.mark.slow
async def test_model_with_only_waiting_requests_is_unloaded_for_another(paths: Paths) -> None:
    def plan(model: object) -> LoadPlan:
        return fake_plan(memory=100)

    def available() -> int:
        return 150 - 100 * len(engine.loaded())

    async with fake_engine(paths, plan, available_memory=available) as engine:
        requests = [chat(engine, fake_model(name), "hello") for name in "abab"]
        for events in await asyncio.gather(*requests):
            assert isinstance(events[-1], ReplyFinished)


async def test_later_of_two_loads_that_do_not_both_fit_is_kept(paths: Paths) -> None:
    slow = fake_model("slow")
    async with fake_engine(
        paths, lambda model: fake_plan(memory=10**12), available_memory=lambda: 15 * 10**11
    ) as engine:

        async def load_ahead() -> list[Event]:
            return [event async for event in engine.load(slow)]

        loading = asyncio.create_task(load_ahead())
        await wait_until(lambda: engine.loaded() and engine.loaded()[0].pid)
        assert isinstance((await chat(engine, MODEL, "hello"))[-1], ReplyFinished)
        assert isinstance((await loading)[-1], RequestFailed)
        assert [loaded.model for loaded in engine.loaded()] == [MODEL]


async def test_load_for_a_request_outlives_a_load_ahead(paths: Paths) -> None:
    slow = fake_model("slow")
    async with fake_engine(
        paths, lambda model: fake_plan(memory=10**12), available_memory=lambda: 15 * 10**11
    ) as engine:
        request = asyncio.create_task(chat(engine, slow, "hello"))
        await wait_until(lambda: engine.loaded() and engine.loaded()[0].pid)
        (refused,) = [event async for event in engine.load(MODEL)]
        assert isinstance(refused, RequestFailed)
        assert refused.title == "Not enough memory for this model"
        assert refused.hint == "Wait for fake/slow to finish."
        assert [loaded.model for loaded in engine.loaded()] == [slow]
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request


async def test_model_that_does_not_fit_is_refused_before_its_load(paths: Paths) -> None:
    plan = fake_plan(memory=10**15)
    async with fake_engine(paths, lambda model: plan) as engine:
        end = (await chat(engine, MODEL, "hello"))[-1]
        assert isinstance(end, RequestFailed)
        assert end.title == "Not enough memory for this model"
        assert engine.loaded() == ()


@pytest.mark.slow
async def test_gpu_model_is_checked_against_gpu_memory(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    """Free main memory does not count, because a program for CUDA is larger than many models."""
    on_gpu = fake_plan(memory=100, device="cuda", max_sequences=4)

    async def cards() -> tuple[Gpu, ...]:
        taken = sum(loaded.memory_bytes for loaded in engine.loaded())
        return (Gpu("A card", "cuda", 250, 250 - taken), Gpu("A small one", "cuda", 60, 60))

    monkeypatch.setattr(pool, "find_gpus", cards)
    async with fake_engine(paths, lambda model: on_gpu, available_memory=lambda: 0) as engine:
        pids = set()
        for name in "abca":
            assert isinstance((await chat(engine, fake_model(name), "grow"))[-1], ReplyFinished)
            pids |= {loaded.pid for loaded in engine.loaded()}
        assert [loaded.model.name for loaded in engine.loaded()] == ["fake/a", "fake/c"]
        assert len(pids) == 4  # a was unloaded for c, and none was renewed
        assert {loaded.memory_bytes for loaded in engine.loaded()} == {100}


# ── memory that grows ────────────────────────────────────────────────────────────────────────────


async def test_grown_runner_is_renewed_while_idle(paths: Paths) -> None:
    plan = fake_plan(memory=1)
    async with fake_engine(paths, lambda model: plan) as engine:
        first = text_of(await chat(engine, MODEL, "grow"))
        await wait_until(lambda: engine.loaded() and engine.loaded()[0].state == "idle")
        await wait_until(lambda: engine.loaded() and f"word-{engine.loaded()[0].pid}" not in first)


@pytest.mark.slow
async def test_grown_runner_is_renewed_while_requests_wait(paths: Paths) -> None:
    plan = fake_plan(memory=1)
    async with fake_engine(paths, lambda model: plan) as engine:
        replies = await asyncio.gather(*(chat(engine, MODEL, "grow") for _ in range(4)))
    assert len({text_of(events).split()[0] for events in replies}) == 4


@pytest.mark.slow
async def test_copies_of_a_long_prefill_leave_room_for_its_buffers(paths: Paths) -> None:
    """10 KB for each token of 4,096; the buffers take 40 MB."""

    async def room(working: int) -> int:
        estimate = MemoryEstimate(10**9, 0, 2 * 4096 * 10_000, 10**9, working)
        async with fake_engine(
            paths, lambda model: dataclasses.replace(fake_plan(), memory=estimate)
        ) as engine:
            return int(text_of(await chat(engine, MODEL, "room")))

    with_buffers, without = await room(40_000_000), await room(0)
    assert with_buffers == pytest.approx(without, abs=200)


@pytest.mark.slow
async def test_long_prompt_without_room_for_steps_gets_a_new_process(paths: Paths) -> None:
    async with fake_engine(paths, lambda model: TIGHT) as engine:
        grown = text_of(await chat(engine, MODEL, "grow tokens=1"))
        assert text_of(await chat(engine, MODEL, "tokens=1 " + "x" * 300)) == grown
        assert text_of(await chat(engine, MODEL, "tokens=1 " + "x" * 3_700)) != grown


async def test_long_prompt_that_was_mostly_read_keeps_the_process(paths: Paths) -> None:
    async with fake_engine(paths, lambda model: TIGHT) as engine:
        # A token for each character, as the fake runner counts.
        prompt = "grow tokens=1 " + "y" * 700
        replies = [text_of(await chat(engine, MODEL, prompt + end)) for end in ("", "z" * 390)]
        assert replies[0] == replies[1]


# ── unloading and closing ────────────────────────────────────────────────────────────────────────


async def test_unload_ends_a_load(paths: Paths) -> None:
    slow = fake_model("slow")
    async with fake_engine(paths) as engine:
        request = asyncio.create_task(chat(engine, slow, "hello"))
        await wait_until(lambda: engine.loaded() and engine.loaded()[0].pid)
        pid = engine.loaded()[0].pid
        await engine.unload(slow)
        end = (await request)[-1]
        assert isinstance(end, RequestFailed)
        assert pid is not None
        assert not is_running(pid)


async def test_cancelled_unload_still_fails_the_request(paths: Paths) -> None:
    async with fake_engine(paths) as engine:
        request = asyncio.create_task(chat(engine, MODEL, "tokens=10000 delay=0.01"))
        await wait_until(lambda: engine.loaded() and engine.loaded()[0].state == "busy")
        unload = asyncio.create_task(engine.unload(MODEL))
        await asyncio.sleep(0)
        unload.cancel()
        async with asyncio.timeout(20):
            assert isinstance((await request)[-1], RequestFailed)


async def test_close_ends_every_process(paths: Paths) -> None:
    async with fake_engine(paths) as engine:
        tasks = [
            asyncio.create_task(chat(engine, MODEL, "tokens=10000 delay=0.01")),
            asyncio.create_task(_drain(engine)),
        ]
        await wait_until(lambda: len([m for m in engine.loaded() if m.pid]) == 2)
        pids = [loaded.pid for loaded in engine.loaded()]
        await engine.close()
        assert not any(pid and is_running(pid) for pid in pids)
        await asyncio.wait(tasks, timeout=5)
        assert all(task.done() for task in tasks)


async def _drain(engine: Backend) -> None:
    async for _ in engine.load(fake_model("slow")):
        pass


# ── another context ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
async def test_chosen_context_replaces_the_loaded_one_between_replies(paths: Paths) -> None:
    shorter = dataclasses.replace(MODEL, wanted_context=2048)
    async with fake_engine(paths) as engine:

        def context() -> int | None:
            (loaded,) = engine.loaded()
            return loaded.context_length

        assert isinstance((await chat(engine, MODEL, "hello"))[-1], ReplyFinished)
        assert context() == 4096
        async for _ in engine.load(shorter):
            pass
        assert context() == 2048
        pid = engine.loaded()[0].pid
        # A request without a wish and one with the same wish keep the process.
        for model in (MODEL, shorter):
            assert isinstance((await chat(engine, model, "hello"))[-1], ReplyFinished)
        assert (context(), engine.loaded()[0].pid) == (2048, pid)
        # A load ahead does not end the reply in progress; the next request follows it.
        longer = dataclasses.replace(MODEL, wanted_context=3000)
        request = asyncio.create_task(chat(engine, MODEL, "tokens=20 delay=0.02"))
        await wait_until(lambda: engine.loaded()[0].state == "busy")
        async for _ in engine.load(longer):
            pass
        assert isinstance((await request)[-1], ReplyFinished)
        assert context() == 2048
        assert isinstance((await chat(engine, longer, "hello"))[-1], ReplyFinished)
        assert context() == 3000
