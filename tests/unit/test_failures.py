"""What mistral.rs says when it refuses is put into words for the user."""

from __future__ import annotations

import pytest

from spnl_tui.engine.mistralrs.failures import load_failure, request_failure


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (
            "Missing required tensor(s) for x at prefix `a.b`: model.layers.1.k_proj.weight. "
            "Dummy layers\n   0: <candle_core::error::Error>::bt",
            "model.layers.1.k_proj.weight.",
        ),
        ("cannot find tensor model.norm.weight", "the tensor model.norm.weight."),
        ("GGUF architecture `llama` is missing a tensor matching `token_embd.weight`", "token_embd.weight"),
        ("BPE tokenizer must include merges", "no merges"),
        (
            "GGUF metadata `llama.attention.head_count_kv` has no non-zero value",
            "llama.attention.head_count_kv",
        ),
        ("attempt to divide by zero", "contradict"),
        ("GGUF `eos` token id 99999 is out of bounds for vocab size 512", "eos token"),
        (
            "Standalone `llama` config requires GGUF metadata `llama.feed_forward_length`; x",
            "feed_forward_length",
        ),
        (
            'GGUF architecture `x` is missing one of ["{arch}.vocab_size", "tokenizer.ggml.tokens"]',
            "vocab_size",
        ),
    ],
)
def test_damaged_file_is_described_at_the_load(raw: str, words: str) -> None:
    failed = load_failure(ValueError(raw))
    assert failed.title == "The model's file is damaged"
    assert words in failed.message
    assert "candle" not in failed.message
    assert failed.hint.startswith("Pull the model again")


def test_shapes_that_fail_at_the_first_request_are_described() -> None:
    failed = request_failure(
        ValueError("Shape mismatch, got buffer of size 640 which is compatible with shape")
    )
    assert failed.title == "The model's file is damaged"


def test_unknown_architecture_is_named() -> None:
    failed = load_failure(ValueError("Unknown normal-model GGUF architecture `mamba`"))
    assert "no loader for the architecture mamba" in failed.message


def test_other_words_of_the_engine_stay() -> None:
    assert load_failure(ValueError("something new\n  0: trace")).message == "something new"


def test_engine_that_could_not_start_points_to_limits() -> None:
    failed = load_failure(ValueError('Failed to create engine instance: "Engine thread exited before …"'))
    assert failed.title == "The model could not be loaded"  # other words stay
    failed = load_failure(ValueError('"Engine thread exited before reporting readiness"'))
    assert failed.title == "The engine could not start"
    assert "ulimit" in failed.message
