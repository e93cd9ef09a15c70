"""Several replies to one prompt weighed by a model: which is the best, or one made of all of them.

Both are queries that make one request. What a query cannot say is how the reply must look: the judge's is
held to a JSON schema by the engine, so that even a very small model gives a verdict that can be read.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from spnl_tui.errors import QueryError
from spnl_tui.models.request import Grammar
from spnl_tui.queries.tree import Cross, Generate, Message

_REASON_LENGTH = 300
"""Characters. A small model would never come to its end by itself."""
_VERDICT_TOKENS = 400


@dataclass(frozen=True, slots=True)
class Verdict:
    """Which reply is the best, and why."""

    best: int
    """Its place among the replies, from 0."""
    reason: str


def judge_query(model: str, prompt: str, replies: Sequence[str], criteria: str) -> Generate:
    """Asks which of the replies to the prompt is the best by these criteria. Greedy."""
    system = (
        "You compare replies to the same prompt. Judge them only by the criteria that you are given. "
        'Answer with JSON: {"reason": why the best one is better than the others, in one or two sentences, '
        '"best": its number}.'
    )
    question = f"{_listed(prompt, replies)}\n\nCriteria: {criteria}\n\nWhich reply is the best?"
    return Generate(
        model, Cross((Message("system", system), Message("user", question))), 0.0, _VERDICT_TOKENS
    )


def verdict_grammar(count: int) -> Grammar:
    """Constrains the reply to a verdict on this many replies."""
    schema = {
        "type": "object",
        # In this order: a model that has written its reasons down chooses better.
        "properties": {
            "reason": {"type": "string", "minLength": 20, "maxLength": _REASON_LENGTH},
            "best": {"type": "integer", "enum": list(range(1, count + 1))},
        },
        "required": ["reason", "best"],
        "additionalProperties": False,
    }
    return Grammar("json_schema", json.dumps(schema))


def read_verdict(text: str, count: int) -> Verdict:
    """The verdict that a judge gave on this many replies.

    Raises:
        QueryError: it is none, since the reply was cut off, or the engine did not hold to the grammar.
    """
    try:
        answer = json.loads(text)
        best, reason = answer["best"], answer["reason"]
    except (ValueError, LookupError, TypeError):
        best, reason = None, ""
    if not isinstance(best, int) or not 1 <= best <= count or not isinstance(reason, str):
        raise QueryError(
            "The judge gave no verdict", f"It said: {text.strip()[:200] or 'nothing'}", "Judge again."
        )
    return Verdict(best - 1, " ".join(reason.split()))


def merge_query(model: str, prompt: str, replies: Sequence[str], *, system: str = "") -> Generate:
    """Asks for one reply that has the best of these. `system` is the chat's own system prompt."""
    task = "Write one reply to the prompt that joins what is best in these. Answer with that reply alone."
    question = Message("user", f"{_listed(prompt, replies)}\n\n{task}")
    return Generate(model, Cross((Message("system", system), question)) if system.strip() else question)


def _listed(prompt: str, replies: Sequence[str]) -> str:
    numbered = (f"Reply {number}:\n{reply.strip()}" for number, reply in enumerate(replies, 1))
    return "\n\n".join((f"Prompt:\n{prompt.strip()}", *numbered))
