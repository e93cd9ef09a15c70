"""Trees as lines, plans, figures, builtins, chats."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from spnl_tui.engine.backend import Timing, Usage
from spnl_tui.errors import QueryError
from spnl_tui.models.request import Message, Sampling
from spnl_tui.queries.builtins import BUILTINS, builtin, builtins
from spnl_tui.queries.chat import conversation_to_query, query_to_messages
from spnl_tui.queries.events import NodeFinished, QueryFinished
from spnl_tui.queries.figures import Figures, time_table
from spnl_tui.queries.formats.lisp import read_lisp
from spnl_tui.queries.formats.lisp_writer import write_lisp
from spnl_tui.queries.plan import plan_query
from spnl_tui.queries.run import run_query
from spnl_tui.queries.simplify import simplify
from spnl_tui.queries.tree import models
from spnl_tui.queries.view import Progress, render_tree
from tests.support.query_engine import QueryEngine, resolve

JUDGE = (
    '(g "m" (cross (system "judge\x1b[2J") (repeat 2 (g "k" "write\none" 0.8 300)) (user "pick")) 0.0 600)'
)


def test_a_tree_is_drawn_without_control_characters() -> None:
    assert render_tree(read_lisp(JUDGE)) == [
        "g m, temperature 0, ≤ 600 tokens",
        "└─ cross",
        "   ├─ system judge·[2J",
        "   ├─ repeat 2 × g k, temperature 0.8, ≤ 300 tokens",
        "   │  └─ user write one",
        "   └─ user pick",
    ]


async def test_progress_shows_each_state_with_its_figures() -> None:
    query = read_lisp('(par (repeat 2 (g "m" "a")) (g "m" "FAIL") (g "m" (g "m" "FAIL")) (print "x"))')
    progress, seen = Progress(), []
    async for event in run_query(query, QueryEngine(), resolve):
        if not isinstance(event, QueryFinished):
            progress.apply(event)
        seen.append("\n".join(render_tree(query, progress.notes)))
    assert seen[-1].splitlines() == [
        "par",
        "├─ repeat 2 × g m",
        "│  │  1: done, 4 tokens, TTFT 0.75 s, ITL 10.0 ms",
        "│  │  2: done, 4 tokens, TTFT 0.75 s, ITL 10.0 ms",
        "│  └─ user a",
        "├─ g m · failed: Refused: It says FAIL.",
        "│  └─ user FAIL",
        "├─ g m · failed: Not asked: A part of its input has failed.",
        "│  └─ g m · failed: Refused: It says FAIL.",
        "│     └─ user FAIL",
        "└─ print x",
    ]
    for state in ("waiting", "queued behind 1", "prefill 0/7 tokens", "replying, 1 tokens"):
        assert any(state in picture for picture in seen), state


async def test_a_plan_counts_tokens_and_asks_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one two three")
    counted: list[tuple[str, tuple[str, ...]]] = []

    async def count(model: str, texts: Sequence[str]) -> Sequence[int] | None:
        counted.append((model, tuple(texts)))
        return None if model == "k" else [len(text.split()) for text in texts]

    query = read_lisp(
        '(seq (g "m" (cross (file "a.txt") (plus (repeat 2 (g "m" "x" 0 50)) (g "m" "y" 0 10)) "go") 0 7)'
        ' (map "m" (list "a b" "c")) (g "k" "z") "aside")'
    )
    plan = await plan_query(query, count, defaults=Sampling(max_tokens=20), directory=tmp_path)
    outer, repeat, inner, many, unknown = plan.requests
    assert (outer.prompt_tokens, outer.inner_tokens, outer.max_tokens) == (4, 110, 7)
    assert (repeat.requests, repeat.prompt_tokens, inner.prompt_tokens) == (2, 1, 1)
    assert (many.requests, many.prompt_tokens, many.max_tokens) == (2, 2, 20)
    assert unknown.prompt_tokens is None
    assert (
        "g m, temperature 0, ≤ 7 tokens · prompt 4 tokens + up to 110 from inner replies, reply up to 7"
        in plan.lines[1]
    )
    assert plan.lines[3].endswith("user one two three · 3 tokens")
    assert len(counted) == 3, "one call for the messages of each model, one for the map"


def finished(path: tuple[int, ...], tokens: int, **timing: float) -> NodeFinished:
    return NodeFinished(
        path=path, candidate=0, model="m", text="", finish_reason="stop",
        usage=Usage(prompt_tokens=10, completion_tokens=tokens), timing=Timing(**timing),
    )  # fmt: skip


def test_figures_weigh_latencies_by_tokens() -> None:
    replies = [
        finished((0,), 11, ttft_s=1.0, itl_s=0.010, load_s=2.0),
        finished((1,), 31, ttft_s=3.0, itl_s=0.030),
    ]
    figures = Figures.of(replies)
    assert (figures.prompt_tokens, figures.completion_tokens, figures.load_s) == (20, 42, 2.0)
    assert figures.ttft_s == pytest.approx(2.0)
    assert figures.itl_s == pytest.approx(0.025)
    assert figures.queue_s is None
    table = time_table(reversed(replies))
    assert table[0].split() == ["node", "prompt", "reply", "load", "queue", "prefill", "TTFT", "ITL"]
    assert [line.split()[0] for line in table[1:]] == ["0.1", "1.1", "all"]
    assert table[-1].split() == ["all", "20", "42", "2.00", "s", "–", "–", "2.00", "s", "25.0", "ms"]
    assert len({len(line) for line in table}) == 1
    assert Figures.of([]).itl_s is None
    assert Figures.of([finished((), 1, itl_s=0.5)]).itl_s is None, "one token has no latency between tokens"


@pytest.mark.parametrize("name", BUILTINS)
async def test_every_builtin_runs(name: str) -> None:
    query = builtin(name).query(model='odd "model"', n=3, temperature=0.25, max_tokens=50)
    assert models(query) == ('odd "model"',)
    engine = QueryEngine()
    events = [event async for event in run_query(simplify(query), engine, resolve)]
    assert isinstance(events[-1], QueryFinished)
    assert events[-1].complete
    assert "{" not in write_lisp(query), "every parameter is filled in"


async def test_builtins_have_the_meaning_of_spnl() -> None:
    email, gsm8k = QueryEngine(), QueryEngine()
    query = builtin("email").query(model="m", n=3)
    [_ async for _ in run_query(query, email, resolve)]
    assert [asked.n for asked in email.asked] == [3, 1]
    assert [m.role for m in email.asked[1].messages] == [
        "system",
        "assistant",
        "assistant",
        "assistant",
        "user",
    ]
    query = builtin("gsm8k").query(model="m", n=2)
    [_ async for _ in run_query(query, gsm8k, resolve)]
    assert len(gsm8k.asked) == 5, "two questions, two extractions, one combination"
    assert [m.role for m in gsm8k.asked[-1].messages] == ["system", "assistant", "assistant", "user"]


def test_builtins_are_listed_with_descriptions() -> None:
    assert [one.name for one in builtins()] == list(BUILTINS)
    assert all(one.description.endswith(".") for one in builtins())
    with pytest.raises(QueryError, match="Did you mean email"):
        builtin("emial")


def test_a_chat_is_a_query_and_back() -> None:
    messages = (Message("system", "s"), Message("user", "a"), Message("assistant", "b"), Message("user", "c"))
    sampling = Sampling(temperature=0.3, max_tokens=77)
    query = conversation_to_query((*messages, Message("assistant", "d")), "m", sampling)
    assert read_lisp(write_lisp(query)) == query
    generate, back = query_to_messages(query)
    assert back == messages, "the last reply is what the query asks for"
    assert (generate.model, generate.temperature, generate.max_tokens) == ("m", 0.3, 77)
    assert query_to_messages(read_lisp('(repeat 2 (g "m" "x"))'))[1] == (Message("user", "x"),)


@pytest.mark.parametrize(
    "query",
    [
        '(seq (g "m" "a") (g "m" "b"))',
        '"a"',
        '(g "m" (g "m" "a"))',
        '(map "m" (list "a"))',
        '(g "m" (file "a"))',
    ],
)
def test_query_other_than_a_chat_does_not_open_as_one(query: str) -> None:
    with pytest.raises(QueryError):
        query_to_messages(read_lisp(query))


def test_empty_chat_is_not_a_query() -> None:
    with pytest.raises(QueryError, match="no prompt yet"):
        conversation_to_query([Message("system", "s")], "m", Sampling())
