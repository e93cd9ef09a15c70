"""Detects problems of a finished reply: it has no text, or not the requested format."""

from __future__ import annotations

import json
from typing import Literal

from spnl_tui.errors import RequestError
from spnl_tui.models.request import Grammar, Sampling


def reply_problem(
    text: str,
    *,
    thought: bool,
    finish_reason: Literal["stop", "length", "cancelled", "tool_calls"],
    completion_tokens: int,
    sampling: Sampling,
    grammar: Grammar | None = None,
) -> RequestError | None:
    """Return the error for a finished reply; None if the reply can be used.

    `thought` is True if the model has thought. A reply that the user cancelled or that calls tools is never
    an error.
    """
    if finish_reason in ("cancelled", "tool_calls"):
        return None
    limit, remedy = _limit(completion_tokens, sampling)
    cut = finish_reason == "length"
    if not text.strip():
        if cut:
            doing = "the model was still thinking" if thought else "the model had written no text"
            hint = f"{remedy}, or turn thinking off: [chat] thinking = false." if thought else f"{remedy}."
            return RequestError("The reply has no text", f"At {limit}, {doing}.", hint)
        if thought:
            return RequestError(
                "The reply has no text",
                "The model thought and then ended the reply.",
                "Ask again, or turn thinking off: [chat] thinking = false.",
            )
        return RequestError(
            "The reply has no text", "The model ended it at once.", "Ask again, or change the prompt."
        )
    if grammar is None:
        return None
    if cut:
        return RequestError(
            "The reply is incomplete",
            f"It was cut off at {limit}, before it matched the required format.",
            f"{remedy}, or limit the format: maxLength and maxItems in a schema, {{1,9}} in a regex.",
        )
    if grammar.kind == "json_schema" and not _is_json(text):
        return RequestError(
            "The reply is not JSON",
            "It ended before the JSON was complete.",
            "Omit --stop, or choose stop texts that cannot occur in the JSON.",
        )
    return None


def _limit(completion_tokens: int, sampling: Sampling) -> tuple[str, str]:
    """Return the limit that cut a reply, and the remedy."""
    if completion_tokens < sampling.max_tokens:
        return "the end of the context", "Shorten the prompt, or raise [context] length"
    return f"max_tokens ({sampling.max_tokens:,})", "Raise --max-tokens"


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
