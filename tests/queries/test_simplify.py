"""simplify: fewer nodes, the same results."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from spnl_tui.queries.formats.lisp import read_lisp
from spnl_tui.queries.formats.lisp_writer import write_lisp
from spnl_tui.queries.simplify import simplify
from spnl_tui.queries.tree import Generate, Map, Query, Repeat, asks, walk
from tests.support.query_engine import QueryEngine, run
from tests.support.query_trees import FOLDABLE
from tests.support.spnl_queries import SPNL_QUERIES


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('(plus (g "m" "a") (g "m" "a") (g "m" "a"))', '(repeat 3 (g "m" "a"))'),
        ('(plus (g "m" "a" 0.5) (g "m" "b" 0.5))', '(map "m" (list "a" "b") 0.5)'),
        ('(plus (plus (g "m" "a") (repeat 2 (g "m" "a"))) (seq (g "m" "a")))', '(repeat 4 (g "m" "a"))'),
        ('(plus (g "m" "a") (g "m" "a" 0.5))', '(plus (g "m" "a") (g "m" "a" 0.5))'),
        ('(plus (g "m" "a") (print "x") (g "m" "a"))', '(plus (g "m" "a") (print "x") (g "m" "a"))'),
        (
            '(plus (g "m" (seq (system "s") "a")) (g "m" (seq (system "s") "a")))',
            '(repeat 2 (g "m" (seq (system "s") "a")))',
        ),
        # Not folded: the inner request would be made once, where the query says twice.
        ('(plus (g "m" (g "m" "a")) (g "m" (g "m" "a")))', '(plus (g "m" (g "m" "a")) (g "m" (g "m" "a")))'),
        # Not folded: only what may run at once.
        ('(seq (g "m" "a") (g "m" "a"))', '(seq (g "m" "a") (g "m" "a"))'),
        ('(map "m" (list "a" "a"))', '(repeat 2 (g "m" "a"))'),
        ('(repeat 1 (g "m" "a"))', '(g "m" "a")'),
        ('(cross (cross "a" (plus)) (seq "b") (user ""))', '(cross "a" "b")'),
        ("(plus (par))", "(seq)"),
    ],
)
def test_simplify(before: str, after: str) -> None:
    assert simplify(read_lisp(before)) == read_lisp(after)


def test_the_email_query_of_spnl_repeats_its_candidates() -> None:
    simple = simplify(SPNL_QUERIES[2][2])
    assert '(repeat 3 (g "llama3.2:1b" (user "Write a fun email") 0.8 300))' in write_lisp(simple)


@pytest.mark.slow
@given(FOLDABLE)
@settings(max_examples=150)
def test_simplifying_twice_changes_nothing_more(query: Query) -> None:
    simple = simplify(query)
    assert simplify(simple) == simple
    assert replies(simple) == replies(query)


def replies(query: Query) -> int:
    sizes = {Generate: lambda node: 1, Repeat: lambda node: node.n, Map: lambda node: len(node.inputs)}
    return sum(sizes[type(node)](node) for _, node in walk(query) if type(node) in sizes)


@pytest.mark.slow
@given(FOLDABLE.filter(asks))
@settings(max_examples=80)
async def test_a_simplified_query_has_the_same_results(query: Query) -> None:
    """With a reply that depends on the messages alone, as greedy sampling has it."""
    plain = await run(query, QueryEngine(numbered=False))
    assert await run(simplify(query), QueryEngine(numbered=False)) == plain
