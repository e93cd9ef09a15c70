"""Prompts that go on from more than a window of tokens begin with none of what the prefix cache holds."""

from __future__ import annotations

from spnl_tui.engine.mistralrs.cache.cache_reuse import AGAIN, as_read
from spnl_tui.engine.mistralrs.runner.windows import apart_from_cache, outgrows
from spnl_tui.models.request import Message

TALK = tuple(
    Message(role, f"{role} {number}")  # type: ignore[arg-type]  # a loop over its literals
    for number, role in enumerate(("system", "user", "assistant", "user", "assistant", "user"))
)


def test_template_tokens_count_towards_the_window() -> None:
    assert not outgrows([10, 10], None)
    assert not outgrows([200, 216], 512)
    assert outgrows([200, 217], 512)


def test_prompt_continues_from_the_cache_until_the_window_is_full() -> None:
    counts = [1, 100, 100, 100, 100, 100]
    assert apart_from_cache(TALK, counts, 1000) == TALK
    # The first reply ended at 201 tokens, and what the template adds; the second at 401.
    changed = apart_from_cache(TALK, counts, 400)
    assert [message.text.startswith(AGAIN) for message in changed] == [
        False,
        False,
        False,
        True,
        False,
        False,
    ]
    changed = apart_from_cache(TALK, counts, 200)
    assert [message.text.startswith(AGAIN) for message in changed] == [
        False,
        True,
        False,
        True,
        False,
        False,
    ]
    assert as_read(changed[1].text) == "\nuser 1"


def test_continued_reply_was_in_the_cache() -> None:
    changed = apart_from_cache(TALK[:5], [1, 100, 100, 100, 100], 400)
    assert changed[3].text.startswith(AGAIN)
    assert changed[4] == TALK[4]
