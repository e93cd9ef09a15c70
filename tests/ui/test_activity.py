"""The status line's text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spnl_tui.chat.status import Activity, short, status_parts

FULL = Activity(
    model="bartowski/SmolLM2-135M-Instruct-GGUF:Q8_0",
    state="replying",
    tokens=1234,
    tokens_per_s=82.34,
    ttft_s=0.21,
    context_used=2345,
    context_length=8192,
)


def test_wide_terminal_shows_everything() -> None:
    left, right = status_parts(FULL, 3, 160)
    assert left == "bartowski/SmolLM2-135M-Instruct-GGUF:Q8_0 · replying"
    assert right == "1,234 tokens at 82.3/s · first after 0.2 s · context 2,345 of 8,192"


def test_narrow_terminal_drops_the_least_important_first() -> None:
    figures = "1,234 tokens at 82.3/s · ctx 2.3k/8.2k"
    assert status_parts(FULL, 3, 90) == ("SmolLM2-135M-Instruct-GGUF:Q8_0 · replying", figures)
    assert status_parts(FULL, 3, 78) == ("SmolLM2-135M-Instru… · replying", figures)
    assert status_parts(FULL, 3, 60) == ("SmolLM2-135M-Instru… · replying", "ctx 2.3k/8.2k")
    assert status_parts(FULL, 3, 20) == ("SmolLM2-… · replying", "")


@pytest.mark.parametrize(
    ("activity", "elapsed", "left"),
    [
        (Activity(state="no model"), 0, "no model"),
        (Activity(model="m", state="loading", stage="reading"), 4, "m · loading: reading 4 s"),
        (Activity(model="m", state="queued", ahead=2), 0, "m · queued, 2 before it"),
        (
            Activity(model="m", state="prefill", done=512, total=3000),
            7,
            "m · reading the prompt 512/3,000 7 s",
        ),
        (
            Activity(model="m", state="prefill", done=512, total=3000, ends_at=19.5),
            7,
            "m · reading the prompt 512/3,000, 12 s left",
        ),
        (
            Activity(model="m", state="prefill", done=512, total=3000, ends_at=19.5),
            19,
            "m · reading the prompt 512/3,000 19 s",
        ),
        (Activity(model="m", state="reading ahead", done=512, total=3000), 7, "m · reading ahead 512/3,000"),
        (Activity(model="m", state="idle"), 7, "m · ready"),
    ],
)
def test_each_state_has_its_words(activity: Activity, elapsed: int, left: str) -> None:
    assert status_parts(activity, elapsed, 100)[0] == left


@given(st.integers(1, 200), st.text(max_size=60), st.integers(0, 10**6))
def test_status_line_always_fits_the_width(width: int, model: str, tokens: int) -> None:
    left, right = status_parts(
        Activity(model=model, state="replying", tokens=tokens, context_length=4096), 12, width
    )
    assert len(left) + len(right) + (3 if right else 0) <= width


@pytest.mark.parametrize(
    ("tokens", "text"),
    [
        (0, "0"),
        (950, "950"),
        (8192, "8.2k"),
        (8000, "8k"),
        (131072, "131k"),
        (99_960, "100k"),
        (10**6, "1.0M"),
    ],
)
def test_large_numbers_are_shortened(tokens: int, text: str) -> None:
    assert short(tokens) == text


def test_other_machine_and_estimates_are_named() -> None:
    activity = Activity(
        model="openai/gpt-4o",
        host="api.openai.com",
        state="replying",
        context_used=100,
        used_estimated=True,
        estimates=True,
        unsent=20,
        context_length=4096,
    )
    assert status_parts(activity, 0, 120)[0] == "openai/gpt-4o → api.openai.com · replying"
    assert status_parts(activity, 0, 120)[1] == "context ~100+~20 of 4,096"
    assert "api.openai.com" in status_parts(activity, 0, 50)[0]
