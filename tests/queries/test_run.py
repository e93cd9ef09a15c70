"""Running queries: what is asked, in which order, what comes of it, and that nothing stays behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spnl_tui.engine.backend import ChatRequest, Event, ModelHandle, Request
from spnl_tui.errors import ModelReferenceError, RequestError
from spnl_tui.models.request import Message, Sampling
from spnl_tui.queries.events import (
    NodeChunk,
    NodeFailed,
    NodeFinished,
    NodePrinted,
    NodeProgressed,
    NodeStarted,
    QueryEvent,
    QueryFinished,
)
from spnl_tui.queries.formats.lisp import read_lisp
from spnl_tui.queries.run import run_query
from spnl_tui.queries.simplify import simplify
from spnl_tui.queries.source import QuerySyntaxError
from spnl_tui.queries.tree import Query
from tests.support.query_engine import QueryEngine, events_of, finish, resolve, run
from tests.support.query_trees import FOLDABLE


def user(text: str) -> Message:
    return Message("user", text)


def system(text: str) -> Message:
    return Message("system", text)


def assistant(text: str) -> Message:
    return Message("assistant", text)


async def test_inner_replies_become_assistant_messages_in_written_order() -> None:
    engine = QueryEngine(shuffle=1)
    result = await finish(
        '(g "m" (cross (system "judge") (plus (g "m" "a") (g "m" "b") (repeat 2 (g "m" "c"))) "pick") 0.0 9)',
        engine,
    )
    assert engine.asked[-1].messages == (
        system("judge"),
        assistant("<user:a>"),
        assistant("<user:b>"),
        assistant("<user:c>#0"),
        assistant("<user:c>#1"),
        user("pick"),
    )
    assert engine.asked[-1].sampling == Sampling(temperature=0.0, max_tokens=9)
    assert len(result.replies) == 1, "what only went into another request is no result"
    assert result.complete


async def test_results_come_in_written_order_whichever_came_first() -> None:
    for seed in range(5):
        engine = QueryEngine(shuffle=seed)
        result = await finish(
            '(par (g "m" "a") (seq (g "m" "b") (repeat 2 (g "m" "c"))) (map "m" (list "d" "e")))', engine
        )
        assert result.texts == ("<user:a>", "<user:b>", "<user:c>#0", "<user:c>#1", "<user:d>", "<user:e>")


@pytest.mark.slow
@given(FOLDABLE, st.integers(0, 99), st.integers(1, 4))
@settings(max_examples=60)
async def test_results_do_not_depend_on_the_schedule(query: Query, seed: int, parallel: int) -> None:
    one = await run(query, QueryEngine(), parallel=1)
    other = await run(query, QueryEngine(shuffle=seed), parallel=parallel)
    assert one == other


async def test_plus_runs_at_once_up_to_the_bound_and_cross_in_order() -> None:
    eight = " ".join(f'(g "m" "{i}")' for i in range(8))
    engine = QueryEngine()
    await finish(f"(plus {eight})", engine, parallel=3)
    assert engine.most_running == 3
    engine = QueryEngine()
    await finish(f"(cross {eight})", engine)
    assert engine.most_running == 1
    assert [asked.messages[0].text for asked in engine.asked] == [str(i) for i in range(8)]


async def test_equal_prefixes_start_together_and_results_keep_their_order() -> None:
    engine = QueryEngine()
    result = await finish(
        """(plus (g "m" (cross (system "s") "1")) (g "m" (cross (system "t") "2"))
                 (g "k" (cross (system "s") "3")) (g "m" (cross (system "s") "4"))
                 (g "k" (cross (system "s") "5")))""",
        engine,
        parallel=1,
    )
    assert [asked.messages[1].text for asked in engine.asked] == ["1", "4", "2", "3", "5"]
    assert [text[-2] for text in result.texts] == ["1", "2", "3", "4", "5"]


async def test_a_map_asks_each_input_as_a_user_message() -> None:
    engine = QueryEngine()
    events = await events_of('(map "m" (list "a" "b") 0.0 5)', engine)
    assert [asked.messages for asked in engine.asked] == [(user("a"),), (user("b"),)]
    assert events[0] == NodeStarted(path=(), model="m", candidates=2)
    assert {e.candidate for e in events if isinstance(e, NodeFinished)} == {0, 1}


async def test_events_of_one_node_come_in_order_and_add_up() -> None:
    engine = QueryEngine()
    events = await events_of('(seq (print "go") (g "m" "hello"))', engine)
    assert events[0] == NodePrinted(path=(0,), text="go")
    assert [type(event) for event in events] == [
        NodePrinted, NodeStarted, NodeProgressed, NodeProgressed, NodeChunk, NodeChunk, NodeFinished,
        QueryFinished,
    ]  # fmt: skip
    chunks = "".join(event.text for event in events if isinstance(event, NodeChunk))
    finished = events[-2]
    assert isinstance(finished, NodeFinished)
    assert finished.text == chunks == "<user:hello>"
    assert finished.usage.completion_tokens == 4


async def test_defaults_supply_missing_values_of_a_query() -> None:
    engine = QueryEngine()
    await finish(
        '(seq (g "m" "a") (g "m" "b" 0.1))', engine, defaults=Sampling(temperature=0.9, max_tokens=5, top_k=3)
    )
    assert engine.asked[0].sampling == Sampling(temperature=0.9, max_tokens=5, top_k=3)
    assert engine.asked[1].sampling == Sampling(temperature=0.1, max_tokens=5, top_k=3)


async def test_each_request_has_a_seed_of_its_own_that_does_not_depend_on_timing() -> None:
    query = '(plus (g "m" "a") (map "m" (list "b" "c")) (repeat 2 (g "m" "d")) (g "m" (g "m" "e")))'
    for seed in range(3):
        engine = QueryEngine(shuffle=seed)
        await finish(query, engine, defaults=Sampling(seed=100))
        seeds = {asked.messages[0].text: asked.sampling.seed for asked in engine.asked}
        assert seeds == {"a": 100, "b": 101, "c": 102, "d": 103, "<user:e>": 104, "e": 105}


async def test_failure_ends_only_requests_that_need_its_reply() -> None:
    engine = QueryEngine()
    events = await events_of(
        '(par (g "m" (plus (g "m" "FAIL") (g "m" "a"))) (g "m" "b") (seq (g "m" "FAIL") (g "m" "c")))', engine
    )
    failed = {event.path: event.title for event in events if isinstance(event, NodeFailed)}
    assert failed == {(0, 0, 0): "Refused", (0,): "Not asked", (2, 0): "Refused"}
    result = events[-1]
    assert isinstance(result, QueryFinished)
    assert not result.complete
    assert result.texts == ("<user:b>",)
    assert not any(asked.messages == (user("c"),) for asked in engine.asked), "in order: not after a failure"


async def test_a_candidate_that_fails_leaves_the_others() -> None:
    class HalfEngine(QueryEngine):
        async def generate(self, model: ModelHandle, request: Request) -> AsyncGenerator[Event, None]:
            assert isinstance(request, ChatRequest)
            if request.n == 1:
                raise RequestError("Too long", "It does not fit.")
            async with aclosing(super().generate(model, replace(request, n=1))) as events:
                async for event in events:
                    yield event

    result = await finish('(repeat 2 (g "m" "a"))', engine := HalfEngine())
    assert (result.texts, result.complete) == (("<user:a>",), False), "the engine ended without the second"
    events = await events_of('(g "m" "a")', engine)
    assert [event.title for event in events if isinstance(event, NodeFailed)] == ["Too long"]


async def test_nothing_runs_when_a_model_or_a_file_is_missing(tmp_path: Path) -> None:
    engine = QueryEngine()
    with pytest.raises(ModelReferenceError):
        await events_of('(par (g "m" "a") (g "missing" "b"))', engine)
    with pytest.raises(QuerySyntaxError, match=r"line 1, column 31[\s\S]*nowhere.txt"):
        await events_of('(par (g "m" "a") (g "m" (user (file "nowhere.txt"))))', engine, directory=tmp_path)
    with pytest.raises(QuerySyntaxError, match="nothing to ask m"):
        await events_of('(seq (g "m" "a") (g "m" (seq (print "x"))))', engine)
    assert engine.asked == []


async def test_files_are_read_relative_to_the_query(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("from disk\n", encoding="utf-8")
    (tmp_path / "b.txt").write_bytes(b"\xff\xfe")
    engine = QueryEngine()
    await finish('(g "m" (with "Why?" "a.txt"))', engine, directory=tmp_path)
    assert engine.asked[0].messages == (
        user("from disk\n"),
        user("Please answer this question:"),
        user("Why?"),
    )
    with pytest.raises(QuerySyntaxError, match="byte 0 is not UTF-8"):
        await events_of('(g "m" (file "b.txt"))', engine, directory=tmp_path)


async def test_reply_without_text_fails_and_skips_dependent_requests() -> None:
    engine = QueryEngine(reply=lambda messages: " \n" if messages[-1].text == "a" else "x")
    result = await finish('(seq (g "m" "b") (g "m" (cross (g "m" "a") "b")))', engine)
    assert not result.complete
    assert result.texts == ("x",)
    assert [failed.title for failed in result.failures] == ["The reply has no text", "Not asked"]
    assert result.failures[0].finish_reason == "stop"
    assert [asked.messages[-1].text for asked in engine.asked] == ["b", "a"]


# ── cancelling ───────────────────────────────────────────────────────────────────────────────────

HANGING = [
    '(g "m" "HANG")',
    '(seq (g "m" "a") (g "m" "HANG") (g "m" "never"))',
    '(plus (g "m" "a") (g "m" "b") (g "m" "HANG"))',
    '(par (g "m" "a") (g "m" (cross (g "m" "HANG") "never")))',
    '(plus (g "m" "a") (map "m" (list "b" "HANG" "HANG")))',
    '(g "m" (plus (g "m" "a") (repeat 3 (g "m" "HANG"))))',
]


def is_at_rest(engine: QueryEngine, events: list[QueryEvent]) -> bool:
    """The request hangs, and whatever could finish beside it has."""
    asked = sum(asked.n for asked in engine.asked if asked.messages[-1].text != "HANG")
    finished = sum(isinstance(event, NodeFinished) for event in events)
    return engine.hanging.is_set() and finished == asked


@pytest.mark.parametrize("query", HANGING)
async def test_stopping_at_any_node_yields_finished_results_and_ends_all(query: str) -> None:
    engine, stop = QueryEngine(), asyncio.Event()
    events: list[QueryEvent] = []
    async for event in run_query(read_lisp(query), engine, resolve, stop=stop):
        events.append(event)
        if is_at_rest(engine, events):
            stop.set()
    result = events[-1]
    assert isinstance(result, QueryFinished)
    assert not result.complete
    assert engine.running == 0
    assert not any(asked.messages == (user("never"),) for asked in engine.asked)
    cancelled = [
        event for event in events if isinstance(event, NodeFinished) and event.finish_reason == "cancelled"
    ]
    assert "<u" in [event.text for event in cancelled], "what had come of the reply is not lost"
    surfaced = {"(g": (), "(seq": ("<user:a>",), "(par": ("<user:a>",)}
    if query.split()[0] in surfaced:
        assert result.texts == surfaced[query.split()[0]]


@pytest.mark.parametrize("query", HANGING)
async def test_leaving_the_iterator_ends_everything(query: str) -> None:
    engine = QueryEngine()
    events: list[QueryEvent] = []
    async with aclosing(run_query(read_lisp(query), engine, resolve)) as running:
        async for event in running:
            events.append(event)
            if is_at_rest(engine, events):
                break
    assert engine.running == 0
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize("query", HANGING)
async def test_cancelling_the_reader_ends_everything(query: str) -> None:
    engine = QueryEngine()
    reader = asyncio.create_task(events_of(query, engine))
    await engine.hanging.wait()
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    assert engine.running == 0
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_stopping_before_the_first_request() -> None:
    engine, stop = QueryEngine(), asyncio.Event()
    stop.set()
    result = await finish('(g "m" "HANG")', engine, stop=stop)
    assert not result.complete


async def test_an_error_in_the_engine_itself_is_not_hidden() -> None:
    def broken(_: object) -> str:
        raise ZeroDivisionError

    engine = QueryEngine(reply=broken)
    with pytest.raises(ZeroDivisionError):
        await events_of('(g "m" "a")', engine)
    with pytest.raises(ExceptionGroup) as caught:
        await events_of('(plus (g "m" "a") (g "m" "HANG"))', engine)
    assert caught.group_contains(ZeroDivisionError)
    assert engine.running == 0


async def test_a_simplified_query_asks_its_repeats_in_one_request() -> None:
    engine = QueryEngine()
    await finish(simplify(read_lisp('(plus (g "m" "a") (g "m" "a"))')), engine)
    assert [asked.n for asked in engine.asked] == [2]
