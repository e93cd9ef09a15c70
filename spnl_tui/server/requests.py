"""Bodies of OpenAI's API as requests to the engine (https://platform.openai.com/docs/api-reference)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from spnl_tui.engine.backend import ChatRequest, CompletionRequest
from spnl_tui.errors import SpnlError
from spnl_tui.models.request import Grammar, Sampling
from spnl_tui.models.tools import Tool, ToolChoice
from spnl_tui.server.errors import ApiError, api_error
from spnl_tui.server.fields import need, take, texts
from spnl_tui.server.messages import KeepImage, read_messages

MOST_CANDIDATES = 64
MOST_STOPS = 16
_WITHOUT_EFFECT = ("logit_bias", "logprobs", "top_logprobs", "functions", "function_call", "audio", "suffix")
"""Fields that would change the reply, and that no backend has. They are refused unless they are empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyOptions:
    """The form in which the reply is sent."""

    stream: bool = False
    include_usage: bool = False
    """A stream ends with the usage."""
    prefixes: tuple[str, ...] = ()
    """The beginning of each completion."""


def chat_request(body: Mapping[str, Any], defaults: Sampling, keep_image: KeepImage | None) -> ChatRequest:
    """Return the request in the body of /v1/chat/completions. Blocking if it holds images.

    Raises:
        ApiError: it is malformed or asks for something that no model here does.
    """
    _refuse_without_effect(body)
    messages = read_messages(need(body, "messages", list), keep_image)
    tools, tool_choice = _tools(body)
    try:
        return ChatRequest(
            messages=messages,
            sampling=_sampling(body, defaults),
            n=_count(body, "n"),
            thinking=_thinking(body),
            grammar=_grammar(body),
            tools=tools,
            tool_choice=tool_choice,
            continue_reply=take(body, "continue_final_message", bool, False),
        )
    except SpnlError as error:
        raise api_error(error) from error


def completion_request(body: Mapping[str, Any], defaults: Sampling) -> CompletionRequest:
    """Return the request in the body of /v1/completions: each prompt `n` times.

    Raises:
        ApiError: it is malformed or asks for something that no model here does.
    """
    _refuse_without_effect(body)
    prompts = texts(body, "prompt")
    if not prompts:
        raise ApiError(400, "prompt is missing.", param="prompt")
    inputs = tuple(prompt for prompt in prompts for _ in range(_count(body, "n")))
    if len(inputs) > MOST_CANDIDATES:
        raise ApiError(400, f"At most {MOST_CANDIDATES} completions at once.", param="prompt")
    try:
        return CompletionRequest(inputs=inputs, sampling=_sampling(body, defaults), grammar=_grammar(body))
    except SpnlError as error:
        raise api_error(error) from error


def reply_options(body: Mapping[str, Any], inputs: tuple[str, ...] = ()) -> ReplyOptions:
    """Return how the reply is sent. `inputs` are the texts of a completion, which may be echoed.

    Raises:
        ApiError: a field has the wrong type.
    """
    options = take(body, "stream_options", dict, {})
    prefixes = inputs if take(body, "echo", bool, False) else ()
    return ReplyOptions(
        stream=take(body, "stream", bool, False),
        include_usage=take(options, "include_usage", bool, False),
        prefixes=prefixes,
    )


def _refuse_without_effect(body: Mapping[str, Any]) -> None:
    for name in _WITHOUT_EFFECT:
        if body.get(name):
            raise ApiError(400, f"{name} is not supported.", param=name, code="unsupported_parameter")


def _count(body: Mapping[str, Any], name: str) -> int:
    count = take(body, name, int, 1)
    if not 1 <= count <= MOST_CANDIDATES:
        raise ApiError(400, f"{name} must be from 1 to {MOST_CANDIDATES}.", param=name)
    return count


def _sampling(body: Mapping[str, Any], defaults: Sampling) -> Sampling:
    stop = tuple(each for each in texts(body, "stop") if each)
    if len(stop) > MOST_STOPS:
        raise ApiError(400, f"At most {MOST_STOPS} stop sequences.", param="stop")
    given: dict[str, Any] = {
        name: take(body, name, float)
        for name in (
            "temperature", "top_p", "min_p", "repetition_penalty", "frequency_penalty", "presence_penalty"
        )
    }  # fmt: skip
    top_k = take(body, "top_k", int)
    max_tokens = take(body, "max_completion_tokens", int)
    given |= {
        "top_k": None if top_k in (-1, 0) else top_k,  # vLLM and llama.cpp write "all tokens" like this
        "max_tokens": take(body, "max_tokens", int) if max_tokens is None else max_tokens,
        "stop": stop or None,
        "seed": take(body, "seed", int),
    }
    return replace(defaults, **{name: value for name, value in given.items() if value is not None})


def _thinking(body: Mapping[str, Any]) -> bool | None:
    """Read `chat_template_kwargs.enable_thinking` of vLLM, or else OpenAI's `reasoning_effort`."""
    chosen = take(take(body, "chat_template_kwargs", dict, {}), "enable_thinking", bool)
    if chosen is None and (effort := take(body, "reasoning_effort", str)) is not None:
        chosen = effort != "none"
    return chosen


def _grammar(body: Mapping[str, Any]) -> Grammar | None:
    form = take(body, "response_format", dict, {})
    match form.get("type", "text"):
        case "text":
            return None
        case "json_object":
            return Grammar("json_schema", '{"type": "object"}')
        case "json_schema":
            schema = need(take(form, "json_schema", dict, {}), "schema", dict, "response_format.json_schema.")
            return Grammar("json_schema", json.dumps(schema))
    raise ApiError(
        400,
        "response_format.type must be text, json_object or json_schema.",
        param="response_format.type",
    )


def _tools(body: Mapping[str, Any]) -> tuple[tuple[Tool, ...], ToolChoice]:
    tools = []
    for number, each in enumerate(take(body, "tools", list, [])):
        at = f"tools[{number}]."
        if not isinstance(each, dict) or not isinstance(function := each.get("function"), dict):
            raise ApiError(400, f"{at}function must be an object.", param=f"{at}function")
        name = need(function, "name", str, f"{at}function.")
        schema = take(function, "parameters", dict, {"type": "object", "properties": {}})
        try:
            tools.append(
                Tool(
                    name=name,
                    description=take(function, "description", str, ""),
                    parameters=json.dumps(schema),
                )
            )
        except SpnlError as error:
            raise api_error(error, f"{at}function") from error
    return _choose(tuple(tools), body.get("tool_choice"))


def _choose(tools: tuple[Tool, ...], choice: Any) -> tuple[tuple[Tool, ...], ToolChoice]:
    if choice in (None, "auto", "none", "required"):
        return tools, choice or "auto"
    function = choice.get("function") if isinstance(choice, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    named = tuple(tool for tool in tools if tool.name == name)
    if not named:
        raise ApiError(
            400, "tool_choice must be auto, none, required or one of the tools.", param="tool_choice"
        )
    return named, "required"
