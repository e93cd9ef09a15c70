"""Span queries of every kind, for property tests."""

from __future__ import annotations

import json

from hypothesis import strategies as st

from spnl_tui.queries.formats.json_format import to_json
from spnl_tui.queries.source import PARAMETER
from spnl_tui.queries.tree import (
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
)

TEXTS = st.text(max_size=12) | st.sampled_from(
    [
        '"',
        "\\",
        "{n}",
        "f'{model}'\n",
        "\\{n}",
        "\\u{n}",
        "{{max_tokens}}\x0f",
        "a\nb",
        "\x1b[31m",
        "\u2028",
        "",
        "; no",
        ")(",
    ]
)
MODELS = st.sampled_from(["m", "qwen3:1.7b", "{model}", 'odd "name" \\']) | st.text(
    min_size=1, max_size=8
).filter(str.strip)
TEMPERATURES = st.none() | st.floats(0, 2, allow_nan=False) | st.sampled_from([0.0, 0.6])
MAX_TOKENS = st.none() | st.integers(1, 5000)
PATHS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=8)

_messages = st.builds(
    Message, st.sampled_from(["user", "system", "assistant"]), TEXTS | st.builds(File, PATHS)
)
_maps = st.builds(Map, MODELS, st.lists(TEXTS, max_size=3).map(tuple), TEMPERATURES, MAX_TOKENS)


def _larger(inner: st.SearchStrategy[Query]) -> st.SearchStrategy[Query]:
    parts = st.lists(inner, max_size=4).map(tuple)
    generates = st.builds(Generate, MODELS, inner, TEMPERATURES, MAX_TOKENS)
    return (
        st.builds(Cross, parts)
        | st.builds(Plus, parts)
        | st.builds(Sequence, parts)
        | st.builds(Parallel, parts)
        | generates
        | st.builds(Repeat, st.integers(1, 5), generates)
    )


QUERIES: st.SearchStrategy[Query] = st.recursive(
    _messages | st.builds(Print, TEXTS) | _maps, _larger, max_leaves=12
)

# Few models, texts and samplings, so that neighbours are often equal and fold. Nothing needs a disk.
_plain = st.builds(Message, st.sampled_from(["user", "user", "system"]), st.sampled_from(["a", "b", ""]))
_generates = st.builds(Generate, st.just("m"), _plain, st.sampled_from([None, 0.0]))
_foldable = st.recursive(
    _plain
    | _generates
    | st.builds(Map, st.just("m"), st.lists(st.sampled_from(["a", "b"]), max_size=3).map(tuple)),
    lambda inner: st.one_of(
        *(
            st.builds(kind, st.lists(inner, max_size=4).map(tuple))
            for kind in (Plus, Plus, Cross, Sequence, Parallel)
        ),
        st.builds(Repeat, st.integers(1, 3), _generates),
        st.builds(Generate, st.just("m"), inner),
    ),
    max_leaves=10,
)
FOLDABLE: st.SearchStrategy[Query] = _foldable


def write_json(query: Query) -> str:
    """Return the query as JSON that `read_json` reads back."""
    text = json.dumps(to_json(query), indent=2, ensure_ascii=False)
    # Only texts hold braces with a name between them.
    return PARAMETER.sub(r"\\u007b\1}", text) + "\n"
