"""The server as the `openai` package uses it, and many clients that leave at random."""

from __future__ import annotations

import asyncio
import random

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types.chat import ChatCompletionFunctionToolParam, ChatCompletionUserMessageParam
from pydantic import BaseModel

from spnl_tui.engine.backend import Capabilities, ModelHandle, ReplyChunk, ReplyFinished, Usage
from spnl_tui.models.parts import ToolCallPart
from tests.support.echo_backend import EchoBackend
from tests.support.http_server import ReplayBackend, running_server
from tests.support.server_load import run_load

ABLE = ModelHandle(
    name="able",
    backend="replay",
    capabilities=Capabilities(grammars=True, tools=True, continues_text=True),
)
USER: ChatCompletionUserMessageParam = {"role": "user", "content": "Hello there"}


class Person(BaseModel):
    name: str
    age: int


async def test_openai_package_chats_streams_and_lists() -> None:
    async with running_server() as server, AsyncOpenAI(base_url=server.url, api_key="none") as client:
        reply = await client.chat.completions.create(model="m", messages=[USER], n=2)
        assert [choice.message.content for choice in reply.choices] == ["Hello there"] * 2
        assert reply.usage is not None
        assert reply.usage.completion_tokens == 4
        stream = await client.chat.completions.create(
            model="m",
            messages=[USER],
            stream=True,
            stream_options={"include_usage": True},
        )
        chunks = [chunk async for chunk in stream]
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        assert text == "Hello there"
        assert chunks[-1].usage is not None
        assert [model.id async for model in client.models.list()] == ["echo"]
        with pytest.raises(openai.NotFoundError, match="gpt-4o"):
            await client.chat.completions.create(model="gpt-4o", messages=[USER])
        with pytest.raises(openai.BadRequestError, match="temperature"):
            await client.chat.completions.create(model="m", messages=[USER], temperature=5)


async def test_openai_package_waits_for_nothing_but_the_key() -> None:
    async with running_server(key="right key") as server:

        def ask(key: str) -> str | None:
            with OpenAI(base_url=server.url, api_key=key, max_retries=0) as client:
                reply = client.chat.completions.create(model="m", messages=[USER])
                return reply.choices[0].message.content

        assert await asyncio.to_thread(ask, "right key") == "Hello there"
        with pytest.raises(openai.AuthenticationError):
            await asyncio.to_thread(ask, "wrong key")


async def test_openai_package_parses_schemas() -> None:
    engine = ReplayBackend.saying('{"name": "Ada", "age": 36}')
    async with (
        running_server(engine, ABLE) as server,
        AsyncOpenAI(base_url=server.url, api_key="-") as client,
    ):
        reply = await client.chat.completions.parse(
            model="able",
            messages=[USER],
            response_format=Person,
        )
        assert reply.choices[0].message.parsed == Person(name="Ada", age=36)
        text = await client.completions.create(model="able", prompt="Once")
        assert text.choices[0].text == '{"name": "Ada", "age": 36}'
    assert '"age"' in engine.requests[0].grammar.text


async def test_openai_package_collects_tool_calls_of_a_stream() -> None:
    engine = ReplayBackend(
        ReplyChunk(tool_calls=(ToolCallPart("c1", "weather", '{"city": "Oslo"}'),)),
        ReplyChunk(tool_calls=(ToolCallPart("c2", "weather", '{"city": "Rome"}'),)),
        ReplyFinished(finish_reason="tool_calls", usage=Usage(prompt_tokens=1, completion_tokens=1)),
    )
    tool: ChatCompletionFunctionToolParam = {
        "type": "function",
        "function": {"name": "weather", "parameters": {"type": "object"}},
    }
    async with (
        running_server(engine, ABLE) as server,
        AsyncOpenAI(base_url=server.url, api_key="-") as client,
        client.chat.completions.stream(
            model="able",
            messages=[USER],
            tools=[tool],
        ) as stream,
    ):
        final = await stream.get_final_completion()
    calls = final.choices[0].message.tool_calls or []
    assert [(call.id, call.function.arguments) for call in calls] == [
        ("c1", '{"city": "Oslo"}'),
        ("c2", '{"city": "Rome"}'),
    ]
    assert final.choices[0].finish_reason == "tool_calls"


@pytest.mark.slow
async def test_many_clients_that_leave_at_random_lose_and_repeat_nothing() -> None:
    async with running_server(EchoBackend(), max_requests=64) as server:
        outcome = await run_load(server.url, requests=200, connections=32, chance=random.Random(7))
        assert outcome.wrong == []
        assert outcome.complete + outcome.left == 200
        assert outcome.complete > 50
        assert server.api.running == 0
