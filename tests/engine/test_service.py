"""The engine service over real child processes that speak the real protocol, without a model."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
import time
from contextlib import aclosing

import psutil
import pytest

from spnl_tui.engine import protocol as wire
from spnl_tui.engine.load_plan import LoadPlan, runner_environment
from spnl_tui.engine.service import Engine
from spnl_tui.engine.turns import Turns
from spnl_tui.models.local import LocalModel
from spnl_tui.models.memory import MemoryEstimate
from spnl_tui.models.request import Message, Sampling
from spnl_tui.paths import Paths
from tests.support.engines import chat, fake_engine, fake_model, fake_plan, text_of
from tests.support.waiting import is_running, wait_until

GREEDY = Sampling(temperature=0)
MODEL = fake_model()


def kinds(events: list[wire.Event]) -> list[str]:
    """The events' names, repeats joined."""
    names = [type(event).__name__ for event in events]
    return [name for i, name in enumerate(names) if i == 0 or names[i - 1] != name]


@pytest.mark.parametrize(("wanted", "told"), [(None, 4096), (512, 512), (9000, 4096)])
async def test_no_longer_context_is_told_than_the_user_wants(
    paths: Paths, wanted: int | None, told: int
) -> None:
    async with fake_engine(paths, lambda model: fake_plan(context_limit=wanted)) as engine:
        events = await chat(engine, MODEL, "hello")
        assert [event.context_length for event in events if isinstance(event, wire.ModelLoaded)] == [told]
        assert engine.loaded()[0].context_length == told


async def test_a_request_loads_the_model_and_streams_the_reply(paths: Paths) -> None:
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
        assert isinstance(end, wire.ReplyFinished)
        assert end.timing.load_s is not None
        assert end.timing.queue_s is not None
        # The second finds it loaded.
        assert kinds(await chat(engine, MODEL, "hello"))[0] == "PrefillProgressed"


@pytest.mark.parametrize("every_core", [True, False])
async def test_it_is_known_while_a_reply_needs_every_core(paths: Paths, every_core: bool) -> None:
    async with fake_engine(paths, lambda model: fake_plan(every_core=every_core)) as engine:
        assert not engine.needs_every_core
        async with aclosing(engine.generate_chat(MODEL, [Message("user", "hello")], Sampling())) as events:
            needed = [engine.needs_every_core async for event in events if isinstance(event, wire.ReplyChunk)]
        assert set(needed) == {every_core}
        assert not engine.needs_every_core


async def test_two_requests_for_one_model_make_one_load(paths: Paths) -> None:
    async with fake_engine(paths) as engine:
        first, second = await asyncio.gather(chat(engine, MODEL, "a"), chat(engine, MODEL, "b"))
        assert text_of(first).split()[0] == text_of(second).split()[0]  # one process gave both
        assert kinds(second)[0] == "RequestQueued"


async def test_it_tells_of_each_model_that_was_loaded_and_of_how_long_it_has_been_idle(paths: Paths) -> None:
    told: list[LocalModel] = []

    async def on_loaded(model: LocalModel) -> None:
        told.append(model)

    async with fake_engine(paths, on_loaded=on_loaded) as engine:
        for _ in range(2):
            await chat(engine, MODEL, "hi")
        await wait_until(lambda: engine.at_rest)
        assert told == [MODEL]
        (loaded,) = engine.loaded()
        assert loaded.idle_s is not None
        assert loaded.idle_s >= 0
        await engine.unload(MODEL)
        assert engine.loaded() == ()
        await chat(engine, MODEL, "hi")
        await wait_until(lambda: told == [MODEL, MODEL])


async def test_requests_are_served_in_the_order_in_which_they_came(paths: Paths) -> None:
    order: list[int] = []
    async with fake_engine(paths) as engine:

        async def ask(number: int) -> None:
            await chat(engine, MODEL, "tokens=3 delay=0.01")
            order.append(number)

        await asyncio.gather(*(ask(number) for number in range(6)))
    assert order == sorted(order)


async def test_the_order_holds_while_the_model_is_still_being_planned(paths: Paths) -> None:
    delays = iter((0.2, 0.0))

    def plan(model: object) -> LoadPlan:
        time.sleep(next(delays))  # in a thread: the first to ask must not be overtaken by the second
        return fake_plan()

    async with fake_engine(paths, plan) as engine:
        first, second = await asyncio.gather(chat(engine, MODEL, "a"), chat(engine, MODEL, "b"))
        assert kinds(first)[0] == "LoadProgressed"
        assert kinds(second)[0] == "RequestQueued"


async def test_who_is_slow_to_hear_of_the_queue_keeps_the_place_in_it(paths: Paths) -> None:
    order: list[int] = []
    async with fake_engine(paths) as engine:

        async def ask(number: int, dawdle: float) -> None:
            async with aclosing(
                engine.generate_chat(MODEL, [Message("user", "tokens=3 delay=0.05")], GREEDY)
            ) as events:
                async for event in events:
                    if isinstance(event, wire.RequestQueued):
                        await asyncio.sleep(dawdle)
                    elif isinstance(event, wire.PrefillProgressed):
                        order.append(number)

        await asyncio.gather(ask(0, 0), ask(1, 0.1), ask(2, 0))
    assert order == [0, 1, 2]


async def test_the_order_holds_between_models_that_are_planned_and_not(paths: Paths) -> None:
    order: list[str] = []

    def plan(model: object) -> LoadPlan:
        time.sleep(0.2)
        return fake_plan()

    async with fake_engine(paths, plan) as engine:

        async def ask(name: str) -> None:
            async for event in engine.generate_chat(fake_model(name), [Message("user", "a")], GREEDY):
                if isinstance(event, wire.PrefillProgressed):
                    order.append(name)

        await ask("a")
        await asyncio.gather(ask("b"), ask("a"))
    assert order == ["a", "b", "a"]


async def test_candidates_come_in_order_each_with_its_end(paths: Paths) -> None:
    async with fake_engine(paths) as engine:
        events = await chat(engine, MODEL, "hello", n=3)
        ends = [e.candidate for e in events if isinstance(e, wire.ReplyFinished)]
        assert ends == [0, 1, 2]
        assert all(text_of(events, candidate) for candidate in range(3))


async def test_a_candidate_that_is_not_wanted_any_more_is_stopped_and_the_others_go_on(paths: Paths) -> None:
    ends: dict[int, wire.ReplyFinished] = {}
    unwanted: set[int] = set()
    async with fake_engine(paths) as engine:
        stream = engine.generate_chat(
            MODEL,
            [Message("user", "tokens=30 delay=0.02")],
            GREEDY,
            n=4,
            is_wanted=lambda candidate: candidate not in unwanted,
        )
        async with aclosing(stream) as events:
            async for event in events:
                if isinstance(event, wire.ReplyChunk) and event.candidate == 1:
                    unwanted |= {1, 2}  # one that is being made, and one that has not begun
                elif isinstance(event, wire.ReplyFinished):
                    ends[event.candidate] = event
        reasons = {candidate: end.finish_reason for candidate, end in ends.items()}
        assert reasons == {0: "stop", 1: "cancelled", 2: "cancelled", 3: "stop"}


async def test_a_runner_that_dies_ends_one_candidate(paths: Paths) -> None:
    async with fake_engine(paths) as engine:
        events = await chat(engine, MODEL, "tokens=9 delay=0.01 die", n=3)
        ends = [e for e in events if isinstance(e, wire.RequestFailed)]
        assert [(e.candidate, e.title) for e in ends] == [(each, "The runner ended") for each in range(3)]
        assert len([e for e in events if isinstance(e, wire.ModelLoaded)]) == 3
        assert text_of(await chat(engine, MODEL, "again"))


async def test_leaving_candidates_frees_the_runner_for_the_next_request(paths: Paths) -> None:
    async with fake_engine(paths) as engine:
        prompt = [Message("user", "tokens=10000 delay=0.01")]
        async with aclosing(engine.generate_chat(MODEL, prompt, GREEDY, n=3)) as events:
            async for event in events:
                if isinstance(event, wire.ReplyChunk):
                    break
        before = engine.loaded()[0].pid
        assert text_of(await chat(engine, MODEL, "again"))
        assert engine.loaded()[0].pid == before


async def test_completions_are_answered_in_the_order_of_the_inputs(paths: Paths) -> None:
    async with fake_engine(paths) as engine:
        stream = engine.generate_completion(MODEL, [f"tokens={n + 1}" for n in range(8)], GREEDY)
        async with aclosing(stream):
            events = [event async for event in stream]
        ends = [e for e in events if isinstance(e, wire.ReplyFinished)]
        assert [(e.candidate, e.usage.completion_tokens) for e in ends] == [(n, n + 1) for n in range(8)]


async def test_an_accelerator_serves_side_by_side(paths: Paths) -> None:
    plan = fake_plan(device="cuda", max_sequences=4)
    async with fake_engine(paths, lambda model: plan) as engine:
        events = await chat(engine, MODEL, "tokens=4 delay=0.05", n=3)
        chunks = [e.candidate for e in events if isinstance(e, wire.ReplyChunk)]
        assert chunks != sorted(chunks)  # interleaved
        assert sorted(e.candidate for e in events if isinstance(e, wire.ReplyFinished)) == [0, 1, 2]


async def test_leaving_the_iterator_stops_the_reply_and_keeps_the_runner(paths: Paths) -> None:
    async with fake_engine(paths) as engine:
        stream = engine.generate_chat(MODEL, [Message("user", "tokens=10000 delay=0.01")], GREEDY)
        async with aclosing(stream):
            async for event in stream:
                if isinstance(event, wire.ReplyChunk):
                    break
        pid = engine.loaded()[0].pid
        assert text_of(await chat(engine, MODEL, "hello")).split()[0] == f"word-{pid}"


async def _leave_after_a_chunk(engine: Engine, text: str, *, aside: bool = False) -> int | None:
    """Leave a reply while it decodes, and wait until nothing goes on any more; the runner's process id."""
    async with aclosing(
        engine.generate_chat(MODEL, [Message("user", text)], Sampling(), aside=aside)
    ) as events:
        async for event in events:
            if isinstance(event, wire.ReplyChunk):
                pid = engine.loaded()[0].pid
                break
    await wait_until(lambda: engine.at_rest)
    return pid


@pytest.mark.parametrize("aside", [False, True])
async def test_a_conversation_is_read_ahead_after_a_stopped_reply_and_an_aside_is_not(
    paths: Paths, aside: bool
) -> None:
    log = paths.state / "asked"
    log.parent.mkdir(parents=True, exist_ok=True)
    async with fake_engine(paths) as engine:
        await _leave_after_a_chunk(engine, f"tokens=100 delay=0.1 say tokens=0 log={log}", aside=aside)
        assert log.exists() != aside


async def test_reading_ahead_may_take_longer_than_stopping(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spnl_tui.engine.pooled.CANCEL_BOUND_S", 0.5)
    async with fake_engine(paths) as engine:
        pid = await _leave_after_a_chunk(engine, "tokens=100 delay=0.1 say tokens=0 prefill=1")
        assert engine.loaded()[0].pid == pid


async def test_a_turn_that_comes_when_nobody_wants_it_any_more_counts_for_nothing(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with fake_engine(paths, lambda model: fake_plan(every_core=True)) as engine:
        first = asyncio.create_task(chat(engine, MODEL, "tokens=5 delay=0.05"))
        await wait_until(lambda: engine.needs_every_core)
        second = asyncio.create_task(chat(engine, MODEL, "hello"))
        leave = Turns.leave

        def leave_and_stop(turns: Turns, turn: asyncio.Future[None]) -> None:
            leave(turns, turn)  # the turn passes to the second request
            second.cancel()

        await asyncio.sleep(0.05)
        monkeypatch.setattr(Turns, "leave", leave_and_stop)
        await asyncio.gather(first, second, return_exceptions=True)
        assert second.cancelled()
        assert engine.loaded()[0].state == "idle"
        assert not engine.needs_every_core
        monkeypatch.undo()
        assert isinstance((await chat(engine, MODEL, "hello"))[-1], wire.ReplyFinished)


async def test_a_prefill_that_does_not_stop_is_ended_and_the_model_comes_back(paths: Paths) -> None:
    async with fake_engine(paths) as engine:
        stream = engine.generate_chat(MODEL, [Message("user", "prefill=30")], GREEDY)
        async with aclosing(stream):
            async for event in stream:
                if isinstance(event, wire.PrefillProgressed):
                    break
            old = engine.loaded()[0].pid
            started = time.monotonic()
        assert time.monotonic() - started < 1  # the caller is free at once
        events = await chat(engine, MODEL, "hello")
        assert text_of(events).split()[0] != f"word-{old}"
        assert old is not None
        assert not is_running(old)


@pytest.mark.parametrize(("how", "reason"), [("die", "as asked"), ("garbage", "protocol")])
async def test_a_runner_that_dies_is_an_event_and_the_next_prompt_works(
    paths: Paths, how: str, reason: str
) -> None:
    async with fake_engine(paths) as engine:
        events = await chat(engine, MODEL, f"tokens=50 delay=0.01 {how}")
        end = events[-1]
        assert isinstance(end, wire.RequestFailed)
        assert reason in end.message
        assert text_of(events)  # what came before is kept
        assert isinstance((await chat(engine, MODEL, "hello"))[-1], wire.ReplyFinished)


async def test_kill_9_in_mid_reply_is_an_event_too(paths: Paths) -> None:
    async with fake_engine(paths) as engine:
        stream = engine.generate_chat(MODEL, [Message("user", "tokens=1000 delay=0.01")], GREEDY)
        async with aclosing(stream):
            async for event in stream:
                if isinstance(event, wire.ReplyChunk) and event.tokens == 3:
                    pid = engine.loaded()[0].pid
                    assert pid is not None
                    os.kill(pid, signal.SIGKILL)
        assert isinstance(event, wire.RequestFailed)
        assert "killed" in event.message
        assert isinstance((await chat(engine, MODEL, "hello"))[-1], wire.ReplyFinished)


@pytest.mark.parametrize(
    ("kind", "title"), [("refused", "Refused"), ("dying", "The runner ended while loading")]
)
async def test_a_load_that_fails_says_why(paths: Paths, kind: str, title: str) -> None:
    async with fake_engine(paths) as engine:
        events = await chat(engine, fake_model(kind), "hello")
        end = events[-1]
        assert isinstance(end, wire.RequestFailed)
        assert end.title == title
        assert engine.loaded() == ()


async def test_a_load_can_be_ended(paths: Paths) -> None:
    slow = fake_model("slow")
    async with fake_engine(paths) as engine:
        request = asyncio.create_task(chat(engine, slow, "hello"))
        await wait_until(lambda: engine.loaded() and engine.loaded()[0].pid)
        pid = engine.loaded()[0].pid
        await engine.unload(slow)
        end = (await request)[-1]
        assert isinstance(end, wire.RequestFailed)
        assert pid is not None
        assert not is_running(pid)


async def test_cancelling_a_queued_request_lets_the_others_through(paths: Paths) -> None:
    async with fake_engine(paths) as engine:
        first = asyncio.create_task(chat(engine, MODEL, "tokens=30 delay=0.01"))
        second = asyncio.create_task(chat(engine, MODEL, "hello"))
        third = asyncio.create_task(chat(engine, MODEL, "hello"))
        await wait_until(lambda: engine.loaded() and engine.loaded()[0].state == "busy")
        second.cancel()
        assert isinstance((await first)[-1], wire.ReplyFinished)
        assert isinstance((await third)[-1], wire.ReplyFinished)
        with pytest.raises(asyncio.CancelledError):
            await second


async def test_the_least_recently_used_idle_model_makes_room(paths: Paths) -> None:
    def plan(model: object) -> LoadPlan:
        return fake_plan(memory=100)

    def available() -> int:
        return 250 - 100 * len(engine.loaded())

    async with fake_engine(paths, plan, available_memory=available) as engine:
        a, b, c = (fake_model(name) for name in "abc")
        for model in (a, b, a, c):
            assert isinstance((await chat(engine, model, "hello"))[-1], wire.ReplyFinished)
        assert {loaded.model for loaded in engine.loaded()} == {a, c}


async def test_of_two_that_are_loaded_at_once_and_do_not_both_fit_the_later_is_wanted(paths: Paths) -> None:
    slow = fake_model("slow")
    async with fake_engine(
        paths, lambda model: fake_plan(memory=10**12), available_memory=lambda: 15 * 10**11
    ) as engine:

        async def load_ahead() -> list[wire.Event]:
            return [event async for event in engine.load(slow)]

        loading = asyncio.create_task(load_ahead())
        await wait_until(lambda: engine.loaded() and engine.loaded()[0].pid)
        assert isinstance((await chat(engine, MODEL, "hello"))[-1], wire.ReplyFinished)
        assert isinstance((await loading)[-1], wire.RequestFailed)
        assert [loaded.model for loaded in engine.loaded()] == [MODEL]


async def test_what_is_loaded_for_a_request_is_not_ended_for_what_is_loaded_ahead(paths: Paths) -> None:
    slow = fake_model("slow")
    async with fake_engine(
        paths, lambda model: fake_plan(memory=10**12), available_memory=lambda: 15 * 10**11
    ) as engine:
        request = asyncio.create_task(chat(engine, slow, "hello"))
        await wait_until(lambda: engine.loaded() and engine.loaded()[0].pid)
        (refused,) = [event async for event in engine.load(MODEL)]
        assert isinstance(refused, wire.RequestFailed)
        assert refused.title == "Not enough memory for this model"
        assert refused.hint == "Wait for fake/slow to finish."
        assert [loaded.model for loaded in engine.loaded()] == [slow]
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request


async def test_what_does_not_fit_is_refused_before_it_is_loaded(paths: Paths) -> None:
    plan = fake_plan(memory=10**15)
    async with fake_engine(paths, lambda model: plan) as engine:
        end = (await chat(engine, MODEL, "hello"))[-1]
        assert isinstance(end, wire.RequestFailed)
        assert end.title == "Not enough memory for this model"
        assert engine.loaded() == ()


async def test_a_runner_that_has_grown_is_renewed_while_idle(paths: Paths) -> None:
    plan = fake_plan(memory=1)
    async with fake_engine(paths, lambda model: plan) as engine:
        first = text_of(await chat(engine, MODEL, "grow"))
        await wait_until(lambda: engine.loaded() and engine.loaded()[0].state == "idle")
        await wait_until(lambda: engine.loaded() and f"word-{engine.loaded()[0].pid}" not in first)


async def test_the_copies_of_a_long_prefill_leave_room_for_its_buffers(paths: Paths) -> None:
    """10 KB for each token of 4,096; the buffers take 40 MB."""

    async def room(working: int) -> int:
        estimate = MemoryEstimate(10**9, 0, 2 * 4096 * 10_000, 10**9, working)
        async with fake_engine(
            paths, lambda model: dataclasses.replace(fake_plan(), memory=estimate)
        ) as engine:
            return int(text_of(await chat(engine, MODEL, "room")))

    with_buffers, without = await room(40_000_000), await room(0)
    # A tenth of growth is allowed on top of them.
    assert without - with_buffers == pytest.approx(-0.1 * 40_000_000 / 10_000, abs=200)


async def test_it_is_renewed_too_while_others_wait_for_it(paths: Paths) -> None:
    plan = fake_plan(memory=1)
    async with fake_engine(paths, lambda model: plan) as engine:
        replies = await asyncio.gather(*(chat(engine, MODEL, "grow") for _ in range(4)))
    assert len({text_of(events).split()[0] for events in replies}) == 4


async def test_a_model_that_is_only_waited_for_makes_room(paths: Paths) -> None:
    def plan(model: object) -> LoadPlan:
        return fake_plan(memory=100)

    def available() -> int:
        return 150 - 100 * len(engine.loaded())

    async with fake_engine(paths, plan, available_memory=available) as engine:
        requests = [chat(engine, fake_model(name), "hello") for name in "abab"]
        for events in await asyncio.gather(*requests):
            assert isinstance(events[-1], wire.ReplyFinished)


async def test_whoever_stops_waiting_for_an_unload_takes_nothing_from_the_others(paths: Paths) -> None:
    async with fake_engine(paths) as engine:
        request = asyncio.create_task(chat(engine, MODEL, "tokens=10000 delay=0.01"))
        await wait_until(lambda: engine.loaded() and engine.loaded()[0].state == "busy")
        unload = asyncio.create_task(engine.unload(MODEL))
        await asyncio.sleep(0)
        unload.cancel()
        async with asyncio.timeout(20):
            assert isinstance((await request)[-1], wire.RequestFailed)


async def test_an_abandoned_prefill_does_not_bring_back_what_was_unloaded(paths: Paths) -> None:
    async with fake_engine(paths) as engine:
        stream = engine.generate_chat(MODEL, [Message("user", "prefill=30")], GREEDY)
        async with aclosing(stream):
            async for event in stream:
                if isinstance(event, wire.PrefillProgressed):
                    break
            pid = engine.loaded()[0].pid
        await asyncio.sleep(0)
        await engine.unload(MODEL)
        assert pid is not None
        assert not is_running(pid)
        other = fake_model("other")
        assert isinstance((await chat(engine, other, "hello"))[-1], wire.ReplyFinished)  # it was let go
        assert [loaded.model for loaded in engine.loaded()] == [other]


async def test_a_seed_starts_a_fresh_runner_with_a_state_of_its_own(
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


async def test_a_seed_on_an_accelerator_is_refused_with_the_reason(paths: Paths) -> None:
    plan = fake_plan(device="cuda", max_sequences=4)
    async with fake_engine(paths, lambda model: plan) as engine:
        events = await chat(engine, MODEL, "hello", sampling=Sampling(temperature=1.0, seed=1))
        assert isinstance(events[-1], wire.RequestFailed)
        assert "seed" in events[-1].title


async def test_tokens_are_counted_while_a_reply_streams(paths: Paths) -> None:
    async with fake_engine(paths) as engine:
        assert await engine.count_tokens(MODEL, ["a b c"]) is None  # not loaded
        stream = engine.generate_chat(MODEL, [Message("user", "tokens=1000 delay=0.01")], GREEDY)
        async with aclosing(stream):
            async for event in stream:
                if isinstance(event, wire.ReplyChunk):
                    break
            assert await engine.count_tokens(MODEL, ["a b c", ""]) == (3, 0)


async def test_closing_ends_every_process_whatever_it_does(paths: Paths) -> None:
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


async def _drain(engine: Engine) -> None:
    async for _ in engine.load(fake_model("slow")):
        pass


async def test_the_users_own_thread_count_does_not_reach_the_runner(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    # 64 threads that spin on two cores would be twenty times slower.
    monkeypatch.setenv("RAYON_NUM_THREADS", "64")
    plan = fake_plan(environment=runner_environment(2, on_cpu=True))
    async with fake_engine(paths, lambda model: plan) as engine:
        await chat(engine, MODEL, "hello")
        (loaded,) = engine.loaded()
        assert psutil.Process(loaded.pid).environ()["RAYON_NUM_THREADS"] == "2"
