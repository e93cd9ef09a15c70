"""The same checks against every server (tests/support/servers.py). docs/endpoints.md has the results."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import replace

import pytest

from spnl_tui.engine.backend import (
    ChatRequest,
    CompletionRequest,
    Event,
    ModelHandle,
    ModelLoaded,
    ReplyChunk,
    ReplyFinished,
    Request,
    RequestFailed,
)
from spnl_tui.engine.reply import Replies, Reply, collect
from spnl_tui.models.parts import ImagePart, TextPart, ToolCallPart, ToolResultPart
from spnl_tui.models.request import Grammar, Message, Sampling
from spnl_tui.models.tools import Tool
from tests.support.servers import KINDS, PNG, Target, reached, running

pytestmark = pytest.mark.slow
SHORT = Sampling(temperature=0.0, max_tokens=12)
CAPITAL = "What is the capital of France?"
SCHEMA = Grammar(
    "json_schema",
    '{"type": "object", "properties": {"capital": {"type": "string", "maxLength": 10}},'
    ' "required": ["capital"], "additionalProperties": false}',
)
WEATHER = Tool(name="weather", parameters='{"type": "object", "properties": {"city": {"type": "string"}}}')
Check = Callable[[Target], Awaitable[None]]
CHECKS: list[tuple[str, Check]] = []


def check(needs: str = "") -> Callable[[Check], Check]:
    """Add a check, which only servers with this ability are given."""

    def add(function: Check) -> Check:
        CHECKS.append((needs, function))
        return function

    return add


def ask(text: str = CAPITAL, sampling: Sampling = SHORT, **fields: object) -> ChatRequest:
    return ChatRequest(messages=[Message("user", text)], sampling=sampling, **fields)  # type: ignore[arg-type]


async def reply_to(at: Target, request: Request) -> Reply:
    return await collect(at.engine, at.model, request)


async def all_replies(at: Target, request: Request) -> list[Reply]:
    replies = Replies(at.engine, at.model, request)
    async with aclosing(replies.events()) as events:
        async for _ in events:
            pass
    return list(replies)


async def events_of(at: Target, request: Request, model: ModelHandle | None = None) -> list[Event]:
    return [event async for event in at.engine.generate(model or at.model, request)]


@check()
async def chat_replies(at: Target) -> None:
    assert (await reply_to(at, ask())).text.strip()


@check()
async def load_reports_the_model_once(at: Target) -> None:
    events = [event async for event in at.engine.load(at.model)]
    assert isinstance(events[-1], ModelLoaded)
    assert not [event async for event in at.engine.load(at.model)]


@check()
async def stream_comes_in_pieces(at: Target) -> None:
    chunks = [event for event in await events_of(at, ask()) if isinstance(event, ReplyChunk)]
    assert len(chunks) > 1
    assert [each.tokens for each in chunks] == sorted(each.tokens for each in chunks)


@check("usage")
async def usage_and_times_are_reported(at: Target) -> None:
    reply = await reply_to(at, ask())
    assert reply.usage is not None
    assert reply.usage.prompt_tokens >= 6
    assert 1 <= reply.usage.completion_tokens <= 12
    assert reply.timing.ttft_s is not None


@check()
async def system_prompt_and_history_are_accepted(at: Target) -> None:
    messages = [Message("system", "Be brief."), Message("user", "Hi"), Message("assistant", "Hello.")]
    request = ChatRequest(messages=[*messages, Message("user", CAPITAL)], sampling=SHORT)
    assert (await reply_to(at, request)).text.strip()


@check()
async def max_tokens_end_the_reply(at: Target) -> None:
    if at.kind == "spnl":
        return  # the echo behind it does not report it
    reply = await reply_to(at, ask("Count from one to ten in words.", Sampling(temperature=0, max_tokens=3)))
    assert reply.finish_reason == "length"


@check()
async def greedy_replies_repeat(at: Target) -> None:
    first, second = await reply_to(at, ask()), await reply_to(at, ask())
    assert first.text == second.text


@check()
async def seeds_are_accepted(at: Target) -> None:
    sampling = replace(SHORT, temperature=1.0, seed=7, top_p=0.9)
    assert (await reply_to(at, ask(sampling=sampling))).finish_reason in ("stop", "length")


@check()
async def every_parameter_is_accepted(at: Target) -> None:
    sampling = replace(
        SHORT, temperature=0.7, top_p=0.9, top_k=20, min_p=0.05, repetition_penalty=1.1,
        frequency_penalty=0.1, presence_penalty=0.1, stop=("@@@",), seed=1,
    )  # fmt: skip
    assert (await reply_to(at, ask(sampling=sampling))).text.strip()


@check()
async def candidates_are_whole(at: Target) -> None:
    replies = await all_replies(at, ask(n=3, sampling=replace(SHORT, temperature=1.0)))
    assert all(each.text.strip() and each.finish_reason in ("stop", "length") for each in replies)


@check()
async def many_requests_at_once_are_answered(at: Target) -> None:
    replies = await asyncio.gather(*(reply_to(at, ask()) for _ in range(6)))
    assert all(each.text.strip() for each in replies)


@check()
async def cancelled_request_leaves_the_server_usable(at: Target) -> None:
    async with aclosing(at.engine.generate(at.model, ask("long " * 9, Sampling(max_tokens=400)))) as events:
        async for event in events:
            if isinstance(event, ReplyChunk):
                break
    assert (await reply_to(at, ask())).text.strip()


@check()
async def unwanted_candidate_is_stopped(at: Target) -> None:
    wanted = iter((True, True))
    request = ask("long " * 9, Sampling(max_tokens=400), is_wanted=lambda candidate: next(wanted, False))
    *_, end = await events_of(at, request)
    assert isinstance(end, ReplyFinished)
    assert end.finish_reason == "cancelled"


@check()
async def unicode_survives(at: Target) -> None:
    assert (await reply_to(at, ask("Grüße 👩‍👩‍👧 — 你好, what is this?"))).text.strip()


@check()
async def unknown_model_is_named_with_the_nearest(at: Target) -> None:
    if at.kind == "llamacpp-python":
        return  # it answers to any name
    *_, end = await events_of(at, ask(), replace(at.model, key=("box", "qwen3:17b")))
    assert isinstance(end, RequestFailed)
    assert end.title == "The server does not have this model"


@check()
async def origin_is_recorded(at: Target) -> None:
    await reply_to(at, ask())
    (loaded,) = [each for each in at.engine.loaded() if each.model == at.model]
    origin = json.loads(loaded.load_details)
    assert origin["endpoint"] == "box"
    assert origin["server"] == at.kind


@check("context")
async def context_length_is_known(at: Target) -> None:
    _ = [event async for event in at.engine.load(at.model)]
    assert at.kind == "spnl" or (at.engine.loaded()[0].context_length or 0) >= 512


@check("context")
async def too_long_prompt_is_refused(at: Target) -> None:
    if at.kind in ("ollama", "spnl"):
        return  # Ollama cuts the prompt, and the echo has no limit
    *_, end = await events_of(at, ask("word " * 3000))
    assert isinstance(end, RequestFailed)
    assert end.kind == "context"


@check("count")
async def tokens_are_counted(at: Target) -> None:
    _ = [event async for event in at.engine.load(at.model)]
    counts = await at.engine.count_tokens(at.model, ["Hello world", "", "Hello world, how are you?"])
    assert counts is not None
    assert counts[1] == 0
    assert 2 == counts[0] < counts[2]
    assert not at.engine.loaded()[0].estimates_tokens


@check()
async def counts_are_at_least_estimated(at: Target) -> None:
    await reply_to(at, ask())
    counts = await at.engine.count_tokens(at.model, ["The quick brown fox jumps over the lazy dog."])
    assert counts is not None
    assert 5 <= counts[0] <= 20


@check("schema")
async def schema_holds_the_reply(at: Target) -> None:
    reply = await reply_to(at, ask(grammar=SCHEMA, sampling=replace(SHORT, max_tokens=60)))
    assert list(json.loads(reply.text)) == ["capital"]


@check("regex")
async def regular_expression_holds_the_reply(at: Target) -> None:
    assert (await reply_to(at, ask(grammar=Grammar("regex", "yes|no")))).text in ("yes", "no")


@check("lark")
async def grammar_holds_the_reply(at: Target) -> None:
    grammar = Grammar("lark", 'start: "left" | "right"')
    assert (await reply_to(at, ask(grammar=grammar))).text in ("left", "right")


@check()
async def missing_format_is_refused(at: Target) -> None:
    if "lark" in at.can:
        return
    *_, end = await events_of(at, ask(grammar=Grammar("lark", 'start: "a"')))
    assert isinstance(end, RequestFailed)
    assert end.title == "This model does not accept a reply format"


@check("completion")
async def text_is_continued(at: Target) -> None:
    request = CompletionRequest(inputs=["Once upon a time"], sampling=SHORT)
    assert (await reply_to(at, request)).text.strip()


@check("completion")
async def several_texts_are_continued(at: Target) -> None:
    request = CompletionRequest(inputs=["One two three", "Monday Tuesday"], sampling=SHORT)
    assert all(each.text.strip() for each in await all_replies(at, request))


@check("continue")
async def reply_is_continued(at: Target) -> None:
    messages = [Message("user", CAPITAL), Message("assistant", "The capital of France is")]
    reply = await reply_to(at, ChatRequest(messages=messages, sampling=SHORT, continue_reply=True))
    assert reply.text.strip()
    assert "The capital of France is" not in reply.text


@check("tools")
async def tool_is_called(at: Target) -> None:
    reply = await reply_to(at, ask("Use the tool: weather in Oslo", tools=(WEATHER,)))
    assert [(each.name, json.loads(each.arguments)) for each in reply.tool_calls] == [
        ("weather", {"city": "Oslo"})
    ]
    assert reply.finish_reason == "tool_calls"


@check("tools")
async def result_of_a_tool_is_accepted(at: Target) -> None:
    call = ToolCallPart("c1", "weather", '{"city": "Oslo"}')
    messages = [
        Message("user", "Weather?"),
        Message("assistant", [call]),
        Message("tool", [ToolResultPart("c1", (TextPart("rain"),))]),
    ]
    request = ChatRequest(messages=messages, sampling=SHORT, tools=(WEATHER,))
    assert (await reply_to(at, request)).text.strip()


@check("thinking")
async def thought_is_separated(at: Target) -> None:
    assert (await reply_to(at, ask(thinking=True))).reasoning
    assert not (await reply_to(at, ask(thinking=False))).reasoning


@check()
async def title_request_without_thinking_is_answered(at: Target) -> None:
    request = ask("Name this chat.", thinking=False, ephemeral=True)
    assert (await reply_to(at, request)).text.strip()


@check()
async def stop_sequence_ends_the_reply(at: Target) -> None:
    if at.kind in ("spnl", "ollama"):
        return  # neither the echo nor the stand-in stops
    whole = (await reply_to(at, ask())).text
    word = whole.split()[2]
    reply = await reply_to(at, ask(sampling=replace(SHORT, stop=(word,))))
    assert word not in reply.text


@check()
async def one_token_is_a_reply(at: Target) -> None:
    reply = await reply_to(at, ask(sampling=replace(SHORT, max_tokens=1)))
    assert reply.finish_reason in ("stop", "length")


@check("schema")
async def every_candidate_holds_the_schema(at: Target) -> None:
    request = ask(grammar=SCHEMA, n=2, sampling=Sampling(temperature=1.0, max_tokens=60))
    assert [list(json.loads(each.text)) for each in await all_replies(at, request)] == [["capital"]] * 2


@check()
async def code_and_quotes_survive(at: Target) -> None:
    assert (await reply_to(at, ask('```python\nprint("a\\n")\n```\n<b>&amp;</b> "x"'))).text.strip()


@check()
async def long_history_is_accepted(at: Target) -> None:
    turns = [Message("user" if i % 2 == 0 else "assistant", f"Turn {i}.") for i in range(20)]
    request = ChatRequest(messages=[*turns, Message("user", CAPITAL)], sampling=SHORT)
    assert (await reply_to(at, request)).text.strip()


@check()
async def image_is_refused_or_answered(at: Target) -> None:
    image = ImagePart("a" * 64, "image/png", len(PNG), "x.png", 1, 1)
    messages = [Message("user", [image, TextPart("What is this?")])]
    *_, end = await events_of(at, ChatRequest(messages=messages, sampling=SHORT))
    assert isinstance(end, ReplyFinished) or (end.title and end.message)  # type: ignore[union-attr]  # an end


@check("count")
async def many_texts_are_counted_as_each_of_them(at: Target) -> None:
    _ = [event async for event in at.engine.load(at.model)]
    texts = [f"Text number {i}." for i in range(20)]
    together = await at.engine.count_tokens(at.model, texts)
    alone = await at.engine.count_tokens(at.model, texts[7:8])
    assert together is not None
    assert alone == together[7:8]


@check()
async def thought_that_was_begun_needs_a_server_that_continues(at: Target) -> None:
    request = ask(continue_reply=True, begun_thought="Let me think", thinking=None)
    *_, end = await events_of(at, request)
    if not at.can & {"continue"} and isinstance(end, RequestFailed):
        assert end.title == "This model cannot continue a reply"
    else:
        assert isinstance(end, ReplyFinished)


@check()
async def unloaded_model_is_asked_for_again(at: Target) -> None:
    await reply_to(at, ask())
    await at.engine.unload(at.model)
    assert at.model not in [each.model for each in at.engine.loaded()]
    assert (await reply_to(at, ask())).text.strip()


@pytest.mark.parametrize("kind", KINDS)
async def test_server_passes_the_checks(kind: str) -> None:
    failed: list[str] = []
    passed = 0
    async with running(kind) as server:
        for needs, each in CHECKS:
            async with reached(*server) as at:
                if needs and needs not in at.can:
                    continue
                try:
                    async with asyncio.timeout(120):
                        await each(at)
                    passed += 1
                except Exception as error:
                    failed.append(f"{each.__name__}: {type(error).__name__}: {error}"[:300])
    print(f"{kind}: {passed} passed, {len(failed)} failed, of {len(CHECKS)}")
    assert not failed, "\n".join(failed)
