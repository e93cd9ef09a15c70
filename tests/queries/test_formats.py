"""Lisp and JSON: one tree, and errors with a place."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given, settings

from spnl_tui.queries.formats.any_format import read_query
from spnl_tui.queries.formats.json_format import read_json, to_json
from spnl_tui.queries.formats.lisp import read_lisp
from spnl_tui.queries.formats.lisp_writer import write_lisp
from spnl_tui.queries.source import Parameters, Place, QuerySyntaxError
from spnl_tui.queries.tree import (
    MAX_DEPTH,
    MAX_SIZE,
    Cross,
    File,
    Generate,
    Map,
    Message,
    Parallel,
    Plus,
    Print,
    Query,
    Repeat,
    Sequence,
    with_model,
)
from tests.support.mutations import SEEDS, mutate
from tests.support.query_trees import QUERIES, write_json
from tests.support.spnl_queries import SPNL_QUERIES


@pytest.mark.parametrize(("lisp", "body", "tree"), SPNL_QUERIES)
def test_queries_of_spnl_read_alike_from_lisp_and_json(
    lisp: str, body: dict[str, object], tree: Query
) -> None:
    assert read_lisp(lisp) == tree
    assert read_json(json.dumps(body)) == tree


PARAMETERS: Parameters = {"model": '\\n"', "n": 3, "temperature": 0.5, "max_tokens": 7, "f": "ff"}
"""What the command line may say. A query that was written means itself, whatever that is."""


@pytest.mark.slow
@given(QUERIES)
@settings(max_examples=60)
def test_every_query_survives_both_formats(query: Query) -> None:
    lisp = write_lisp(query)
    tree = read_lisp(lisp, PARAMETERS)
    assert tree == query
    from_json = read_json(write_json(tree), PARAMETERS)
    assert from_json == query
    assert (read_lisp(lisp), read_json(write_json(tree))) == (query, query)
    assert write_lisp(from_json) == lisp
    assert all(line.isprintable() for line in lisp.splitlines()), "model texts must not reach a terminal raw"


@pytest.mark.parametrize(
    ("lisp", "tree"),
    [
        ('"Hello"', Message("user", "Hello")),
        ('(generate (model "m") (input "Hello"))', Generate("m", Message("user", "Hello"))),
        ('(g "m" "x" 0)', Generate("m", Message("user", "x"), 0.0)),
        ('(g "m" "x" 0.5 0)', Generate("m", Message("user", "x"), 0.5)),  # SPNL's 0: no limit of its own
        ('(generate (input "x") (max-tokens 9) (model "m"))', Generate("m", Message("user", "x"), None, 9)),
        ('(repeat 2 (g "m" "x"))', Repeat(2, Generate("m", Message("user", "x")))),
        ('(repeat 2 "m" "x" 0.5 10)', Repeat(2, Generate("m", Message("user", "x"), 0.5, 10))),
        ('(map "m" (list "a" "b") 0.5)', Map("m", ("a", "b"), 0.5)),
        ('(map (model "m") (inputs "a") (max_tokens 7))', Map("m", ("a",), None, 7)),
        ('(system (file "a.txt"))', Message("system", File("a.txt"))),
        ('(file "a.txt")', Message("user", File("a.txt"))),
        ('(seq (print "x") ; a comment\n (par))', Sequence((Print("x"), Parallel(())))),
        (
            '(with (user "Why?") "a.txt" (file "b.txt"))',
            Cross(
                (
                    Plus((Message("user", File("a.txt")), Message("user", File("b.txt")))),
                    Message("user", "Please answer this question:"),
                    Message("user", "Why?"),
                )
            ),
        ),
        (
            r'(user "a\n\t\"\\ \u{1F600}\x41\
              b")',
            Message("user", 'a\n\t"\\ 😀Ab'),
        ),
        ('(plus (take 2 "a" "b" "c") "d")', Plus(tuple(Message("user", text) for text in "abd"))),
    ],
)
def test_lisp_forms(lisp: str, tree: Query) -> None:
    assert read_lisp(lisp) == tree


@pytest.mark.parametrize(
    ("body", "tree"),
    [
        (
            {"repeat": {"n": 4, "g": {"model": "m", "input": {"user": "x"}}}},
            Repeat(4, Generate("m", Message("user", "x"))),
        ),
        (
            {
                "repeat": {
                    "n": "4",
                    "query": {"g": {"model": "m", "input": "x", "max_tokens": "9", "temperature": "0.5"}},
                }
            },
            Repeat(4, Generate("m", Message("user", "x"), 0.5, 9)),
        ),
        (
            {"map": {"metadata": {"model": "m", "max_tokens": None}, "inputs": ["a", "b"]}},
            Map("m", ("a", "b")),
        ),
        ({"system": {"file": "a.txt"}}, Message("system", File("a.txt"))),
    ],
)
def test_json_shapes(body: dict[str, object], tree: Query) -> None:
    assert read_json(json.dumps(body)) == tree


def test_read_query_recognizes_the_format() -> None:
    assert read_query(' \n{"user": "x"}') == read_query(' ; c\n(user "x")') == Message("user", "x")


def test_parameters_are_values_and_never_become_query() -> None:
    values: dict[str, Any] = {"model": 'm") (g "evil', "n": 3, "t": 0.25}
    tree = read_lisp('(repeat {n} (g {model} (user "{n} for {model}, {other}") {t}))', values)
    assert tree == Repeat(3, Generate(values["model"], Message("user", '3 for m") (g "evil, {other}'), 0.25))
    body = """{"repeat": {"n": "{n}", "g": {"model": "{model}", "input": {"user": "{other}"},
               "temperature": "{t}"}}}"""
    assert read_json(body, values) == Repeat(3, Generate(values["model"], Message("user", "{other}"), 0.25))


def test_an_escaped_brace_begins_no_parameter_and_a_value_has_no_escapes() -> None:
    tree = Message("user", r"{n} is \n" + '"' + ", {}")
    assert read_lisp(r'(user "\u{7b}n} is {model}, {}")', PARAMETERS) == tree
    assert read_json(r'{"user": "\u007bn} is {model}, {}"}', PARAMETERS) == tree
    # A backslash before a parameter is one, and no other braces need be escaped.
    assert read_lisp(r'(user "\\{n}\u{f}")', PARAMETERS) == Message("user", "\\3\x0f")
    assert write_lisp(Message("user", '{"n": 1} {} {a b} {1}')) == r'(user "{\"n\": 1} {} {a b} {1}")' + "\n"


def test_places_do_not_count_for_equality() -> None:
    one, other = read_lisp('(user "x")'), read_lisp('\n  (user "x")')
    assert one == other
    assert (one.place, other.place) == (Place(1, 1), Place(2, 3))
    assert hash(one) == hash(other)


LISP_ERRORS = [
    ("", 1, 1, "expected a query"),
    ("\n  )", 2, 3, "without its ("),
    ('(g "m"\n  (crss "a"))', 2, 4, "Did you mean cross?"),
    ('(g "m" "x" 800 0.3)', 1, 12, "The order is model, input, temperature, max_tokens."),
    ('(g "m" "x" 0.3 0.5)', 1, 16, "expected max_tokens"),
    ('(g "m" "x" 0.3 5 #f)', 1, 18, "found #f"),
    ('(g "m")', 1, 7, "expected model, input"),
    ('(g m "x")', 1, 4, "found m; expected the name of a model"),
    ('(g "m" x)', 1, 8, "found x; expected a query"),
    ('(generate (model "m"))', 1, 22, "found no input"),
    ('(generate (model "m") (imput "x"))', 1, 24, "Did you mean input?"),
    ('(generate (model "m") (model "m") (input "x"))', 1, 23, "second (model"),
    ('(user "a)', 1, 7, "does not end"),
    ('(user "a"', 1, 10, "expected ) for the ( at line 1, column 1"),
    ('(user "a")\n(user "b")', 2, 1, "a second query"),
    (r'(user "\q")', 1, 7, "expected an escape"),
    (r'(user "\u{d800}")', 1, 7, "not a character"),
    ('(repeat 0 (g "m" "x"))', 1, 9, "how many times"),
    ('(repeat 2 "x")', 1, 11, "expected the (g …)"),
    ('(user (g "m" "x"))', 1, 7, "expected a text"),
    ("(take 1)", 1, 2, "within cross, plus, seq or par"),
    ("{n}", 1, 1, "no parameter"),
    ("(plus " * (MAX_DEPTH + 1) + ")" * (MAX_DEPTH + 1), 1, 6 * MAX_DEPTH + 1, "nested more than"),
    ("(" * 100_000, 1, 3 * MAX_DEPTH + 6, "nested more than"),
    ("(plus" + ' "x"' * MAX_SIZE + ")", 1, 4 * MAX_SIZE + 3, "more than 10,000 parts"),
    (f'(plus (repeat {MAX_SIZE} (g "m" "x")))', 1, 7, "more than 10,000 parts"),
    ("9" * 5000, 1, 1, "30 digits"),
    ('(user "\ud800")', 1, 8, "surrogate"),
]


@pytest.mark.parametrize(("text", "line", "column", "says"), LISP_ERRORS, ids=lambda value: str(value)[:20])
def test_lisp_errors_name_the_place_and_the_expected_form(
    text: str, line: int, column: int, says: str
) -> None:
    with pytest.raises(QuerySyntaxError) as caught:
        read_lisp(text)
    place = caught.value.place
    assert place is not None
    assert (place.line, place.column) == (line, column)
    assert f"line {line}, column {column}" in caught.value.title
    assert says in str(caught.value)


JSON_ERRORS = [
    ("", 1, 1, None, "expected a JSON value"),
    ('{"user": "x"} x', 1, 15, None, "expected the end of the text"),
    ('{"g": {"model": "m",\n "inptu": 1}}', 2, 11, "/g/inptu", "Did you mean input?"),
    ('{"g": {"model": "m"}}', 1, 7, "/g", 'found no "input"'),
    ('{"crss": []}', 1, 10, "/crss", "Did you mean cross?"),
    ('{"user": "x", "system": "y"}', 1, 1, None, "2 keys"),
    ('{"plus": [{"user": "x"}, {"user": 1}]}', 1, 35, "/plus/1/user", "found 1; expected a text"),
    ('{"g": {"model": true, "input": "x"}}', 1, 17, "/g/model", "found true"),
    ('{"g": {"model": "m", "input": "x", "temperature": 3}}', 1, 51, "/g/temperature", "from 0 to 2"),
    ('{"repeat": {"n": true, "g": {"model": "m", "input": "x"}}}', 1, 18, "/repeat/n", "how many times"),
    ('{"user": "x", "user": "y"}', 1, 15, None, "a second time"),
    ('{"user": "a\nb"}', 1, 10, "/user", "does not end on its line"),
    ('{"user": "\\ud800"}', 1, 10, "/user", "surrogate"),
    ("[" * 100_000, 1, 3 * MAX_DEPTH + 7, None, "nested more than"),
    ('{"user": "x",}', 1, 14, None, "a key in quotes"),
    ("[1 2]", 1, 4, None, "found 2; expected , or ]"),
]


@pytest.mark.parametrize(
    ("text", "line", "column", "pointer", "says"), JSON_ERRORS, ids=lambda v: str(v)[:20]
)
def test_json_errors_name_the_place_and_the_pointer(
    text: str, line: int, column: int, pointer: str | None, says: str
) -> None:
    with pytest.raises(QuerySyntaxError) as caught:
        read_json(text)
    assert caught.value.place == Place(line, column, pointer)
    assert says in str(caught.value)


@pytest.mark.parametrize("seed", range(4))
def test_mutated_queries_are_read_or_refused_with_a_place(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(250):
        text = mutate(chance.choice(SEEDS), chance)
        outcome = read_or_refuse(text)
        if isinstance(outcome, QuerySyntaxError):
            assert outcome.place is not None, text
            assert outcome.message, text
        else:
            assert read_lisp(write_lisp(outcome)) == outcome


def read_or_refuse(text: str) -> Query | QuerySyntaxError:
    try:
        return read_query(text, {"n": 2, "model": "m"})
    except QuerySyntaxError as error:
        return error


@pytest.mark.slow
def test_a_tree_made_too_deep_by_hand_is_refused_everywhere() -> None:
    tree: Query = Message("user", "x")
    for _ in range(100_000):
        tree = Plus((tree,))
    for work in (write_lisp, write_json, to_json):
        with pytest.raises(QuerySyntaxError, match="nested more than"):
            work(tree)
    # Taken apart from the top: freeing it in one go would itself recurse.
    while isinstance(tree, Plus):
        [tree] = tree.children


def test_the_deepest_query_that_is_allowed_survives_both_formats() -> None:
    tree: Query = Message("user", "x")
    for _ in range(MAX_DEPTH - 1):
        tree = Repeat(2, Generate("m", tree, max_tokens=7))  # the form with the most parentheses
    assert read_json(write_json(tree)) == tree
    assert read_lisp(write_lisp(tree)) == tree


def test_with_model_changes_every_request() -> None:
    tree = read_lisp('(par (repeat 2 (g "a" (g "b" "x"))) (map "c" (list "y")))')
    assert with_model(tree, "z") == read_lisp('(par (repeat 2 (g "z" (g "z" "x"))) (map "z" (list "y")))')
