"""Keys and values in 16 bits, as mistral.rs keeps them on a CPU."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.logprobs import ask_for_logprobs


async def test_real_model_replies_alike_with_either_cache_format(requantized: Callable[[str], Path]) -> None:
    path = requantized("F32")  # weights that round nothing by themselves
    load = {"format": "gguf", "directory": str(path.parent), "files": [path.name]}
    whole, half = [await ask_for_logprobs(load, kv_in_32_bits=whole) for whole in (True, False)]
    assert len(whole) > 4
    assert half == pytest.approx(whole, abs=5e-3)
