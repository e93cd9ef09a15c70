"""OpenAI's API over an engine without a model: replies, streams, and refusals by name."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from spnl_tui.engine.backend import (
    Capabilities,
    Event,
    ModelHandle,
    ReplyChunk,
    ReplyFinished,
    RequestFailed,
    Usage,
)
from spnl_tui.engine.service import EngineService
from spnl_tui.models.parts import ImagePart, ToolCallPart, ToolResultPart
from tests.support.echo_backend import EchoBackend
from tests.support.http_server import ReplayBackend, running_server

ASK = {"messages": [{"role": "user", "content": "one two three"}]}
CALL = ToolCallPart("c1", "weather", '{"city": "Oslo"}')
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
ABLE = ModelHandle(
    name="able", backend="replay", capabilities=Capabilities(grammars=True, tools=True, vision=True)
)


def lines_of(text: str) -> list[Any]:
    """Return the data of server-sent events; the last must be [DONE]."""
    data = [line.removeprefix("data: ") for line in text.split("\n\n") if line.startswith("data: ")]
    assert data.pop() == "[DONE]"
    return [json.loads(each) for each in data]


async def test_chat_returns_the_reply_and_its_usage() -> None:
    async with running_server() as server:
        status, body = await server.post("/v1/chat/completions", {**ASK, "model": "m", "n": 2})
    assert status == 200
    assert [each["message"]["content"] for each in body["choices"]] == ["one two three"] * 2
    assert body["choices"][1]["index"] == 1
    assert body["choices"][0]["finish_reason"] == "stop"
    assert body["usage"] == {"prompt_tokens": 3, "completion_tokens": 6, "total_tokens": 9}


async def test_stream_has_roles_pieces_ends_and_usage() -> None:
    async with running_server() as server:
        body = {**ASK, "n": 2, "stream": True, "stream_options": {"include_usage": True}}
        response = await server.client.post("/v1/chat/completions", json=body)
    assert response.headers["content-type"].startswith("text/event-stream")
    *chunks, usage = lines_of(response.text)
    for number in range(2):
        own = [chunk["choices"][0] for chunk in chunks if chunk["choices"][0]["index"] == number]
        assert own[0]["delta"] == {"role": "assistant", "content": ""}
        assert "".join(each["delta"].get("content", "") for each in own) == "one two three"
        assert [each["finish_reason"] for each in own if each["finish_reason"]] == ["stop"]
    assert usage["choices"] == []
    assert usage["usage"]["total_tokens"] == 9


async def test_thoughts_and_tool_calls_are_passed_on() -> None:
    steps: list[Event] = [
        ReplyChunk(reasoning="hm"),
        ReplyChunk(text="Let me look."),
        ReplyChunk(tool_calls=(CALL,)),
        ReplyFinished(finish_reason="tool_calls", usage=Usage(prompt_tokens=4, completion_tokens=2)),
    ]
    engine = ReplayBackend(*steps)
    asked = {
        "tools": [TOOL],
        "tool_choice": {"type": "function", "function": {"name": "weather"}},
        "messages": [
            {"role": "developer", "content": "Be brief."},
            {"role": "assistant", "content": None, "tool_calls": [
                {"id": "c0", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
            ]},
            {"role": "tool", "tool_call_id": "c0", "content": "rain"},
        ],
    }  # fmt: skip
    async with running_server(engine, ABLE) as server:
        _, body = await server.post("/v1/chat/completions", asked)
        streamed = await server.client.post("/v1/chat/completions", json={**asked, "stream": True})
    message = body["choices"][0]["message"]
    assert message["reasoning_content"] == "hm"
    function = {"name": "weather", "arguments": '{"city": "Oslo"}'}
    assert message["tool_calls"] == [{"id": "c1", "type": "function", "function": function}]
    assert body["choices"][0]["finish_reason"] == "tool_calls"
    deltas = [chunk["choices"][0]["delta"] for chunk in lines_of(streamed.text)]
    assert {"reasoning_content": "hm"} in deltas
    calls = [call for delta in deltas for call in delta.get("tool_calls", ())]
    assert calls == [{"index": 0, "id": "c1", "type": "function", "function": function}]
    request = engine.requests[0]
    assert request.tool_choice == "required"
    assert [tool.name for tool in request.tools] == ["weather"]
    assert [message.role for message in request.messages] == ["system", "assistant", "tool"]
    assert isinstance(request.messages[2].content[0], ToolResultPart)


async def test_options_reach_the_engine() -> None:
    engine = ReplayBackend.saying("{}")
    body = {
        **ASK,
        "temperature": 0, "top_p": 0.5, "top_k": -1, "seed": 7, "stop": "END", "max_completion_tokens": 9,
        "reasoning_effort": "none",
        "response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "object"}}},
    }  # fmt: skip
    async with running_server(engine, ABLE) as server:
        status, _ = await server.post("/v1/chat/completions", body)
    assert status == 200
    (request,) = engine.requests
    sampling = request.sampling
    assert (sampling.temperature, sampling.top_p, sampling.top_k) == (0, 0.5, None)
    assert (sampling.seed, sampling.stop, sampling.max_tokens) == (7, ("END",), 9)
    assert request.thinking is False
    assert request.grammar is not None
    assert json.loads(request.grammar.text) == {"type": "object"}


async def test_image_in_a_message_is_stored_and_named() -> None:
    kept: list[tuple[bytes, str]] = []

    def keep(data: bytes, media_type: str) -> ImagePart:
        kept.append((data, media_type))
        return ImagePart("0" * 64, media_type, len(data))

    engine = ReplayBackend.saying("A cat.")
    url = "data:image/png;base64," + base64.b64encode(b"pixels").decode()
    content = [{"type": "text", "text": "What?"}, {"type": "image_url", "image_url": {"url": url}}]
    async with running_server(engine, ABLE, keep_image=keep) as server:
        status, _ = await server.post(
            "/v1/chat/completions", {"messages": [{"role": "user", "content": content}]}
        )
    assert status == 200
    assert kept == [(b"pixels", "image/png")]
    assert isinstance(engine.requests[0].messages[0].content[1], ImagePart)


async def test_completions_continue_each_prompt() -> None:
    engine = ReplayBackend.saying("b")
    engine_can = ModelHandle(name="m", backend="replay", capabilities=Capabilities(continues_text=True))
    async with running_server(engine, engine_can) as server:
        status, body = await server.post("/v1/completions", {"prompt": "a", "echo": True})
    assert status == 200
    assert body["object"] == "text_completion"
    assert body["choices"][0]["text"] == "ab"


async def test_models_tokens_and_descriptions_are_served() -> None:
    async with running_server() as server:
        models = (await server.client.get("/v1/models")).json()
        one = (await server.client.get("/v1/models/m")).json()
        _, tokens = await server.post("/tokenize", {"prompt": "a b c"})
        health = await server.client.get("/health")
        document = (await server.client.get("/openapi.json")).json()
        metrics = (await server.client.get("/metrics")).text
    assert [each["id"] for each in models["data"]] == ["echo"]
    assert (one["id"], one["object"]) == ("echo", "model")
    assert tokens == {"count": 3, "max_model_len": 4096}
    assert health.status_code == 200
    assert "/v1/chat/completions" in document["paths"]
    assert 'spnl_requests_total{path="/tokenize",status="200"} 1' in metrics


REFUSED: list[tuple[str, Any, int, str]] = [
    ("/v1/chat/completions", {}, 400, "messages"),
    ("/v1/chat/completions", {"messages": []}, 400, "messages"),
    ("/v1/chat/completions", {"messages": [{"role": "king", "content": "x"}]}, 400, "role"),
    ("/v1/chat/completions", {"messages": [{"role": "user", "content": [{"type": "video"}]}]}, 400, "type"),
    ("/v1/chat/completions", {**ASK, "n": 0}, 400, "n must"),
    ("/v1/chat/completions", {**ASK, "n": "2"}, 400, "n must"),
    ("/v1/chat/completions", {**ASK, "temperature": 9}, 400, "temperature"),
    ("/v1/chat/completions", {**ASK, "max_tokens": 0}, 400, "max_tokens"),
    ("/v1/chat/completions", {**ASK, "logprobs": True}, 400, "logprobs"),
    ("/v1/chat/completions", {**ASK, "model": "gpt-4o"}, 404, "gpt-4o"),
    ("/v1/chat/completions", {**ASK, "response_format": {"type": "xml"}}, 400, "response_format"),
    ("/v1/chat/completions", {**ASK, "tools": [TOOL]}, 400, "tools"),
    ("/v1/chat/completions", {**ASK, "tool_choice": "all"}, 400, "tool_choice"),
    ("/v1/chat/completions", {**ASK, "stop": [1]}, 400, "stop"),
    ("/v1/completions", {"prompt": "x"}, 400, "continue a text"),
    ("/v1/completions", {"prompt": [1, 2]}, 400, "prompt"),
    ("/v1/embeddings", {"input": "x"}, 404, "embeddings"),
    ("/tokenize", {}, 400, "prompt"),
    ("/tokenize", [], 400, "object"),
    ("/nowhere", {}, 404, "/nowhere"),
    ("/health", {}, 405, "POST"),
]  # fmt: skip


async def test_wrong_requests_are_refused_in_the_shape_of_openai() -> None:
    async with running_server(EngineService([EchoBackend()])) as server:
        for path, body, expected, word in REFUSED:
            status, answer = await server.post(path, body)
            assert (status, set(answer["error"])) == (expected, {"message", "type", "param", "code"}), body
            assert word in answer["error"]["message"], answer


@pytest.mark.parametrize("half", [rb"\ud800", b"\xed\xa0\x80"], ids=["escaped", "raw"])
async def test_lone_surrogate_is_refused_as_a_wrong_request(half: bytes) -> None:
    async with running_server() as server:
        body = b'{"messages": [{"role": "user", "content": "' + half + b'"}]}'
        response = await server.client.post("/v1/chat/completions", content=body)
        whole = await server.client.post("/v1/chat/completions", content=body.replace(half, rb"\ud83d\ude00"))
    assert (response.status_code, whole.status_code) == (400, 200)
    assert "surrogate" in response.json()["error"]["message"]


async def test_remote_image_is_not_fetched() -> None:
    content = [{"type": "image_url", "image_url": {"url": "http://169.254.169.254/secret"}}]
    async with running_server() as server:
        status, body = await server.post(
            "/v1/chat/completions", {"messages": [{"role": "user", "content": content}]}
        )
    assert status == 400
    assert "data: URL" in body["error"]["message"]


@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [("context", 400, "context_length_exceeded"), ("load", 503, None), ("internal", 500, None)],
)
async def test_failure_before_the_first_piece_has_its_status(
    kind: Any, status: int, code: str | None
) -> None:
    failed = RequestFailed(kind=kind, title="It failed", message="Because.", hint="Do this.")
    async with running_server(ReplayBackend(failed), ABLE) as server:
        for stream in (False, True):
            answered, body = await server.post("/v1/chat/completions", {**ASK, "stream": stream})
            assert (answered, body["error"]["code"]) == (status, code)
            assert body["error"]["message"] == "It failed. Because. Do this."


async def test_failure_in_a_stream_is_its_last_event() -> None:
    failed = RequestFailed(kind="internal", title="The runner died")
    async with running_server(ReplayBackend(ReplyChunk(text="a"), failed), ABLE) as server:
        response = await server.client.post("/v1/chat/completions", json={**ASK, "stream": True})
    assert response.status_code == 200
    last = response.text.strip().split("\n\n")[-1]
    assert json.loads(last.removeprefix("data: "))["error"]["message"] == "The runner died."
