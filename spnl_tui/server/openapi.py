"""The OpenAPI document of the server (https://spec.openapis.org/oas/v3.1.0)."""

from __future__ import annotations

from importlib import metadata
from typing import Any

_PATHS = {
    "/v1/models": ("get", "List the models", ""),
    "/v1/models/{model}": ("get", "Show a model", ""),
    "/v1/chat/completions": ("post", "Reply to messages", "ChatRequest"),
    "/v1/completions": ("post", "Continue texts", "CompletionRequest"),
    "/v1/embeddings": ("post", "Compute embeddings, if a model for it is served", "EmbeddingRequest"),
    "/tokenize": ("post", "Count the tokens of a text", "TokenizeRequest"),
    "/health": ("get", "Say that the server runs", ""),
    "/metrics": ("get", "Counts in the text format of Prometheus", ""),
}
_TEXT, _FLAG, _NUMBER, _WHOLE, _OBJECT = (
    {"type": name} for name in ("string", "boolean", "number", "integer", "object")
)
_TEXTS = {"oneOf": [_TEXT, {"type": "array", "items": _TEXT}]}
_SAMPLING = {
    "model": _TEXT,
    "n": {"type": "integer", "minimum": 1, "maximum": 64},
    "stream": _FLAG,
    "stream_options": {"type": "object", "properties": {"include_usage": _FLAG}},
    "stop": _TEXTS,
    "seed": _WHOLE,
    "max_tokens": _WHOLE,
    "max_completion_tokens": _WHOLE,
    **dict.fromkeys(
        (
            "temperature", "top_p", "min_p", "repetition_penalty", "frequency_penalty", "presence_penalty"
        ),
        _NUMBER,
    ),
    "top_k": _WHOLE,
    "response_format": _OBJECT,
}  # fmt: skip
_SCHEMAS: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "ChatRequest": (
        ("messages",),
        {
            "messages": {"type": "array", "items": _OBJECT, "minItems": 1},
            "tools": {"type": "array", "items": _OBJECT},
            "tool_choice": {"oneOf": [_TEXT, _OBJECT]},
            "reasoning_effort": _TEXT,
            "chat_template_kwargs": {"type": "object", "properties": {"enable_thinking": _FLAG}},
            "continue_final_message": _FLAG,
            **_SAMPLING,
        },
    ),
    "CompletionRequest": (("prompt",), {"prompt": _TEXTS, "echo": _FLAG, **_SAMPLING}),
    "EmbeddingRequest": (("input",), {"model": _TEXT, "input": _TEXTS}),
    "TokenizeRequest": (("prompt",), {"model": _TEXT, "prompt": _TEXT}),
}


def document() -> dict[str, Any]:
    """Return the document."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "spnl-chat", "version": metadata.version("spnl-chat")},
        "security": [{"key": []}, {}],
        "paths": {path: {method: _operation(*rest)} for path, (method, *rest) in _PATHS.items()},
        "components": {
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
            "schemas": {
                name: {"type": "object", "required": list(required), "properties": properties}
                for name, (required, properties) in _SCHEMAS.items()
            },
        },
    }


def _operation(summary: str, schema: str) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "summary": summary,
        "responses": {"200": {"description": "Done"}, "default": {"description": "An error"}},
    }
    if schema:
        content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
        operation["requestBody"] = {"required": True, "content": content}
    return operation
