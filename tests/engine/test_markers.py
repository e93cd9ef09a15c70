"""The real engine knows each model's own markers: where a turn ends, what is a thought, what is only text."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from spnl_tui.engine.backend import Backend, Event, ModelHandle, ReplyChunk, ReplyFinished, RequestFailed
from spnl_tui.engine.mistralrs.handles import to_handle
from spnl_tui.models.files.local import resolve_local
from spnl_tui.models.request import Grammar, Message, Sampling
from spnl_tui.paths import Paths
from spnl_tui.services import make_engine
from spnl_tui.settings import EngineSettings, ModelSettings, Settings
from tests.support.engines import ask, chat, text_of
from tests.support.renamed import family_gguf, rename_tokens
from tests.support.template_families import families

GREEDY = Sampling(temperature=0, max_tokens=60)
CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{% endfor %}"
    "{{ '<|im_start|>assistant\\n' }}"
)
OPENS_THOUGHT = CHATML + "{{ '<think>\\n' }}"
STRIPS_THOUGHT = CHATML.replace("m.content", "m.content.split('</think>')[-1]")
HARMONY = (
    "{% for m in messages %}{{ '<|start|>' + m.role + '<|message|>' + m.content + '<|end|>' }}{% endfor %}"
    "{{ '<|start|>assistant' }}{# <|channel|> #}"
)
REFUSES_SYSTEM = (
    "{% if messages[0].role == 'system' %}{{ raise_exception('No system prompts') }}{% endif %}" + CHATML
)
PERSON = Grammar(
    "json_schema",
    json.dumps(
        {
            "type": "object",
            "properties": {"city": {"type": "string", "maxLength": 9}},
            "required": ["city"],
            "additionalProperties": False,
        }
    ),
)


def thought_of(events: list[Event]) -> str:
    return "".join(event.reasoning for event in events if isinstance(event, ReplyChunk))


def end_of(events: list[Event]) -> ReplyFinished:
    end = events[-1]
    assert isinstance(end, ReplyFinished), end
    return end


@asynccontextmanager
async def running(
    tmp_path: Path, file: Path, template: str | None = None, **engine: Any
) -> AsyncIterator[tuple[Backend, ModelHandle]]:
    """Run the model, with this chat template in place of its own."""
    named = None
    if template is not None:
        (tmp_path / "given.jinja").write_text(template)
        named = str(tmp_path / "given.jinja")
    settings = Settings(model=ModelSettings(template=named), engine=EngineSettings(**engine))
    backend = make_engine(settings, Paths.below(tmp_path / "engine"))
    try:
        yield backend, to_handle(resolve_local(file))
    finally:
        await backend.close()


SAMPLE = [
    family
    for family in families()
    if family.name
    in ("Magistral", "Seed-OSS", "gpt-oss", "GLM-Z1", "DeepSeek R1", "EXAONE 4", "Gemma 4", "Llama 4")
]


@pytest.mark.alone
@pytest.mark.parametrize("family", SAMPLE, ids=lambda family: family.name)
async def test_engine_splits_and_ends_the_replies_of_a_family(family: Any, tmp_path: Path) -> None:
    file, numbers = family_gguf(tmp_path / "m.gguf", family)

    def token(name: str) -> str:
        return f"<[{numbers[name]}]>"

    reply = f'"So it is." {token(family.ends)} "no more"'
    if family.harmony:
        channel, message = token("<|channel|>"), token("<|message|>")
        reply = (
            f'{channel} "analysis" {message} "Hm." {token("<|end|>")} {token("<|start|>")} "assistant" '
            f'{channel} "final" {message} {reply}'
        )
    elif family.thinks and not family.opens:
        opened, close = family.thinks
        reply = f'{token(opened)} "Hm." {token(close)} "\\n\\n" {reply}'
    async with running(tmp_path, file) as (engine, model):
        messages = [
            Message("system", "s"), Message("user", "a"), Message("assistant", "b"), Message("user", "c"),
            Message("assistant", "d"), Message("user", "e"),
        ]  # fmt: skip
        grammar = Grammar("lark", f"start: {reply}\n")
        async with aclosing(ask(engine, model, messages, GREEDY, grammar=grammar)) as stream:
            events = [event async for event in stream]
    assert text_of(events) == "So it is."
    if family.opens:  # the form follows a thought of noise
        assert thought_of(events)
    else:
        assert thought_of(events) == ("Hm." if family.thinks or family.harmony else "")
    assert end_of(events).finish_reason == "stop"


async def test_turn_ends_at_the_declared_token_with_any_name(starter_gguf: Path, tmp_path: Path) -> None:
    names = {"<|im_end|>": "<|finis|>", "<|im_start|>": "<|go|>"}
    file = rename_tokens(starter_gguf, tmp_path / "m.gguf", names, eos_token_id=0, eot_token_id=2)
    async with running(tmp_path, file) as (engine, model):
        events = await chat(engine, model, "What is the capital of France?", sampling=GREEDY)
    assert text_of(events) == "The capital of France is Paris."
    assert end_of(events).finish_reason == "stop"


async def test_turn_ends_as_the_template_ends_it_though_nothing_declares_it(
    starter_gguf: Path, tmp_path: Path
) -> None:
    names = {"<|im_end|>": "<|finis|>"}
    file = rename_tokens(starter_gguf, tmp_path / "m.gguf", names, eos_token_id=0)
    async with running(tmp_path, file) as (engine, model):
        events = await chat(engine, model, "What is the capital of France?", sampling=GREEDY)
    assert text_of(events) == "The capital of France is Paris."


async def test_thought_between_control_tokens_is_not_the_reply(starter_gguf: Path, tmp_path: Path) -> None:
    names = {"<repo_name>": "[THINK]", "<reponame>": "[/THINK]"}
    file = rename_tokens(starter_gguf, tmp_path / "m.gguf", names)
    grammar = Grammar("lark", 'start: <[3]> "Hm." <[4]> "\\n\\nUse it well."\n')
    async with running(tmp_path, file) as (engine, model):
        events = await chat(engine, model, "How?", sampling=GREEDY, grammar=grammar)
        assert (text_of(events), thought_of(events)) == ("Use it well.", "Hm.")
        resumed = Grammar("lark", 'start: "Use `" <[3]> "` and `" <[4]> "`."\n')
        events = await chat(engine, model, "How?", sampling=GREEDY, grammar=resumed)
        assert (text_of(events), thought_of(events)) == ("Use `[THINK]` and `[/THINK]`.", "")


async def test_marker_that_only_the_template_closes_is_a_thought(starter_gguf: Path, tmp_path: Path) -> None:
    async with running(tmp_path, starter_gguf, STRIPS_THOUGHT) as (engine, model):
        form = Grammar("regex", r"<think>hm</think>\n\nUse the `<think>` tag and `</think>`\.")
        events = await chat(engine, model, "How?", sampling=GREEDY, grammar=form)
    assert (text_of(events), thought_of(events)) == ("Use the `<think>` tag and `</think>`.", "hm")


@pytest.mark.parametrize(
    "grammar",
    [
        PERSON,
        Grammar("regex", "City: [A-Z][a-z]{1,8}"),
        Grammar("lark", 'start: "City: " name\nname: /[A-Z][a-z]{1,8}/\n'),
    ],
    ids=lambda grammar: grammar.kind,
)
async def test_form_holds_after_the_thought(grammar: Grammar, starter_gguf: Path, tmp_path: Path) -> None:
    async with running(tmp_path, starter_gguf, OPENS_THOUGHT) as (engine, model):
        sampling = Sampling(temperature=0, max_tokens=80)
        events = await chat(engine, model, "Name a city.", sampling=sampling, grammar=grammar)
    assert thought_of(events)
    assert end_of(events).finish_reason == "stop"
    if grammar.kind == "json_schema":
        assert json.loads(text_of(events))["city"]
    else:
        assert text_of(events).startswith("City: ")


async def test_harmony_template_needs_no_network(starter_gguf: Path, tmp_path: Path) -> None:
    form = Grammar(
        "regex",
        r"<\|channel\|>analysis<\|message\|>Hm\.<\|end\|><\|start\|>assistant<\|channel\|>final<\|message\|>Yes\.",
    )
    async with running(tmp_path, starter_gguf, HARMONY) as (engine, model):
        events = await chat(engine, model, "Hi", sampling=GREEDY, grammar=form)
        assert (text_of(events), thought_of(events)) == ("Yes.", "Hm.")
        end_of(await chat(engine, model, "Hi", sampling=GREEDY))


async def test_system_prompt_that_the_template_refuses_is_read(starter_gguf: Path, tmp_path: Path) -> None:
    async with running(tmp_path, starter_gguf, REFUSES_SYSTEM) as (engine, model):
        messages = [Message("system", "The password is Xylophone."), Message("user", "What is the password?")]
        async with aclosing(ask(engine, model, messages, GREEDY)) as stream:
            events = [event async for event in stream]
    assert "Xylophone" in text_of(events)


@pytest.mark.parametrize("allowed", [False, True])
async def test_control_words_of_a_prompt_are_text_unless_allowed(
    allowed: bool, starter_gguf: Path, tmp_path: Path
) -> None:
    async with running(tmp_path, starter_gguf, control_words=allowed) as (engine, model):

        async def tokens(prompt: str) -> int:
            events = await chat(engine, model, prompt, sampling=Sampling(temperature=0, max_tokens=1))
            return end_of(events).usage.prompt_tokens

        without = await tokens("Repeat: ")
        each = await tokens("Repeat: <|im_end|>") - without
        four = await tokens("Repeat: " + "<|im_start|>" * 4) - without
        counted = await engine.count_tokens(model, ["<|im_end|>"])
    assert counted is not None
    assert (each == 1, four == 4, counted[0] == 1) == (allowed, allowed, allowed)
    assert allowed or (each >= 4 and four >= 16 and counted[0] >= 4)


async def test_broken_control_word_is_whole_again_in_the_reply(starter_gguf: Path, tmp_path: Path) -> None:
    async with running(tmp_path, starter_gguf) as (engine, model):
        form = Grammar("regex", "<\u2060\\|im_end\\|> it is\\.")
        events = await chat(engine, model, "Say <|im_end|>", sampling=GREEDY, grammar=form)
    assert text_of(events) == "<|im_end|> it is."


async def test_stopped_thought_is_continued(starter_gguf: Path, tmp_path: Path) -> None:
    async with running(tmp_path, starter_gguf, OPENS_THOUGHT) as (engine, model):
        events = await chat(
            engine, model, "Name a city.", sampling=Sampling(temperature=0, max_tokens=12),
            continue_reply=True, begun_thought="The user wants the name of a city. I pick Ro",
        )  # fmt: skip
    assert thought_of(events)
    assert not thought_of(events).startswith("The user")
    assert text_of(events) == ""
    assert end_of(events).finish_reason == "length"


async def test_form_without_any_text_is_refused_in_words(starter_gguf: Path, tmp_path: Path) -> None:
    async with running(tmp_path, starter_gguf) as (engine, model):
        events = await chat(engine, model, "Hi", grammar=Grammar("lark", 'start: "a" start\n'))
    assert isinstance(events[-1], RequestFailed)
    assert "NoExtensionBias" not in str(events[-1])


async def test_template_that_cannot_be_read_names_its_own_line(starter_gguf: Path, tmp_path: Path) -> None:
    async with running(tmp_path, starter_gguf, "\n\n{% nonsense %}" + CHATML) as (engine, model):
        events = await chat(engine, model, "Hi")
    failed = events[-1]
    assert isinstance(failed, RequestFailed)
    assert (failed.kind, "line 3 of the chat template" in failed.message) == ("template", True)
    assert "--template" in failed.hint
