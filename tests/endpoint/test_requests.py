"""Requests to servers: what is sent, in each server's own way, and what becomes of the answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from contextlib import aclosing
from typing import Any

import pytest

from spnl_tui.engine.backend import ChatRequest, ModelHandle, ReplyChunk, ReplyFinished, RequestFailed
from spnl_tui.engine.endpoint.bodies import chat_body
from spnl_tui.engine.endpoint.facts import ServedModel
from spnl_tui.engine.reply import Replies, collect
from spnl_tui.models.parts import ImagePart, TextPart, ToolCallPart, ToolResultPart
from spnl_tui.models.request import Grammar, Message, Sampling
from spnl_tui.models.tools import Tool
from tests.support.endpoint_server import (
    DONE,
    USAGE,
    WELL,
    Asked,
    asking,
    begin_stream,
    endpoint_at,
    engine_of,
    events_of,
    piece,
    replying,
    send_json,
    serving,
)

SCHEMA = Grammar("json_schema", '{"type": "object", "properties": {}}')
REGEX = Grammar("regex", "a+")
LARK = Grammar("lark", 'start: "a"')
IMAGE = ImagePart("a" * 64, "image/png", 3, "x.png", 1, 1)
CALL = ToolCallPart("c1", "weather", '{"city": "Oslo"}')


async def model_of(engine: Any) -> ModelHandle:
    model: ModelHandle = await engine.find("box/m")
    return model


async def test_reply_has_text_usage_timing_and_origin() -> None:
    async with serving(WELL) as server, engine_of(endpoint_at(server.port)) as engine:
        reply = await collect(engine, await model_of(engine), asking())
        (loaded,) = engine.loaded()
    assert (reply.text, reply.finish_reason) == ("Hello there", "stop")
    assert reply.usage is not None
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens) == (7, 2)
    assert reply.timing.ttft_s is not None
    origin = json.loads(loaded.load_details)
    assert (origin["endpoint"], origin["model"], origin["system_fingerprint"]) == ("box", "m", "fp1")


@pytest.mark.parametrize(
    ("pieces", "text", "reasoning"),
    [
        ([piece(reasoning_content="hm"), piece("Yes")], "Yes", "hm"),
        ([piece(reasoning="hm"), piece("Yes")], "Yes", "hm"),
        ([piece("<thi"), piece("nk>\nhm</th"), piece("ink>\n\nYes")], "Yes", "hm"),
        ([piece("<thin"), piece(" ice")], "<thin ice", ""),
        ([piece("a <think> b")], "a <think> b", ""),
        ([piece("<think>hm")], "", "hm"),
    ],
)
async def test_thoughts_are_separated_from_the_text(pieces: list[bytes], text: str, reasoning: str) -> None:
    answer = replying(*pieces, piece(reason="stop"), DONE)
    async with serving(answer) as server, engine_of(endpoint_at(server.port)) as engine:
        reply = await collect(engine, await model_of(engine), asking())
    assert (reply.text, reply.reasoning) == (text, reasoning)


async def test_tool_calls_are_joined_from_their_pieces() -> None:
    def call(**fields: Any) -> bytes:
        return piece(tool_calls=[{"index": fields.pop("index", 0), **fields}])

    answer = replying(
        call(id="c1", function={"name": "weather", "arguments": ""}),
        call(function={"arguments": '{"city": '}),
        call(function={"arguments": '"Oslo"}'}),
        call(index=1, function={"name": "time"}),
        piece(reason="tool_calls"),
        DONE,
    )
    async with serving(answer) as server, engine_of(endpoint_at(server.port)) as engine:
        reply = await collect(engine, await model_of(engine), asking(tools=(Tool(name="weather"),)))
        sent = server.chats[-1].body
    first, second = reply.tool_calls
    assert first == CALL
    assert (second.name, second.arguments, bool(second.id)) == ("time", "{}", True)
    assert reply.finish_reason == "tool_calls"
    assert sent["tools"][0]["function"]["name"] == "weather"


@pytest.mark.parametrize("server_kind", ["vllm", "other"])
async def test_candidates_are_computed_in_parallel(server_kind: str) -> None:
    arrived = asyncio.Barrier(1 if server_kind == "vllm" else 3)

    async def answer(asked: Asked, writer: asyncio.StreamWriter) -> None:
        await begin_stream(writer)
        async with asyncio.timeout(20):
            await arrived.wait()  # no request ends before all have begun
        for index in range(asked.body.get("n", 1)):
            writer.write(piece(f"{asked.body['seed']}.{index}", index=index, reason="stop"))
        writer.write(USAGE + DONE)
        await writer.drain()

    owner = {"vllm": "vllm", "other": "nobody"}[server_kind]
    async with (
        serving(answer, models=({"id": "m", "owned_by": owner},)) as server,
        engine_of(endpoint_at(server.port)) as engine,
    ):
        request = ChatRequest(messages=[Message("user", "Hi")], sampling=Sampling(seed=5), n=3)
        replies = Replies(engine, await model_of(engine), request)
        async with aclosing(replies.events()) as events:
            async for _ in events:
                pass
    texts = [each.text for each in replies]
    assert texts == (["5.0", "5.1", "5.2"] if server_kind == "vllm" else ["5.0", "6.0", "7.0"])


async def test_further_requests_wait_for_a_place() -> None:
    running, most = 0, 0

    async def answer(asked: Asked, writer: asyncio.StreamWriter) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1
        await WELL(asked, writer)

    async with (
        serving(answer) as server,
        engine_of(endpoint_at(server.port, max_concurrent=2)) as engine,
    ):
        model = await model_of(engine)
        await asyncio.gather(*(collect(engine, model, asking()) for _ in range(8)))
    assert most == 2


async def test_leaving_a_reply_closes_its_connection() -> None:
    async def answer(asked: Asked, writer: asyncio.StreamWriter) -> None:
        await begin_stream(writer)
        while True:
            writer.write(piece("more"))
            await writer.drain()
            await asyncio.sleep(0.001)

    async with serving(answer) as server, engine_of(endpoint_at(server.port)) as engine:
        async with aclosing(engine.generate(await model_of(engine), asking())) as events:
            async for event in events:
                if isinstance(event, ReplyChunk):
                    break
        async with asyncio.timeout(20):
            await server.left.wait()


async def test_unwanted_reply_is_cancelled() -> None:
    asked: list[int] = []

    def is_wanted(candidate: int) -> bool:
        asked.append(candidate)
        return len(asked) < 2

    answer = replying(piece("a"), piece("b"), piece("c"))
    async with serving(answer) as server, engine_of(endpoint_at(server.port)) as engine:
        *_, end = await events_of(engine, asking(is_wanted=is_wanted))
    assert isinstance(end, ReplyFinished)
    assert end.finish_reason == "cancelled"


@pytest.mark.parametrize(
    ("server", "grammar", "sent"),
    [
        ("vllm", SCHEMA, {"response_format"}),
        ("vllm", REGEX, {"structured_outputs"}),
        ("vllm", LARK, {"structured_outputs"}),
        ("mistralrs", REGEX, {"grammar"}),
        ("openai", SCHEMA, {"response_format"}),
        ("llamacpp-python", SCHEMA, {"response_format"}),
        ("ollama", SCHEMA, {"format"}),
    ],
)
def test_format_is_sent_in_the_way_of_the_server(server: str, grammar: Grammar, sent: set[str]) -> None:
    body = chat_body(asking(grammar=grammar), ServedModel(id="m", server=server), lambda image: b"")
    assert {"response_format", "structured_outputs", "grammar", "format"} & set(body) == sent


SAMPLING = Sampling(temperature=0.5, top_k=3, repetition_penalty=1.2, max_tokens=9, stop=("x",), seed=1)


@pytest.mark.parametrize(
    ("server", "model", "sent"),
    [
        ("vllm", "m", {"top_k": 3, "repetition_penalty": 1.2, "max_tokens": 9, "seed": 1, "stop": ["x"]}),
        ("llamacpp", "m", {"top_k": 3, "repeat_penalty": 1.2, "max_tokens": 9}),
        ("openai", "gpt-4o", {"temperature": 0.5, "max_completion_tokens": 9, "top_k": None}),
        ("openai", "o3", {"temperature": None, "stop": None, "max_completion_tokens": 9}),
        ("gemini", "g", {"seed": None, "max_tokens": 9}),
        ("other", "m", {"top_k": None, "repetition_penalty": None, "temperature": 0.5}),
    ],
)
def test_parameters_have_the_names_of_the_server(server: str, model: str, sent: Mapping[str, Any]) -> None:
    request = ChatRequest(messages=[Message("user", "Hi")], sampling=SAMPLING)
    body = chat_body(request, ServedModel(id=model, server=server), lambda image: b"")
    assert {name: body.get(name) for name in sent} == sent


def test_images_calls_and_results_are_sent_in_openai_format() -> None:
    messages = [
        Message("user", [IMAGE, TextPart("What is this?")]),
        Message("assistant", [TextPart("Let me see."), CALL]),
        Message("tool", [ToolResultPart("c1", (TextPart("rain"),), error=True)]),
    ]
    request = ChatRequest(messages=messages, sampling=Sampling())
    body = chat_body(request, ServedModel(id="m"), lambda image: b"png")
    image, text = body["messages"][0]["content"]
    assert image == {"type": "image_url", "image_url": {"url": "data:image/png;base64,cG5n"}}
    assert text == {"type": "text", "text": "What is this?"}
    assert body["messages"][1]["tool_calls"][0]["function"]["arguments"] == CALL.arguments
    assert body["messages"][2] == {"role": "tool", "tool_call_id": "c1", "content": "Error: rain"}


async def test_missing_ability_is_refused_with_a_message() -> None:
    async with serving(WELL) as server, engine_of(endpoint_at(server.port)) as engine:
        *_, end = await events_of(engine, asking(grammar=REGEX))
    assert isinstance(end, RequestFailed)
    assert end.title == "This model does not accept a reply format"
    assert not server.chats


async def test_limit_beyond_the_context_is_left_to_the_server() -> None:
    async def answer(asked: Asked, writer: asyncio.StreamWriter) -> None:
        if "max_tokens" in asked.body:
            await send_json(writer, {"error": "max_tokens=2048 is too large"}, "400 Bad Request")
        else:
            await WELL(asked, writer)

    async with serving(answer) as server, engine_of(endpoint_at(server.port)) as engine:
        reply = await collect(engine, await model_of(engine), asking())
    assert reply.text == "Hello there"
    assert ["max_tokens" in each.body for each in server.chats] == [True, False]
