"""The mistral.rs backend over real child processes that speak the wire format, without a model."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from contextlib import aclosing

import psutil
import pytest

from spnl_tui.engine.backend import (
    ModelLoaded,
    PrefillProgressed,
    ReplyChunk,
    ReplyFinished,
    RequestFailed,
    RequestQueued,
)
from spnl_tui.engine.mistralrs.load_plan import LoadPlan, runner_environment
from spnl_tui.models.files.local import LocalModel
from spnl_tui.models.request import Message, Sampling
from spnl_tui.paths import Paths
from tests.support.engines import (
    GREEDY,
    ask,
    chat,
    complete,
    fake_engine,
    fake_local,
    fake_model,
    fake_plan,
    kinds,
    text_of,
)
from tests.support.waiting import wait_until

MODEL = fake_model()


# ── one request ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("wanted", "told"), [(None, 4096), (512, 512), (9000, 4096)])
async def test_context_limit_caps_the_reported_context(paths: Paths, wanted: int | None, told: int) -> None:
    async with fake_engine(paths, lambda model: fake_plan(context_limit=wanted)) as engine:
        events = await chat(engine, MODEL, "hello")
        assert [event.context_length for event in events if isinstance(event, ModelLoaded)] == [told]
        assert engine.loaded()[0].context_length == told


async def test_request_loads_the_model_and_streams_the_reply(paths: Paths) -> None:
    async with fake_engine(paths) as engine:
        events = await chat(engine, MODEL, "hello")
        assert kinds(events) == [
            "LoadProgressed",
            "ModelLoaded",
            "PrefillProgressed",
            "ReplyChunk",
            "ReplyFinished",
        ]
        assert len(text_of(events).split()) == 5
        end = events[-1]
        assert isinstance(end, ReplyFinished)
        assert end.timing.load_s is not None
        assert end.timing.queue_s is not None
        # The second finds it loaded.
        assert kinds(await chat(engine, MODEL, "hello"))[0] == "PrefillProgressed"


async def test_base_model_refuses_to_chat_before_its_load(paths: Paths) -> None:
    async with fake_engine(paths, lambda model: fake_plan(completion_only=True)) as engine:
        events = await chat(engine, MODEL, "hello", n=2)
        assert [(event.kind, event.candidate) for event in events if isinstance(event, RequestFailed)] == [
            ("template", 0),
            ("template", 1),
        ]
        assert kinds(events) == ["RequestFailed"]
        async with aclosing(complete(engine, MODEL, ["hello"], GREEDY)) as completing:
            assert kinds([event async for event in completing])[0] == "LoadProgressed"


@pytest.mark.parametrize("every_core", [True, False])
async def test_running_reply_reports_that_it_needs_every_core(paths: Paths, every_core: bool) -> None:
    async with fake_engine(paths, lambda model: fake_plan(every_core=every_core)) as engine:
        assert not engine.needs_every_core
        async with aclosing(ask(engine, MODEL, [Message("user", "hello")], Sampling())) as events:
            needed = [engine.needs_every_core async for event in events if isinstance(event, ReplyChunk)]
        assert set(needed) == {every_core}
        assert not engine.needs_every_core


async def test_two_requests_for_one_model_share_one_load(paths: Paths) -> None:
    async with fake_engine(paths) as engine:
        first, second = await asyncio.gather(chat(engine, MODEL, "a"), chat(engine, MODEL, "b"))
        assert text_of(first).split()[0] == text_of(second).split()[0]  # from one process
        assert kinds(second)[0] == "RequestQueued"


@pytest.mark.slow
async def test_each_load_is_reported_and_idle_time_is_measured(paths: Paths) -> None:
    told: list[LocalModel] = []

    async def on_loaded(model: LocalModel) -> None:
        told.append(model)

    async with fake_engine(paths, on_loaded=on_loaded) as engine:
        for _ in range(2):
            await chat(engine, MODEL, "hi")
        await wait_until(lambda: engine.at_rest)
        assert told == [fake_local()]
        (loaded,) = engine.loaded()
        assert loaded.idle_s is not None
        assert loaded.idle_s >= 0
        await engine.unload(MODEL)
        assert engine.loaded() == ()
        await chat(engine, MODEL, "hi")
        await wait_until(lambda: told == [fake_local()] * 2)


async def test_tokens_are_counted_while_a_reply_streams(paths: Paths) -> None:
    async with fake_engine(paths) as engine:
        assert await engine.count_tokens(MODEL, ["a b c"]) is None  # not loaded
        stream = ask(engine, MODEL, [Message("user", "tokens=1000 delay=0.01")], GREEDY)
        async with aclosing(stream):
            async for event in stream:
                if isinstance(event, ReplyChunk):
                    break
            assert await engine.count_tokens(MODEL, ["a b c", ""]) == (3, 0)


async def test_environment_of_the_user_does_not_set_the_threads(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    # 64 threads that spin on two cores would be twenty times slower.
    monkeypatch.setenv("RAYON_NUM_THREADS", "64")
    plan = fake_plan(environment=runner_environment(2))
    async with fake_engine(paths, lambda model: plan) as engine:
        await chat(engine, MODEL, "hello")
        (loaded,) = engine.loaded()
        assert psutil.Process(loaded.pid).environ()["RAYON_NUM_THREADS"] == "2"


# ── in order ─────────────────────────────────────────────────────────────────────────────────────


async def test_requests_run_in_the_order_of_arrival(paths: Paths) -> None:
    order: list[int] = []
    async with fake_engine(paths) as engine:

        async def ask(number: int) -> None:
            await chat(engine, MODEL, "tokens=3 delay=0.01")
            order.append(number)

        await asyncio.gather(*(ask(number) for number in range(6)))
    assert order == sorted(order)


async def test_requests_run_in_order_while_the_load_is_planned(paths: Paths) -> None:
    delays = iter((0.2, 0.0))

    def plan(model: object) -> LoadPlan:
        time.sleep(next(delays))  # in a thread: the second must not overtake the first
        return fake_plan()

    async with fake_engine(paths, plan) as engine:
        first, second = await asyncio.gather(chat(engine, MODEL, "a"), chat(engine, MODEL, "b"))
        assert kinds(first)[0] == "LoadProgressed"
        assert kinds(second)[0] == "RequestQueued"


async def test_slow_reader_of_the_queue_event_keeps_its_place(paths: Paths) -> None:
    order: list[int] = []
    async with fake_engine(paths) as engine:

        async def take_part(number: int, dawdle: float) -> None:
            async with aclosing(
                ask(engine, MODEL, [Message("user", "tokens=3 delay=0.05")], GREEDY)
            ) as events:
                async for event in events:
                    if isinstance(event, RequestQueued):
                        await asyncio.sleep(dawdle)
                    elif isinstance(event, PrefillProgressed):
                        order.append(number)

        await asyncio.gather(take_part(0, 0), take_part(1, 0.1), take_part(2, 0))
    assert order == [0, 1, 2]


@pytest.mark.slow
async def test_requests_run_in_order_for_planned_and_new_models(paths: Paths) -> None:
    order: list[str] = []

    def plan(model: object) -> LoadPlan:
        time.sleep(0.2)
        return fake_plan()

    async with fake_engine(paths, plan) as engine:

        async def take_part(name: str) -> None:
            async for event in ask(engine, fake_model(name), [Message("user", "a")], GREEDY):
                if isinstance(event, PrefillProgressed):
                    order.append(name)

        await take_part("a")
        await asyncio.gather(take_part("b"), take_part("a"))
    assert order == ["a", "b", "a"]


# ── several at once ──────────────────────────────────────────────────────────────────────────────


async def test_candidates_arrive_in_order_each_with_its_end(paths: Paths) -> None:
    async with fake_engine(paths) as engine:
        events = await chat(engine, MODEL, "hello", n=3)
        ends = [e.candidate for e in events if isinstance(e, ReplyFinished)]
        assert ends == [0, 1, 2]
        assert all(text_of(events, candidate) for candidate in range(3))


@pytest.mark.slow
async def test_unwanted_candidate_is_stopped_and_the_others_continue(paths: Paths) -> None:
    ends: dict[int, ReplyFinished] = {}
    unwanted: set[int] = set()
    async with fake_engine(paths) as engine:
        stream = ask(
            engine,
            MODEL,
            [Message("user", "tokens=30 delay=0.02")],
            GREEDY,
            n=4,
            is_wanted=lambda candidate: candidate not in unwanted,
        )
        async with aclosing(stream) as events:
            async for event in events:
                if isinstance(event, ReplyChunk) and event.candidate == 1:
                    unwanted |= {1, 2}  # one that is running, and one that has not started
                elif isinstance(event, ReplyFinished):
                    ends[event.candidate] = event
        reasons = {candidate: end.finish_reason for candidate, end in ends.items()}
        assert reasons == {0: "stop", 1: "cancelled", 2: "cancelled", 3: "stop"}


async def test_completions_arrive_in_the_order_of_the_inputs(paths: Paths) -> None:
    async with fake_engine(paths) as engine:
        stream = complete(engine, MODEL, [f"tokens={n + 1}" for n in range(8)], GREEDY)
        async with aclosing(stream):
            events = [event async for event in stream]
        ends = [e for e in events if isinstance(e, ReplyFinished)]
        assert [(e.candidate, e.usage.completion_tokens) for e in ends] == [(n, n + 1) for n in range(8)]


async def test_accelerator_serves_requests_side_by_side(paths: Paths) -> None:
    plan = fake_plan(device="cuda", max_sequences=4)
    async with fake_engine(paths, lambda model: plan) as engine:
        events = await chat(engine, MODEL, "tokens=4 delay=0.05", n=3)
        chunks = [e.candidate for e in events if isinstance(e, ReplyChunk)]
        assert chunks != sorted(chunks)  # interleaved
        assert sorted(e.candidate for e in events if isinstance(e, ReplyFinished)) == [0, 1, 2]


# ── seeds ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
async def test_seed_starts_a_new_runner_in_its_own_state(
    paths: Paths, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    sampled = Sampling(temperature=1.0, seed=42)
    async with fake_engine(paths) as engine:
        for _ in range(2):
            await chat(engine, MODEL, "hello", sampling=sampled)
        await chat(engine, MODEL, "hello", sampling=dataclasses.replace(sampled, seed=43))
    discards = [
        record.message.split("discard=")[1] for record in caplog.records if "discard=" in record.message
    ]
    assert len(discards) == 3
    assert discards[0] == discards[1] != discards[2]


async def test_seed_on_an_accelerator_is_refused_with_the_reason(paths: Paths) -> None:
    plan = fake_plan(device="cuda", max_sequences=4)
    async with fake_engine(paths, lambda model: plan) as engine:
        events = await chat(engine, MODEL, "hello", sampling=Sampling(temperature=1.0, seed=1))
        assert isinstance(events[-1], RequestFailed)
        assert "seed" in events[-1].title
