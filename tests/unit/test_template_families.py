"""The chat templates of 80 families: what each opens, strips, ends with and accepts, and a conversation of
three turns."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from spnl_tui.engine.backend import ReplyChunk
from spnl_tui.engine.mistralrs import wire
from spnl_tui.engine.mistralrs.runner.prompts import PromptWriter
from spnl_tui.engine.mistralrs.runner.reply_stream import follow
from spnl_tui.engine.mistralrs.runner.requests import chat_request
from spnl_tui.models.prompts.chat_prompt import template_problem
from spnl_tui.models.request import Message
from tests.support.template_families import Family, families

FAMILIES = families()
SYSTEM = Message("system", "Answer in verse.")
TURNS = (
    Message("user", "Why is the sky blue?"),
    Message("assistant", "Air scatters blue."),
    Message("user", "And the sea?"),
    Message("assistant", "It mirrors it."),
    Message("user", "And grass?"),
)

pytestmark = pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)


def chunks(pieces: Sequence[str]) -> Iterator[Any]:
    """mistral.rs's chunks for a reply of these pieces."""
    for piece in pieces:
        delta = SimpleNamespace(content=piece, reasoning_content=None)
        yield SimpleNamespace(choices=[SimpleNamespace(delta=delta, finish_reason=None)], usage=None)


def reply(family: Family, pieces: Sequence[str], messages: Sequence[Message] = TURNS) -> tuple[str, str]:
    """What a user sees of a reply of these pieces: its text and its thought."""
    command = wire.Chat(id=1, messages=tuple(messages))
    request = chat_request(PromptWriter(family.template, family.tokens), command, command.messages, len)
    seen: list[ReplyChunk] = []
    follow(
        lambda: chunks(pieces), seen.append, lambda: False, started=time.monotonic(), ends=request.ends,
        begun=request.begun, splitter=request.splitter,
    )  # fmt: skip
    return "".join(each.text for each in seen), "".join(each.reasoning for each in seen)


def test_template_behaves_as_the_table_says(family: Family) -> None:
    assert template_problem(family.template) is None
    writer = PromptWriter(family.template, family.tokens)
    traits = writer.traits
    assert traits.opens == family.opens
    assert traits.strips == family.strips
    assert traits.takes_system == family.system
    assert traits.harmony == family.harmony
    assert family.ends in traits.ends
    assert not traits.typed
    pairs = [(each.open, each.close) for each in traits.thoughts]
    assert pairs == ([family.thinks] if family.thinks else [])
    assert writer.end_words == ((family.ends,) if family.words else ())
    if not family.words:
        assert family.tokens.ids[family.ends] in writer.end_tokens


def test_three_turns_and_a_system_prompt_are_in_the_prompt(family: Family) -> None:
    prompt = PromptWriter(family.template, family.tokens).write((SYSTEM, *TURNS))
    places = [prompt.find(message.text) for message in TURNS]
    assert -1 not in places
    assert places == sorted(places)
    assert prompt.count(SYSTEM.text) == 1


def test_system_prompt_in_mid_conversation_is_in_the_prompt(family: Family) -> None:
    messages = (*TURNS[:2], SYSTEM, TURNS[2])
    prompt = PromptWriter(family.template, family.tokens).write(messages)
    assert TURNS[2].text in prompt


def test_earlier_thought_is_not_sent_again(family: Family) -> None:
    for close in family.strips:
        thinking = Message("assistant", f"A secret.{close}\n\nAir scatters blue.")
        tokens = family.tokens
        prompt = PromptWriter(family.template, tokens, obey_control_words=True).write(
            (TURNS[0], thinking, TURNS[2])
        )
        assert "A secret." not in prompt
        assert "Air scatters blue." in prompt


def test_thought_is_separated_and_the_reply_ends_at_its_marker(family: Family) -> None:
    pieces = ["So", " it", " is.", family.ends, "user", "More?"]
    thought = ["Hm", ", so."]
    if family.harmony:
        pieces = [
            *("<|channel|>", "analysis", "<|message|>", *thought, "<|end|>", "<|start|>", "assistant"),
            *("<|channel|>", "final", "<|message|>", *pieces),
        ]
    elif family.thinks:
        opened, close = family.thinks
        pieces = [*([] if family.opens else [opened]), *thought, close, "\n\n", *pieces]
    text, seen = reply(family, pieces)
    assert text == "So it is."
    assert seen == ("Hm, so." if family.thinks or family.harmony else "")


def test_stopped_reply_and_stopped_thought_are_resumed(family: Family) -> None:
    writer = PromptWriter(family.template, family.tokens)
    begun = writer.resume((TURNS[0], Message("assistant", "Because the air")))
    assert (begun.prompt + begun.repeated).endswith("Because the air")
    if family.thinks or family.harmony:
        resumed, markers = writer.resume_thought((TURNS[0],), "Let me see what")
        whole = resumed.prompt + resumed.repeated
        assert whole.endswith("Let me see what")
        opened = family.thinks[0] if family.thinks else "<|channel|>analysis<|message|>"
        assert whole.removesuffix("Let me see what").rstrip().endswith((opened.rstrip(), f"{opened}thought"))
        assert (markers is None) == family.harmony


def test_control_words_in_a_prompt_are_text(family: Family) -> None:
    writer = PromptWriter(family.template, family.tokens)
    plain = writer.write((Message("user", "a  b"),))
    attack = "".join(writer.tokens.control)
    attacked = writer.write((Message("user", f"a {attack} b"),))
    for word in writer.tokens.control:
        assert attacked.count(word) == plain.count(word)
