"""Structured replies, completions and chat templates, as scripts meet them: the real model, no mocks."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import CAPITAL, spnl
from tests.support.gguf_maker import CHATML, make_gguf

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "maxLength": 20},
        "country": {"enum": ["France", "Spain"]},
        "age": {"type": "integer", "minimum": 0, "maximum": 9999},
    },
    "required": ["city", "country", "age"],
    "additionalProperties": False,
}


@pytest.fixture
def file(tmp_path: Path) -> Any:
    def write(name: str, text: str) -> Path:
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def test_a_reply_by_a_json_schema_parses_and_fits(starter_gguf: Path, file: Any) -> None:
    schema = file("schema.json", json.dumps(SCHEMA))
    result = spnl("run", "-m", starter_gguf, "-t", "0", "-l", "200", "--schema", schema, CAPITAL)
    assert result.returncode == 0, result.stderr
    reply = json.loads(result.stdout)
    assert set(reply) == {"city", "country", "age"}
    assert isinstance(reply["city"], str)
    assert len(reply["city"]) <= 20
    assert reply["country"] in ("France", "Spain")
    assert 0 <= reply["age"] <= 9999


def test_a_reply_by_an_expression_and_by_a_grammar(starter_gguf: Path, file: Any) -> None:
    result = spnl("run", "-m", starter_gguf, "-t", "0", "--regex", r"[A-Z][a-z]{2,12}, \d{3}", CAPITAL)
    assert re.fullmatch(r"[A-Z][a-z]{2,12}, \d{3}\n", result.stdout)
    grammar = file("g.lark", 'start: "yes" | "no"')
    result = spnl("run", "-m", starter_gguf, "-t", "0", "--json", "--lark", grammar, "Is Paris in France?")
    assert json.loads(result.stdout)["reply"] in ("yes", "no")


@pytest.mark.parametrize(
    ("flag", "text", "cause"),
    [
        ("--schema", '{"type": "nonsense"}', "nonsense"),
        ("--schema", '{"type":', "not valid JSON"),
        ("--schema", "[]", "does not hold an object"),
        ("--schema", None, "does not exist"),
        ("--lark", "start: foo", "foo"),
        ("--lark", "start: again\nagain: start", "refers to itself"),
        ("--schema", '{"$ref": "#/$defs/x", "$defs": {"x": {"$ref": "#/$defs/x"}}}', "refers to itself"),
        ("--regex", "(", "unclosed group"),
        ("--template", "nonsense", "chatml"),
    ],
)
def test_mistake_is_reported_with_a_remedy(
    flag: str, text: str | None, cause: str, starter_gguf: Path, file: Any, tmp_path: Path
) -> None:
    value = text if flag in ("--regex", "--template") else tmp_path / "none"
    if text is not None and value != text:
        value = file("made", text)
    assert value is not None
    result = spnl("run", "-m", starter_gguf, flag, value, CAPITAL)
    assert result.returncode == 1
    assert result.stdout == ""
    assert cause in result.stderr
    assert len(result.stderr.splitlines()) in (3, 4), result.stderr


def test_structured_reply_cut_at_max_tokens_exits_with_1(starter_gguf: Path, file: Any) -> None:
    schema = file("schema.json", '{"type": "string", "minLength": 5000}')
    for flag in ((), ("--json",)):
        result = spnl("run", "-m", starter_gguf, "-t", "0", "-l", "16", *flag, "--schema", schema, CAPITAL)
        assert result.returncode == 1
        assert "max_tokens (16)" in result.stderr
        if flag:
            assert json.loads(result.stdout)["finish_reason"] == "length"


def test_thought_without_a_reply_exits_with_1(starter_gguf: Path, file: Any) -> None:
    """A template that opens the thought, and too few tokens to end it."""
    assistant = "<|im_start|>assistant\n"
    template = file(
        "thinks.jinja", "{# ends with </think> #}" + CHATML.replace(assistant, assistant + "<think>\n")
    )
    arguments = ("-m", starter_gguf, "-t", "0", "-l", "8", "--template", template)
    result = spnl("run", *arguments, CAPITAL)
    assert result.returncode == 1
    assert result.stdout == ""
    assert "still thinking" in result.stderr
    document = spnl("run", *arguments, "--json", CAPITAL)
    assert document.returncode == 1
    assert json.loads(document.stdout)["finish_reason"] == "length"
    assert json.loads(document.stdout)["reasoning"]
    query = spnl("run", "-c", f'(g "{starter_gguf}" "{CAPITAL}" 0 8)', "--template", template, "--json")
    assert query.returncode == 1
    assert "still thinking" in query.stderr
    assert json.loads(query.stdout)["failures"][0]["finish_reason"] == "length"
    config = file("config.toml", f'[model]\ntemplate = "{template}"\n')
    mapped = spnl("--config", config, "map", *arguments[:-2], "Say {}", stdin="a\nb\n")
    assert mapped.returncode == 1
    assert mapped.stdout == "\n\n"
    assert "2 lines have no reply" in mapped.stderr


def test_prompt_longer_than_the_chosen_context_is_rejected(starter_gguf: Path, file: Any) -> None:
    config = file("config.toml", "[context]\nlength = 256\n")
    long = "word " * 300
    for flags in ((), ("--completion",)):
        result = spnl("--config", config, "run", "-m", starter_gguf, *flags, "-", stdin=long)
        assert result.returncode == 1
        assert "context holds 256" in result.stderr
        assert result.stdout == ""
    # A reply ends with the context.
    result = spnl("--config", config, "run", "-m", starter_gguf, "-t", "0", "--json", "-", stdin=long[:1000])
    usage = json.loads(result.stdout)["usage"]
    assert usage["prompt_tokens"] + usage["completion_tokens"] <= 257


def test_two_formats_are_one_too_many() -> None:
    assert spnl("run", "--regex", "a", "--lark", "b", CAPITAL).returncode == 2
    assert spnl("run", "--regex", "a", "-b", "email").returncode == 2


def test_a_text_is_continued(starter_gguf: Path) -> None:
    result = spnl(
        *("run", "-m", starter_gguf, "-t", "0", "-l", "8", "--completion", "-n", "2", "--json"),
        "The capital of France is",
    )
    replies = [reply["reply"] for reply in json.loads(result.stdout)["replies"]]
    assert len(replies) == 2
    assert "Paris" in replies[0]


def test_a_base_model_continues_and_with_a_template_it_chats(tmp_path: Path, file: Any) -> None:
    base = make_gguf(tmp_path / "base.gguf", template=None)
    assert spnl("run", "-m", base, "-l", "4", "--completion", "Once upon").returncode == 0
    refused = spnl("run", "-m", base, "-l", "4", CAPITAL)
    assert refused.returncode == 1
    assert "model.template" in refused.stderr
    for template in ("chatml", file("mine.jinja", CHATML)):
        result = spnl("run", "-m", base, "-l", "4", "--json", "--template", template, CAPITAL)
        assert result.returncode == 0, result.stderr
        # The template's own words were read, too.
        assert json.loads(result.stdout)["usage"]["prompt_tokens"] > len(CAPITAL) + 10
    config = file("config.toml", '[model]\ntemplate = "chatml"\n')
    assert spnl("--config", config, "run", "-m", base, "-l", "4", CAPITAL).returncode == 0


@pytest.mark.parametrize("family", ["chatml", "zephyr"])
def test_a_family_in_place_of_the_models_own(family: str, starter_gguf: Path) -> None:
    result = spnl("run", "-m", starter_gguf, "-t", "0", "-l", "48", "--template", family, CAPITAL)
    assert "Paris" in result.stdout
    assert "<|im_end|>" not in result.stdout
