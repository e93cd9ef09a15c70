"""A reply as it is followed, from chunks like those of mistral.rs."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from spnl_tui.engine.backend import Timing
from spnl_tui.engine.mistralrs.runner import reply_stream
from spnl_tui.engine.mistralrs.runner.reply_stream import follow


def chunk(text: str, *, last: bool = False) -> Any:
    delta = SimpleNamespace(content=text, reasoning_content=None)
    usage = SimpleNamespace(prompt_tokens=9, completion_tokens=3) if last else None
    choice = SimpleNamespace(delta=delta, finish_reason="stop" if last else None)
    return SimpleNamespace(choices=[choice], usage=usage)


class Clock:
    """Stands still until it is set on."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(reply_stream, "time", clock)
    return clock


def timing_of(clock: Clock, *chunks: Any) -> Timing:
    """Of a prompt that is read in half a second, and then a chunk each second."""
    started = clock.now
    clock.now += 0.5

    def stream() -> Iterator[Any]:
        for chunk in chunks:
            yield chunk
            clock.now += 1.0

    return follow(stream, lambda event: None, lambda: False, started=started).finished.timing


def test_empty_reply_has_a_prefill_time(clock: Clock) -> None:
    """A base model may end at once, or begin with half a character."""
    timing = timing_of(clock, chunk("", last=True))
    assert timing.prefill_s == 0.5
    assert timing.ttft_s is None


def test_tokens_without_text_count_for_the_speed(clock: Clock) -> None:
    timing = timing_of(clock, chunk(""), chunk(""), chunk("é", last=True))
    assert timing.prefill_s == 0.5
    assert timing.ttft_s == 2.5
    assert timing.decode_tokens_per_s == pytest.approx(2 / 3)


@pytest.mark.parametrize(("end", "shown"), [("length", "a 😀"), ("stop", "a 😀\ufffd")])
def test_part_of_a_character_at_the_length_limit_is_dropped(end: str, shown: str) -> None:
    """Bytes of another emoji are left when the reply is cut off; a character that a model wrote stays."""
    said: list[str] = []
    last = chunk("😀\ufffd", last=True)
    last.choices[0].finish_reason = end
    ended = follow(
        lambda: iter([chunk("a "), last]), lambda event: said.append(event.text), lambda: False, started=0
    )
    assert "".join(said) == shown
    assert ended.finished.finish_reason == end
