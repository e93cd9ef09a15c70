"""Suggests first models for a machine, ranked by verdict, without network access.

The shapes are from the published models' config.json; the sizes are those of the files on the hub.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from spnl_tui.models.expected_facts import expected_facts
from spnl_tui.models.facts import ModelFacts, TensorGroup, TensorRole
from spnl_tui.models.fit import READING_SPEED, Calibration, assess
from spnl_tui.models.machine import Machine
from spnl_tui.models.quantization import ModelFile, Quantization

Why = Literal["fast", "balanced", "best that fits", "vision"]

_FAST = 2 * READING_SPEED
"""Tokens per second at which a reply is faster than anyone reads."""
_FAST_BYTES, _BALANCED_BYTES = 1.0e9, 3.0e9
"""Largest sizes in bytes of fast and balanced models, used until the speed of this machine is measured."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A published model and the numbers on which its memory and speed depend."""

    name: str
    """The display name, from models/pretty_names.py."""
    label: str
    size_bytes: int
    architecture: str
    layers: int
    width: int
    heads: int
    kv_heads: int
    head_width: int
    feed_forward: int
    context: int
    tied: bool = True
    """True if the embedding is also the output matrix."""
    sees: bool = False


SHAPES: tuple[Shape, ...] = (
    Shape("qwen3:0.6b", "Q8_0", 639_446_688, "qwen3", 28, 1024, 16, 8, 128, 3072, 40_960),
    Shape("gemma3:1b", "Q4_K_M", 806_058_272, "gemma3", 26, 1152, 4, 1, 256, 6912, 32_768),
    Shape("qwen3:1.7b", "Q4_K_M", 1_107_409_472, "qwen3", 28, 2048, 16, 8, 128, 6144, 40_960),
    Shape("llama3.2:3b", "Q4_K_M", 2_019_377_696, "llama", 28, 3072, 24, 8, 128, 8192, 131_072),
    Shape("qwen3:4b", "Q4_K_M", 2_497_281_312, "qwen3", 36, 2560, 32, 8, 128, 9728, 40_960),
    Shape("gemma3:4b", "Q4_K_M", 2_489_758_112, "gemma3", 34, 2560, 8, 4, 256, 10_240, 131_072, sees=True),
    Shape("qwen3:8b", "Q4_K_M", 5_027_783_488, "qwen3", 36, 4096, 32, 8, 128, 12_288, 40_960, tied=False),
    Shape("qwen3:14b", "Q4_K_M", 9_001_752_960, "qwen3", 40, 5120, 40, 8, 128, 17_408, 40_960, tied=False),
    Shape("qwen3:32b", "Q4_K_M", 19_762_149_024, "qwen3", 64, 5120, 64, 8, 128, 25_600, 40_960, tied=False),
)
_VOCABULARIES = {"qwen3": 151_936, "llama": 128_256, "gemma3": 262_144}
_TOKENIZERS = {"qwen3": ("gpt2", "qwen2"), "llama": ("gpt2", "llama-bpe"), "gemma3": ("llama", None)}


@dataclass(frozen=True, slots=True)
class FirstModel:
    """A model suggested to begin with."""

    shape: Shape
    why: Why
    memory_bytes: int
    tokens_per_s: float | None
    """None until the speed of this machine is measured."""

    @property
    def reference(self) -> str:
        """The reference to pull."""
        return f"{self.shape.name}:{self.shape.label}"


def first_models(
    machine: Machine, context: int, calibration: Calibration | None = None
) -> tuple[FirstModel, ...]:
    """Return models that fit this machine, at most one for each reason, fastest first."""
    fitting: list[tuple[Shape, int, float | None]] = []
    for shape in SHAPES:
        facts = facts_of(shape)
        verdict = assess(facts, machine, min(context, shape.context), calibration)
        if verdict.runs.level != "no" and verdict.fits.level == "yes":
            fitting.append((shape, verdict.memory.total, verdict.speed.decode))
    chosen: dict[str, FirstModel] = {}

    def choose(why: Why, among: list[tuple[Shape, int, float | None]]) -> None:
        if among:
            shape, memory, speed = max(among, key=lambda each: each[0].size_bytes)
            chosen.setdefault(shape.name, FirstModel(shape, why, memory, speed))

    texts = [each for each in fitting if not each[0].sees]
    choose("fast", [each for each in texts if _within(each, _FAST, _FAST_BYTES)])
    choose("balanced", [each for each in texts if _within(each, READING_SPEED, _BALANCED_BYTES)])
    choose("best that fits", texts)
    choose("vision", [each for each in fitting if each[0].sees])
    return tuple(sorted(chosen.values(), key=lambda model: model.shape.size_bytes))


def _within(model: tuple[Shape, int, float | None], speed: float, size: float) -> bool:
    shape, _, decode = model
    return decode >= speed if decode is not None else shape.size_bytes <= size


def facts_of(shape: Shape) -> ModelFacts:
    """Return the facts that verdicts need, as the file's header would give them."""
    vocabulary = _VOCABULARIES[shape.architecture]
    groups = [
        _group("embedding", shape.width, vocabulary, 1),
        _group("matrix", shape.width, shape.heads * shape.head_width, shape.layers),  # queries
        _group("matrix", shape.width, 2 * shape.kv_heads * shape.head_width, shape.layers),  # keys, values
        _group("matrix", shape.heads * shape.head_width, shape.width, shape.layers),  # attention output
        _group("matrix", shape.width, 2 * shape.feed_forward, shape.layers),  # gate, up
        _group("matrix", shape.feed_forward, shape.width, shape.layers),  # down
    ]
    if not shape.tied:
        groups.append(_group("output", shape.width, vocabulary, 1))
    tokenizer, pre_tokenizer = _TOKENIZERS[shape.architecture]
    whole = ModelFacts(
        format="gguf",
        architecture=shape.architecture,
        name=shape.name,
        basename=None,
        file_type="F16",
        file_bytes=sum(group.bytes for group in groups),
        parameters=sum(group.elements for group in groups),
        context_length=shape.context,
        layers=shape.layers,
        heads=shape.heads,
        kv_heads=shape.kv_heads,
        kv_heads_total=shape.kv_heads * shape.layers,
        key_width=shape.head_width,
        value_width=shape.head_width,
        embedding_width=shape.width,
        feed_forward_width=shape.feed_forward,
        experts=0,
        experts_used=0,
        sliding_window=None,
        norm_epsilon=1e-6,
        rope_base=None,
        vocabulary=vocabulary,
        merges=1,
        tensors=tuple(groups),
        tokenizer=tokenizer,
        pre_tokenizer=pre_tokenizer,
        chat_template="{{ messages }}",
    )
    file = ModelFile(f"{shape.name}.gguf", shape.size_bytes)
    expected = expected_facts(whole, Quantization(shape.label, (file,), shape.label))
    return whole if expected is None else expected


def _group(role: TensorRole, row: int, rows: int, count: int) -> TensorGroup:
    elements = row * rows * count
    return TensorGroup(role, "F16", row, count, elements, 2 * elements)
