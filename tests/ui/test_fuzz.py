"""Random keys, and random Markdown. `python -m tests.support.key_fuzz` and `….markdown_fuzz` run more."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.hub import LoopbackHub
from tests.support.key_fuzz import KeyFuzz, own_machine
from tests.support.markdown_fuzz import check


@pytest.mark.slow
async def test_random_keys_leave_a_program_that_accepts_a_prompt(filled: LoopbackHub, tmp_path: Path) -> None:
    with own_machine(tmp_path / "home"):
        await KeyFuzz(filled, tmp_path / "sessions").session(20, sequences=25)


@pytest.mark.slow
def test_every_word_of_random_markdown_is_shown() -> None:
    for seed in range(20):
        check(seed, cost=seed == 10)
