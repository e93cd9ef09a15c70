"""Replies that cannot be used, and what the user reads about them."""

from __future__ import annotations

from typing import Any

import pytest

from spnl_tui.models.reply import reply_problem
from spnl_tui.models.request import Grammar, Sampling

SCHEMA = Grammar("json_schema", "{}")
REGEX = Grammar("regex", "a+")


def problem(text: str, **changes: Any) -> str:
    given: dict[str, Any] = {
        "thought": False,
        "finish_reason": "stop",
        "completion_tokens": 9,
        "sampling": Sampling(max_tokens=20),
    }
    return str(reply_problem(text, **{**given, **changes}) or "")


CUT = {"finish_reason": "length", "completion_tokens": 20}


@pytest.mark.parametrize(
    ("text", "changes", "says"),
    [
        (" \n", {}, "ended it at once"),
        ("", {"thought": True}, "thought and then ended"),
        ("", {"thought": True, **CUT}, "still thinking"),
        ("", {"thought": True, "grammar": REGEX}, "no text"),
        ("", {"grammar": REGEX}, "no text"),
        ("", {"thought": True, **CUT, "completion_tokens": 7}, "end of the context"),
        ('{"a": ', {**CUT, "grammar": SCHEMA}, "max_tokens (20)"),
        ('{"a": ', {"grammar": SCHEMA}, "not JSON"),
        ("aa", {**CUT, "grammar": REGEX}, "incomplete"),
    ],
)
def test_reply_that_cannot_be_used_has_a_reason(text: str, changes: dict[str, Any], says: str) -> None:
    assert says in problem(text, **changes)


@pytest.mark.parametrize(
    ("text", "changes"),
    [
        ("yes", {}),
        ("cut off", CUT),
        ("", {"finish_reason": "cancelled"}),
        ('{"a": 1}', {"grammar": SCHEMA}),
        ("aa", {"grammar": REGEX}),
    ],
)
def test_usable_reply_is_not_an_error(text: str, changes: dict[str, Any]) -> None:
    assert problem(text, **changes) == ""
