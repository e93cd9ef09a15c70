"""Every supported architecture as safetensors, and the real model in other formats.

GGUFs of every architecture, and shards, are loaded in test_verdicts.py. `python -m benchmarks.architectures`
prints all of it as a table.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.architectures import try_model
from tests.support.requantize import to_safetensors
from tests.support.safetensors_maker import ARCHITECTURES, make_safetensors

pytestmark = pytest.mark.alone


@pytest.mark.parametrize("architecture", ARCHITECTURES)
async def test_supported_safetensors_architecture_streams(architecture: str, tmp_path: Path) -> None:
    outcome = await try_model(make_safetensors(tmp_path / "model", architecture))
    assert outcome.error is None
    assert outcome.verdict == "yes"
    assert outcome.tokens > 1


async def test_gguf_and_safetensors_of_one_model_give_equal_replies(
    starter_gguf: Path, requantized: Callable[[str], Path], tmp_path: Path
) -> None:
    gguf = await try_model(requantized("F16"), in_situ="none", tokens=32)
    safetensors = await try_model(to_safetensors(starter_gguf, tmp_path / "m"), in_situ="none", tokens=32)
    assert gguf.text == safetensors.text
    assert "Paris" in gguf.text


@pytest.mark.parametrize("type", ["Q4_0", "Q8_0"])
async def test_real_model_in_another_quantization_streams(
    type: str, requantized: Callable[[str], Path]
) -> None:
    outcome = await try_model(requantized(type), tokens=16)
    assert outcome.error is None
    assert "Paris" in outcome.text
