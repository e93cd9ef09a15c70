"""Lets a model think before a reply in a given format. Standard library only, because the runner imports it.

mistral.rs applies a grammar from the first token on, so a model that begins with a thought would have to
think in the reply format, and never reply. Its grammars (llguidance) can refer to each other, so an outer
grammar reads a thought, a closing marker, then the format. A thought gets at most half of the tokens, to
leave room for the formatted reply.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from spnl_tui.models.files.vocabulary import SpecialTokens
from spnl_tui.models.prompts.thought_markers import ThoughtMarkers
from spnl_tui.models.request import Grammar

_CHARACTERS_PER_TOKEN = 2
"""A low estimate, so that a thought cannot take the tokens of the formatted reply."""
_FORM = "form"
_ON_ONE_LINE = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
"""llguidance's options for JSON as Python writes it. Otherwise small models write empty lines endlessly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ThoughtRule:
    """The thought that may precede the formatted reply."""

    markers: ThoughtMarkers | None
    """None for the channels of Harmony."""
    inside: bool
    """True if the prompt has opened the thought, so that one must follow; otherwise the model decides."""


def grammar_arguments(
    grammar: Grammar | None,
    rule: ThoughtRule | None = None,
    tokens: SpecialTokens | None = None,
    max_tokens: int = 0,
) -> dict[str, Any]:
    """Return mistral.rs's arguments that restrict a reply to the grammar, after a thought if there is a
    rule."""
    if grammar is None:
        return {}
    start = None if rule is None else _start(rule, tokens or SpecialTokens(), max(1, max_tokens // 2))
    if grammar.kind == "json_schema":
        grammar = Grammar("json_schema", _on_one_line(grammar.text))
    if start is None:
        return {"grammar": grammar.text, "grammar_type": grammar.kind}
    grammars = [{"lark_grammar": start}, *_forms(grammar)]
    return {"grammar": json.dumps({"grammars": grammars}), "grammar_type": "llguidance"}


def _on_one_line(schema: str) -> str:
    """Return the schema with these options; unchanged if it is not an object or has options of its own."""
    try:
        found = json.loads(schema)
    except ValueError:
        return schema  # the engine reports the error
    if not isinstance(found, dict) or "x-guidance" in found:
        return schema
    return json.dumps({**found, "x-guidance": _ON_ONE_LINE})


def _start(rule: ThoughtRule, tokens: SpecialTokens, most: int) -> str | None:
    """Return the outer grammar, in llguidance's Lark, with at most this many tokens of thought."""

    def term(marker: str) -> str:
        # No text matches a control token, so name it by its id.
        return f"<[{tokens.ids[marker]}]>" if marker in tokens.control else json.dumps(marker)

    thought = f"thought[max_tokens={most}]: /(.|\\n)*/\n"
    if rule.markers is None:
        channel, message, end, begin = (
            term(f"<|{word}|>") for word in ("channel", "message", "end", "start")
        )
        if channel.startswith('"'):
            return None
        return (
            f'start: ({channel} "analysis" {message} thought {end} {begin} "assistant")? '
            f'{channel} "final" {message} @{_FORM}\n{thought}'
        )
    open, close = term(rule.markers.open), term(rule.markers.close)
    if close.startswith('"'):
        # A lazy lexeme ends at the first marker. At its maximum length, it must end with one.
        ended = rf"/(.|\n){{0,{most * _CHARACTERS_PER_TOKEN}}}{_escaped(rule.markers.close)}/"
        whole, rules = "thought", f"thought[lazy]: {ended}\n"
    else:
        whole, rules = f"thought {close}", thought
    first = f"{whole} BLANK" if rule.inside else f"({open} {whole} BLANK)?"
    return f"start: {first} @{_FORM}\n{rules}BLANK: /\\n{{0,2}}/\n"


def _forms(grammar: Grammar) -> list[dict[str, Any]]:
    """Return the grammar in llguidance's form for several grammars, named so that the outer one can refer to
    it."""
    if grammar.kind == "json_schema":
        try:
            return [{"name": _FORM, "json_schema": json.loads(grammar.text)}]
        except ValueError as error:
            raise ValueError(f"Invalid grammar. {error}") from error
    text = grammar.text
    if grammar.kind == "regex":
        text = f"start: /{_in_slashes(text)}/\n"
    return [{"name": _FORM, "lark_grammar": text}]


def _escaped(text: str) -> str:
    special = set("\\.^$|?*+()[]{}/")
    return "".join(f"\\{letter}" if letter in special else letter for letter in text)


def _in_slashes(pattern: str) -> str:
    """Return the regular expression escaped for use between slashes."""
    result, escaped = [], False
    for letter in pattern:
        result.append(r"\/" if letter == "/" and not escaped else r"\n" if letter == "\n" else letter)
        escaped = letter == "\\" and not escaped
    return "".join(result)
