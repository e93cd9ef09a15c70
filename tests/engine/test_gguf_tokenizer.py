"""A SentencePiece GGUF is read as its model was trained to: by merges, which its scores are the ranks of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from spnl_tui.engine.backend import ModelLoaded, ReplyFinished, RequestFailed
from spnl_tui.engine.mistralrs import wire
from spnl_tui.engine.mistralrs.load_plan import plan_load
from spnl_tui.engine.mistralrs.loading import load_command
from spnl_tui.engine.mistralrs.runner.gguf_tokenizer import write_tokenizer
from spnl_tui.engine.mistralrs.runner_process import RunnerProcess
from spnl_tui.models.files.local import read_local_facts, resolve_local
from spnl_tui.models.machine import read_machine
from spnl_tui.models.request import Sampling
from tests.support.gguf_maker import GgufSpec, make_gguf, metadata_of

pytestmark = pytest.mark.alone

MERGED = {"th": -1.0, "▁t": -2.0, "he": -3.0, "▁th": -4.0, "▁the": -900.0}
"""As trained, "▁the" is one token; by the largest sum of scores it would be "▁t" and "he"."""


def sentencepiece(path: Path, **metadata: Any) -> Path:
    """A made model that knows the letters, and MERGED."""
    spec = GgufSpec(tokenizer="llama", template=None)
    values = metadata_of(spec)
    tokens = values["tokenizer.ggml.tokens"]
    first = len(tokens) - len(MERGED)
    tokens[first:] = MERGED
    scores = [-1000.0] * first + list(MERGED.values())
    changed = {"tokenizer.ggml.tokens": tokens, "tokenizer.ggml.scores": scores, **metadata}
    return make_gguf(path, GgufSpec(tokenizer="llama", template=None, metadata=changed))


def read(path: Path) -> Any:
    target = path.with_suffix(".json")
    assert write_tokenizer(path, target)
    return json.loads(target.read_text("utf-8"))


async def counted(path: Path, text: str) -> tuple[int, int]:
    """The tokens of a text by itself, and as a prompt, for a real runner."""
    model = resolve_local(path)
    plan = plan_load(read_local_facts(model), read_machine())
    process = await RunnerProcess.spawn(plan.environment)
    try:
        counts = 0
        for command in (
            load_command(1, model, plan, 0),
            wire.Tokenize(id=2, texts=(text,)),
            wire.Complete(id=3, prompt=text, sampling=Sampling(temperature=0, max_tokens=1)),
        ):
            events = process.subscribe(command.id)
            await process.send(command)
            while True:
                event = await events.get()
                assert not isinstance(event, RequestFailed | wire.RunnerEnded), event
                if isinstance(event, wire.Tokenized):
                    counts = event.counts[0]
                if isinstance(event, ReplyFinished):
                    return counts, event.usage.prompt_tokens
                if isinstance(event, ModelLoaded | wire.Tokenized):
                    break
        raise AssertionError("a prompt ends in ReplyFinished")
    finally:
        await process.end()


@pytest.mark.parametrize(
    ("text", "metadata", "tokens"),
    [
        ("the the", {}, (2, 3)),
        ("the the", {"tokenizer.ggml.add_bos_token": False}, (2, 2)),
        ("the the", {"tokenizer.ggml.add_space_prefix": False}, (3, 4)),  # "th", "e", "▁the"
        ("ü\n", {}, (4, 5)),  # "▁", and bytes
    ],
    ids=["as is", "nothing first", "no space first", "bytes"],
)
async def test_written_tokenizer_counts_like_the_models_own(
    text: str, metadata: dict[str, Any], tokens: tuple[int, int], tmp_path: Path
) -> None:
    assert await counted(sentencepiece(tmp_path / "m.gguf", **metadata), text) == tokens


def test_every_pair_that_makes_a_token_is_a_merge_in_order_of_score(tmp_path: Path) -> None:
    merges = read(sentencepiece(tmp_path / "m.gguf"))["model"]["merges"]
    assert merges == [
        ["t", "h"],
        ["▁", "t"],
        ["h", "e"],
        ["▁", "th"],
        ["▁t", "h"],
        ["▁t", "he"],
        ["▁th", "e"],
    ]


def test_control_tokens_are_special_and_user_defined_ones_are_not(tmp_path: Path) -> None:
    kinds = [("i32", kind) for kind in [3] * 5 + [6] * 256 + [1] * 250 + [4]]
    added = read(sentencepiece(tmp_path / "m.gguf", **{"tokenizer.ggml.token_type": kinds}))["added_tokens"]
    assert [(each["content"], each["special"]) for each in added] == [
        ("<unk>", True),
        ("<s>", True),
        ("</s>", True),
        ("<|im_start|>", True),
        ("<|im_end|>", True),
        ("▁the", False),
    ]


@pytest.mark.parametrize(
    "metadata",
    [
        {"tokenizer.ggml.model": "gpt2"},
        {"tokenizer.ggml.scores": None},
        {"tokenizer.ggml.scores": [1.0]},
        {"tokenizer.ggml.tokens": ["a"] * 512},
        {"tokenizer.ggml.bos_token_id": 512},
        {"tokenizer.ggml.merges": ["t h"]},
    ],
    ids=str,
)
def test_tokenizer_of_another_kind_is_left_to_mistral_rs(metadata: dict[str, Any], tmp_path: Path) -> None:
    path = sentencepiece(tmp_path / "m.gguf", **metadata)
    assert not write_tokenizer(path, tmp_path / "tokenizer.json")
    assert not (tmp_path / "tokenizer.json").exists()
