"""The real runner with the real model."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest
import pytest_asyncio

from spnl_tui.engine.backend import (
    Event,
    LoadProgressed,
    ModelHandle,
    PrefillProgressed,
    ReplyChunk,
    ReplyFinished,
    RequestFailed,
)
from spnl_tui.engine.mistralrs.backend import MistralRsBackend
from spnl_tui.engine.mistralrs.handles import to_handle
from spnl_tui.load_planning import load_planner
from spnl_tui.models.files.local import resolve_local
from spnl_tui.models.request import Grammar, Message, Sampling
from spnl_tui.paths import Paths
from spnl_tui.services import make_engine
from spnl_tui.settings import Settings
from tests.support.engines import ask, chat, complete, text_of
from tests.support.waiting import is_running, wait_until

GREEDY = Sampling(temperature=0, max_tokens=64)
CAPITAL = "Name the capital of France."
# About 3,000 tokens, no two sentences alike.
LONG = " ".join(f"Sentence number {n} speaks of ship {n * 7} and of port {n * 13}." for n in range(150))

# The engine is shared by the tests of this file: a load for each would take longer than the tests.
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def model(starter_gguf: Path) -> ModelHandle:
    return to_handle(resolve_local(starter_gguf, "starter"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[MistralRsBackend]:
    paths = Paths.below(tmp_path_factory.mktemp("spnl"))
    engine = MistralRsBackend(load_planner(Settings()), paths)
    try:
        yield engine
    finally:
        await engine.close()


async def test_model_names_the_capital_of_france(engine: MistralRsBackend, model: ModelHandle) -> None:
    events = await chat(engine, model, CAPITAL, sampling=GREEDY)
    assert "Paris" in text_of(events)
    end = events[-1]
    assert isinstance(end, ReplyFinished)
    assert end.finish_reason == "stop"
    assert end.usage.prompt_tokens > 20
    assert end.timing.ttft_s is not None
    assert end.timing.decode_tokens_per_s is not None


async def test_template_tokens_are_known_before_the_first_reply(
    engine: MistralRsBackend, model: ModelHandle
) -> None:
    async with aclosing(engine.load(model)) as events:
        [_ async for _ in events]
    told = engine.loaded()[0].template_tokens
    counts = await engine.count_tokens(model, [CAPITAL])
    assert told is not None
    assert counts is not None
    (end,) = (e for e in await chat(engine, model, CAPITAL, sampling=GREEDY) if isinstance(e, ReplyFinished))
    assert end.usage.prompt_tokens == told + counts[0]


async def test_candidates_read_the_prompt_once_and_stay_in_the_cache(
    engine: MistralRsBackend, model: ModelHandle
) -> None:
    prompt = "Here is a list. " + LONG[: len(LONG) // 4] + " Write a long story about them."
    sampled = Sampling(temperature=0.8, max_tokens=64)
    events = await chat(engine, model, prompt, sampling=sampled, n=3)
    ends = {e.candidate: e for e in events if isinstance(e, ReplyFinished)}
    assert sorted(ends) == [0, 1, 2]
    assert ends[0].usage.prompt_tokens > 500
    prefills = [ends[candidate].timing.prefill_s or 0 for candidate in range(3)]
    # Alone, each of the others would take as long as the first.
    assert prefills[1] + prefills[2] < prefills[0]
    assert len({text_of(events, candidate) for candidate in range(3)}) > 1
    talk = [Message("user", prompt), Message("assistant", text_of(events, 1)), Message("user", CAPITAL)]
    async with aclosing(ask(engine, model, talk, GREEDY)) as following:
        (end,) = [event async for event in following if isinstance(event, ReplyFinished)]
    assert end.timing.prefill_s is not None
    assert end.timing.prefill_s < prefills[0] / 2


async def test_repeated_prompt_reads_only_its_end(engine: MistralRsBackend, model: ModelHandle) -> None:
    prompt = "Here is another list. " + LONG[: len(LONG) // 4] + " Write a story about them."
    sampled = Sampling(temperature=0.8, max_tokens=16)
    ends = []
    for _ in range(3):
        events = await chat(engine, model, prompt, sampling=sampled)
        ends += [event for event in events if isinstance(event, ReplyFinished)]
    first, second, third = (end.timing.prefill_s or 0.0 for end in ends)
    assert second + third < first
    # The model reads the prompt and one newline for each repetition.
    counts = [end.usage.prompt_tokens for end in ends]
    assert counts[0] > 500
    assert all(0 <= count - counts[0] <= 2 for count in counts)
    # What follows finds the reply that it follows.
    talk = [Message("user", prompt), Message("assistant", text_of(events)), Message("user", CAPITAL)]
    async with aclosing(ask(engine, model, talk, sampled)) as following:
        (end,) = [event async for event in following if isinstance(event, ReplyFinished)]
    assert (end.timing.prefill_s or 0.0) < first / 2


async def test_turn_after_a_stopped_reply_reads_only_new_text(
    engine: MistralRsBackend, model: ModelHandle
) -> None:
    async def prefill_after(prompt: str, *, rested: bool) -> float:
        """Seconds to read the next turn, asked at once or when nothing goes on any more."""
        text = ""
        talk = [Message("user", prompt)]
        async with aclosing(ask(engine, model, talk, Sampling(temperature=0))) as reply:
            async for event in reply:
                text += event.text if isinstance(event, ReplyChunk) else ""
                if len(text) > 600:
                    break
        if rested:
            await wait_until(lambda: engine.at_rest)
        talk += [Message("assistant", text), Message("user", CAPITAL)]
        async with aclosing(ask(engine, model, talk, GREEDY)) as following:
            (end,) = [event async for event in following if isinstance(event, ReplyFinished)]
        assert end.timing.prefill_s is not None
        return end.timing.prefill_s

    at_once = await prefill_after("Write a long story about a ship.", rested=False)
    assert await prefill_after("Write a long story about a mountain.", rested=True) < at_once / 2


async def test_follow_up_depends_on_earlier_turns(engine: MistralRsBackend, model: ModelHandle) -> None:
    messages = [
        Message("user", CAPITAL),
        Message("assistant", "The capital of France is Paris."),
        Message("user", "Repeat the name of that city."),
    ]
    async with aclosing(ask(engine, model, messages, GREEDY)) as events:
        assert "Paris" in text_of([event async for event in events])


async def test_stopped_reply_continues_where_it_stopped(
    model: ModelHandle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # In 32 bits, keys and values are the same to the last bit whether a token was read or made.
    monkeypatch.setenv("MISTRALRS_CPU_KV_F32", "1")
    prompt = Message("user", "Tell me about the sea.")
    engine = make_engine(Settings(), Paths.below(tmp_path))
    try:
        whole = text_of(await chat(engine, model, prompt.text, sampling=GREEDY))
        begun = whole[: whole.index(" ", len(whole) // 3)]
        messages = [prompt, Message("assistant", begun)]
        async with aclosing(ask(engine, model, messages, GREEDY, continue_reply=True)) as reply:
            events = [event async for event in reply]
        assert (begun + text_of(events)).startswith(whole)
        # Without it, the model starts a new reply.
        async with aclosing(ask(engine, model, messages, GREEDY)) as reply:
            assert not (begun + text_of([event async for event in reply])).startswith(whole)
    finally:
        await engine.close()


async def test_greedy_replies_repeat(engine: MistralRsBackend, model: ModelHandle) -> None:
    first, second = [await chat(engine, model, "Say a word about rain.", sampling=GREEDY) for _ in range(2)]
    assert text_of(first) == text_of(second) != ""


async def test_equal_seeds_repeat_a_reply_and_others_do_not(
    engine: MistralRsBackend, model: ModelHandle
) -> None:
    def sampled(seed: int | None) -> Sampling:
        return Sampling(temperature=1.0, max_tokens=24, seed=seed)

    prompt = "Write a line about the sea."
    texts = [text_of(await chat(engine, model, prompt, sampling=sampled(seed))) for seed in (7, 7, 8, None)]
    assert texts[0] == texts[1]
    assert len(set(texts)) == 3


async def test_max_tokens_ends_a_reply_with_length(engine: MistralRsBackend, model: ModelHandle) -> None:
    events = await chat(engine, model, "Tell me a story.", sampling=Sampling(temperature=0, max_tokens=5))
    assert isinstance(events[-1], ReplyFinished)
    assert events[-1].finish_reason == "length"
    assert events[-1].usage.completion_tokens == 5


async def test_stop_sequence_ends_the_reply_before_it(engine: MistralRsBackend, model: ModelHandle) -> None:
    sampling = Sampling(temperature=0, max_tokens=64, stop=("Paris",))
    assert "Paris" not in text_of(await chat(engine, model, CAPITAL, sampling=sampling))


async def test_grammar_constrains_the_reply(engine: MistralRsBackend, model: ModelHandle) -> None:
    events = await chat(engine, model, CAPITAL, sampling=GREEDY, grammar=Grammar("regex", "(Rome|Oslo)"))
    assert text_of(events) in ("Rome", "Oslo")
    bad = await chat(engine, model, CAPITAL, sampling=GREEDY, grammar=Grammar("regex", "("))
    assert isinstance(bad[-1], RequestFailed)
    assert bad[-1].kind == "request"


async def test_prompt_beyond_the_context_is_refused_with_both_lengths(
    engine: MistralRsBackend, model: ModelHandle
) -> None:
    end = (await chat(engine, model, "word " * 9000, sampling=GREEDY))[-1]
    assert isinstance(end, RequestFailed)
    assert end.kind == "context"
    assert "9,0" in end.message
    assert "8,192" in end.message


async def test_completion_continues_the_text(engine: MistralRsBackend, model: ModelHandle) -> None:
    inputs = ["The capital of France is", "Two and two make"]
    async with aclosing(complete(engine, model, inputs, GREEDY)) as stream:
        events = [event async for event in stream]
    assert "Paris" in text_of(events, 0)
    assert [e.candidate for e in events if isinstance(e, ReplyFinished)] == [0, 1]


async def test_completions_come_in_order_and_leaving_keeps_the_finished_ones(
    engine: MistralRsBackend, model: ModelHandle
) -> None:
    towns = ("France", "Italy", "Spain", "Germany", "Egypt", "Japan", "Russia", "Greece")
    inputs = [f"The capital of {country} is" for country in towns]
    short = Sampling(temperature=0, max_tokens=4)
    async with aclosing(complete(engine, model, inputs, short)) as stream:
        events = [event async for event in stream]
    assert [e.candidate for e in events if isinstance(e, ReplyFinished)] == list(range(8))
    replies = [text_of(events, number) for number in range(8)]
    assert "Paris" in replies[0]
    assert "Tokyo" in replies[5]
    part: list[Event] = []
    async with aclosing(complete(engine, model, inputs, short)) as stream:
        async for event in stream:
            part.append(event)
            if isinstance(event, ReplyFinished) and event.candidate == 2:
                break
    assert [text_of(part, number) for number in range(3)] == replies[:3]
    assert text_of(await chat(engine, model, CAPITAL, sampling=GREEDY))


async def test_count_uses_the_models_own_tokenizer(engine: MistralRsBackend, model: ModelHandle) -> None:
    await chat(engine, model, CAPITAL, sampling=GREEDY)
    assert await engine.count_tokens(model, ["", "Hello world"]) == (0, 2)


async def test_stopping_a_reply_frees_the_runner_at_once(
    engine: MistralRsBackend, model: ModelHandle
) -> None:
    await chat(engine, model, CAPITAL, sampling=GREEDY)
    pid = engine.loaded()[0].pid
    long = Sampling(temperature=1.0, max_tokens=2000)
    async with aclosing(ask(engine, model, [Message("user", "Count to 1000.")], long)) as events:
        async for event in events:
            if isinstance(event, ReplyChunk) and event.tokens > 5:
                break
    assert "Paris" in text_of(await chat(engine, model, CAPITAL, sampling=GREEDY))
    assert engine.loaded()[0].pid == pid


async def test_stopping_in_prefill_keeps_the_next_prompt_within_its_bound(
    engine: MistralRsBackend, model: ModelHandle
) -> None:
    await chat(engine, model, CAPITAL, sampling=GREEDY)
    steps: list[int] = []
    async with aclosing(ask(engine, model, [Message("user", LONG)], GREEDY)) as events:
        async for event in events:
            if isinstance(event, PrefillProgressed):
                steps.append(event.total)
                break
        left = time.monotonic()
    free_after = time.monotonic() - left
    assert steps[0] > 2500
    assert free_after < 1  # the caller never waits; the real bound is microseconds of work
    assert "Paris" in text_of(await chat(engine, model, CAPITAL, sampling=GREEDY))


async def test_long_prefill_reports_progress(engine: MistralRsBackend, model: ModelHandle) -> None:
    prompt = LONG[: len(LONG) // 3]
    events = await chat(engine, model, prompt, sampling=Sampling(temperature=0, max_tokens=2))
    done = [e.done for e in events if isinstance(e, PrefillProgressed)]
    assert done[0] == 0
    assert len(done) >= 2
    assert done == sorted(done)


async def test_kill_9_in_mid_reply_keeps_the_partial_reply(
    engine: MistralRsBackend, model: ModelHandle
) -> None:
    long = Sampling(temperature=0, max_tokens=2000)
    text = ""
    async with aclosing(ask(engine, model, [Message("user", "Tell a long story.")], long)) as events:
        async for event in events:
            if isinstance(event, ReplyChunk):
                if not text:
                    pid = engine.loaded()[0].pid
                    assert pid is not None
                    os.kill(pid, signal.SIGKILL)
                text += event.text
    assert isinstance(event, RequestFailed)
    assert text
    assert "Paris" in text_of(await chat(engine, model, CAPITAL, sampling=GREEDY))


async def test_kill_9_during_a_load_is_reported_and_the_next_prompt_loads(
    engine: MistralRsBackend, model: ModelHandle
) -> None:
    await engine.unload(model)
    async with aclosing(ask(engine, model, [Message("user", CAPITAL)], GREEDY)) as events:
        async for event in events:
            if isinstance(event, LoadProgressed) and event.stage == "reading the weights":
                pid = engine.loaded()[0].pid
                assert pid is not None
                os.kill(pid, signal.SIGKILL)
    assert isinstance(event, RequestFailed)
    assert event.kind == "load"
    assert "Paris" in text_of(await chat(engine, model, CAPITAL, sampling=GREEDY))


async def test_runner_that_loads_can_be_ended(engine: MistralRsBackend, model: ModelHandle) -> None:
    await engine.unload(model)
    request = asyncio.create_task(chat(engine, model, CAPITAL, sampling=GREEDY))
    await wait_until(lambda: engine.loaded() and engine.loaded()[0].pid)
    pid = engine.loaded()[0].pid
    await engine.unload(model)
    assert pid is not None
    assert not is_running(pid)
    assert isinstance((await request)[-1], RequestFailed)
