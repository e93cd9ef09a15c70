"""A form may follow a thought; the grammar that mistral.rs receives says so."""

from __future__ import annotations

import json

import pytest

from spnl_tui.engine.mistralrs.runner.structured import ThoughtRule, grammar_arguments
from spnl_tui.models.files.vocabulary import SpecialTokens
from spnl_tui.models.prompts.thought_markers import ThoughtMarkers
from spnl_tui.models.request import Grammar

THINK = ThoughtMarkers("<think>", "</think>")
CONTROL = SpecialTokens(ids={"<think>": 7, "</think>": 8}, control=frozenset({"<think>", "</think>"}))


def grammars(
    grammar: Grammar, *, inside: bool, tokens: SpecialTokens | None = None
) -> list[dict[str, object]]:
    arguments = grammar_arguments(grammar, ThoughtRule(markers=THINK, inside=inside), tokens, 100)
    assert arguments["grammar_type"] == "llguidance"
    found = json.loads(arguments["grammar"])["grammars"]
    assert isinstance(found, list)
    return found


def test_form_without_a_thought_is_sent_unchanged() -> None:
    assert grammar_arguments(None) == {}
    assert grammar_arguments(Grammar("regex", "a|b")) == {"grammar": "a|b", "grammar_type": "regex"}
    assert grammar_arguments(Grammar("lark", "start: x")) == {"grammar": "start: x", "grammar_type": "lark"}


@pytest.mark.parametrize(
    ("grammar", "key", "value"),
    [
        (Grammar("regex", "a/b\nc"), "lark_grammar", "start: /a\\/b\\nc/\n"),
        (Grammar("lark", "start: x"), "lark_grammar", "start: x"),
    ],
)
def test_form_follows_the_thought_by_name(grammar: Grammar, key: str, value: str) -> None:
    first, form = grammars(grammar, inside=True)
    assert str(first["lark_grammar"]).startswith("start: thought BLANK @form")
    assert form == {"name": "form", key: value}


def test_thought_between_control_tokens_is_named_by_number() -> None:
    first, _ = grammars(Grammar("lark", "start: x"), inside=False, tokens=CONTROL)
    assert "start: (<[7]> thought <[8]> BLANK)? @form" in str(first["lark_grammar"])
    assert "max_tokens=50" in str(first["lark_grammar"])


def test_json_is_on_one_line_unless_the_schema_has_options() -> None:
    schema = json.loads(grammar_arguments(Grammar("json_schema", '{"type": "null"}'))["grammar"])
    assert schema["x-guidance"] == {
        "whitespace_flexible": False,
        "item_separator": ", ",
        "key_separator": ": ",
    }
    for own in ('{"x-guidance": {"whitespace_flexible": false}}', "true", "{nonsense"):
        assert grammar_arguments(Grammar("json_schema", own))["grammar"] == own
