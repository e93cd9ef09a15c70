"""Converts requests to the JSON that each kind of server expects."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from spnl_tui.engine.backend import ChatRequest, CompletionRequest
from spnl_tui.engine.endpoint.facts import ServedModel
from spnl_tui.engine.endpoint.messages import ReadImage, ollama_messages, openai_messages
from spnl_tui.models.request import Grammar, Message, Sampling

_REASONING_MODEL = re.compile(r"o\d|gpt-5", re.IGNORECASE)
"""OpenAI's models that refuse temperature, top_p and penalties."""
MOST_STOPS = 4
"""The most stop sequences that OpenAI accepts."""

LIMITS = ("max_tokens", "max_completion_tokens")
"""The fields that limit the length of a reply."""

_EXTENSIONS: Mapping[str, Mapping[str, str]] = {
    "vllm": {"top_k": "top_k", "min_p": "min_p", "repetition_penalty": "repetition_penalty"},
    "spnl": {"top_k": "top_k", "min_p": "min_p", "repetition_penalty": "repetition_penalty"},
    "mistralrs": {"top_k": "top_k", "min_p": "min_p", "repetition_penalty": "repetition_penalty"},
    "llamacpp": {"top_k": "top_k", "min_p": "min_p", "repetition_penalty": "repeat_penalty"},
    "llamacpp-python": {"top_k": "top_k", "min_p": "min_p", "repetition_penalty": "repeat_penalty"},
    "lmstudio": {"top_k": "top_k", "min_p": "min_p", "repetition_penalty": "repeat_penalty"},
    "ollama": {"top_k": "top_k", "min_p": "min_p", "repetition_penalty": "repeat_penalty"},
}
"""Each server's names for sampling parameters that OpenAI lacks. Servers not listed here refuse unknown
fields."""
_COMMON = ("temperature", "top_p", "frequency_penalty", "presence_penalty", "seed")


def chat_body(
    request: ChatRequest, model: ServedModel, read_image: ReadImage, *, n: int = 1, candidate: int = 0
) -> dict[str, Any]:
    """Return the body for a streamed chat. Blocks if there are images.

    Raises:
        SpnlError: an image cannot be read.
    """
    messages = _with_begun_thought(request)
    if model.server == "ollama":
        return _ollama_chat(request, model, ollama_messages(messages, read_image), candidate)
    body: dict[str, Any] = {
        "model": model.id,
        "messages": openai_messages(messages, read_image),
        "stream": True,
        "stream_options": {"include_usage": True},
        **sampling_fields(request.sampling, model, candidate),
        **_format_fields(request.grammar, model.server),
    }
    if n > 1:
        body["n"] = n
    if request.tools:
        body["tools"] = [tool.as_function() for tool in request.tools]
        body["tool_choice"] = request.tool_choice
    if request.continue_reply and model.server in ("vllm", "spnl"):
        body["continue_final_message"] = True
        body["add_generation_prompt"] = False
    if request.thinking is not None and model.server in ("vllm", "llamacpp", "lmstudio", "spnl", "mistralrs"):
        body["chat_template_kwargs"] = {"enable_thinking": request.thinking}
    return body


def completion_body(request: CompletionRequest, model: ServedModel, number: int) -> dict[str, Any]:
    """Return the body for the continuation of one of the texts."""
    text = request.inputs[number]
    if model.server == "ollama":
        return {
            "model": model.id, "prompt": text, "raw": True, "stream": True,
            "options": _ollama_options(request.sampling, model, number),
            **_ollama_format(request.grammar),
        }  # fmt: skip
    return {
        "model": model.id,
        "prompt": text,
        "stream": True,
        "stream_options": {"include_usage": True},
        **sampling_fields(request.sampling, model, number),
        **_format_fields(request.grammar, model.server),
    }


def _with_begun_thought(request: ChatRequest) -> list[Message]:
    """Return the messages, with the unfinished thought as the start of the reply."""
    if not request.begun_thought:
        return list(request.messages)
    return [*request.messages, Message("assistant", f"<think>\n{request.begun_thought}")]


# ── sampling ─────────────────────────────────────────────────────────────────────────────────────


def sampling_fields(sampling: Sampling, model: ServedModel, candidate: int = 0) -> dict[str, Any]:
    """Return the sampling parameters that the server knows, under its names. Each candidate gets its own
    seed."""
    sampling = _own_seed(sampling, candidate)
    at_openai = model.server == "openai"
    fields = {name: getattr(sampling, name) for name in _COMMON}
    if at_openai and _REASONING_MODEL.match(model.id):
        fields = {"seed": sampling.seed}
    if model.server == "gemini":
        fields.pop("seed", None)
    for name, theirs in _EXTENSIONS.get(model.server, {}).items():
        fields[theirs] = getattr(sampling, name)
    fields["max_completion_tokens" if at_openai else "max_tokens"] = sampling.max_tokens
    if sampling.stop and not (at_openai and _REASONING_MODEL.match(model.id)):
        fields["stop"] = list(sampling.stop[: MOST_STOPS if at_openai else None])
    return {name: value for name, value in fields.items() if value is not None}


def ignored_parameters(sampling: Sampling, server: str) -> tuple[str, ...]:
    """Return the parameters that are set but unknown to the server."""
    known = _EXTENSIONS.get(server, {})
    return tuple(
        name
        for name in ("top_k", "min_p", "repetition_penalty")
        if name not in known and getattr(sampling, name) is not None
    )


def _own_seed(sampling: Sampling, candidate: int) -> Sampling:
    if sampling.seed is None or not candidate:
        return sampling
    return replace(sampling, seed=(sampling.seed + candidate) % 2**63)


# ── formats ──────────────────────────────────────────────────────────────────────────────────────


def _format_fields(grammar: Grammar | None, server: str) -> dict[str, Any]:
    """Return the fields that make this server restrict a reply to the grammar.

    Sources: docs.vllm.ai/en/latest/features/structured_outputs, llama.cpp's tools/server/README.md,
    llama-cpp-python's docs/server.md, mistral.rs' docs/HTTP.md.
    """
    if grammar is None:
        return {}
    if grammar.kind == "json_schema":
        schema = json.loads(grammar.text)
        if server == "llamacpp-python":
            return {"response_format": {"type": "json_object", "schema": schema}}
        named = {"name": "reply", "schema": schema, "strict": _is_strict(schema)}
        return {"response_format": {"type": "json_schema", "json_schema": named}}
    if server == "mistralrs":
        return {"grammar": {"type": grammar.kind, "value": grammar.text}}
    return {"structured_outputs": {"regex" if grammar.kind == "regex" else "grammar": grammar.text}}


def _is_strict(schema: Any) -> bool:
    """True if OpenAI's strict mode accepts the schema: every object lists its properties and requires them
    all."""
    if isinstance(schema, list):
        return all(_is_strict(each) for each in schema)
    if not isinstance(schema, dict):
        return True
    if schema.get("type") == "object" and (
        schema.get("additionalProperties") is not False
        or set(schema.get("required", ())) != set(schema.get("properties", ()))
    ):
        return False
    return all(_is_strict(each) for each in schema.values())


# ── Ollama ───────────────────────────────────────────────────────────────────────────────────────


def _ollama_chat(
    request: ChatRequest, model: ServedModel, messages: list[dict[str, Any]], candidate: int
) -> dict[str, Any]:
    body: dict[str, Any] = {
        "model": model.id,
        "messages": messages,
        "stream": True,
        "options": _ollama_options(request.sampling, model, candidate),
        **_ollama_format(request.grammar),
    }
    if request.tools and request.tool_choice != "none":
        body["tools"] = [tool.as_function() for tool in request.tools]
    if request.thinking is not None and model.has("thinking"):
        body["think"] = request.thinking
    return body


def _ollama_options(sampling: Sampling, model: ServedModel, candidate: int) -> dict[str, Any]:
    fields = sampling_fields(sampling, model, candidate)
    fields["num_predict"] = fields.pop("max_tokens")
    if model.wanted_context is not None:
        fields["num_ctx"] = model.wanted_context
    return fields


def _ollama_format(grammar: Grammar | None) -> dict[str, Any]:
    return {} if grammar is None else {"format": json.loads(grammar.text)}
