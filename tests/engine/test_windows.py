"""Models with layers that attend to a window of the last tokens: a conversation may be longer than that."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from spnl_tui.engine import protocol as wire
from spnl_tui.engine.load_plan import LoadOverrides, plan_load
from spnl_tui.models.gguf import read_file_facts
from spnl_tui.models.gguf_noise import write_gguf
from spnl_tui.models.machine import read_machine
from tests.support.gguf_maker import GgufSpec, metadata_of, tensors_of
from tests.support.logprobs import ask_for_logprobs

TEXT = "".join(chr(97 + n * n % 23) for n in range(200))
"""A token for each letter."""


async def test_what_is_said_does_not_depend_on_what_was_read_before(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    spec = GgufSpec(architecture="gemma3", layers=6, sliding_window=32, matrix="F32", embedding="F32")
    behind = ("post_attention_norm.weight", "post_ffw_norm.weight")
    # Else the embedding alone would foretell every token.
    tensors = [
        dataclasses.replace(tensor, fill=3.0) if tensor.name.endswith(behind) else tensor
        for tensor in tensors_of(spec)
    ]
    write_gguf(path, metadata_of(spec), tensors, 0)
    plan = plan_load(read_file_facts(path), read_machine(), LoadOverrides(device="cpu"))
    load = {
        "format": "gguf",
        "directory": str(tmp_path),
        "files": [path.name],
        "prefix_cache": plan.prefix_cache,
        "chat_template": wire.RAW_TEMPLATE,
    }
    alone = await ask_for_logprobs(load, TEXT)
    assert min(alone) < -1
    assert await ask_for_logprobs(load, TEXT[:80], TEXT[:140], TEXT) == pytest.approx(alone, abs=1e-3)
