"""A reply as it is followed, from chunks like those of mistral.rs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

from spnl_tui.engine import protocol as wire
from spnl_tui.engine.following import follow


def chunk(text: str, *, last: bool = False) -> Any:
    delta = SimpleNamespace(content=text, reasoning_content=None)
    usage = SimpleNamespace(prompt_tokens=9, completion_tokens=3) if last else None
    choice = SimpleNamespace(delta=delta, finish_reason="stop" if last else None)
    return SimpleNamespace(choices=[choice], usage=usage)


def timing_of(chunks: Iterator[Any]) -> wire.Timing:
    """Of a prompt that was sent half a second ago."""
    started = time.monotonic() - 0.5
    return follow(
        lambda: chunks, lambda event: None, lambda: False, request_id=1, started=started
    ).finished.timing


def test_a_reply_of_nothing_has_a_prefill() -> None:
    """A base model may end at once, or begin with half a character."""
    timing = timing_of(iter([chunk("", last=True)]))
    assert timing.prefill_s is not None
    assert timing.prefill_s >= 0.5
    assert timing.ttft_s is None


def test_tokens_without_text_count_for_the_speed() -> None:
    def slowly() -> Iterator[Any]:
        for each in (chunk(""), chunk(""), chunk("é", last=True)):
            yield each
            time.sleep(0.05)

    timing = timing_of(slowly())
    assert timing.prefill_s is not None
    assert timing.ttft_s is not None
    assert timing.ttft_s >= timing.prefill_s + 0.1
    assert timing.decode_tokens_per_s is not None
    assert timing.decode_tokens_per_s <= 2 / 0.1
