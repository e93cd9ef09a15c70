"""Pads rows for speed: the same model with zeros added, so that every row is a multiple of 256.

On x86-64 mistral.rs has fast kernels only for rows that are multiples of 256 (candle's repack_x86.rs,
`select`). SmolLM2's rows have 576 elements, Qwen2.5-0.5B's 896 and Gemma 3 1B's 1,152: they read prompts at
less than half the speed. Zeros do not change the replies. The added part of the residual stream stays zero,
because the matrices that write to it have rows of zeros there. A norm, which takes the mean of the squares,
is corrected by its weights and its epsilon. A head of zeros adds nothing. runner/padded_gguf.py writes such a
file for the load.

Gemma 3 multiplies its embedding by the root of the width, which enlarges its whole residual stream. The norms
behind attention and feed-forward grow alike, and the norms before them undo it, with the same weights as
elsewhere. For the norms before, epsilon should not change, but their inputs are so large that it does not
matter. The norms behind have small inputs (squares down to some millionths), so their epsilon is corrected.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from spnl_tui.models.facts import ModelFacts, TensorGroup

UNIT = 256
"""Rows are padded to multiples of this number of elements."""
_BLOCK = 32
"""Elements per block in the formats of such rows."""
_ARCHITECTURES = frozenset({"llama", "qwen2", "gemma3"})
"""GGUF architectures that consist only of the components described above."""
_MOST = 4 / 3
"""The largest growth of a width that is still worthwhile."""
_MOST_HEADS = 7 / 6
"""The largest worthwhile growth of the number of query heads. Attention grows with them, in every turn of a
long conversation. Without padded heads, only one matrix of seven stays unpadded: the one behind attention."""


@dataclass(frozen=True, slots=True)
class Extent:
    """A dimension of a matrix: equal parts, each padded from one size to another."""

    parts: int
    before: int
    after: int

    @property
    def sizes(self) -> tuple[int, int]:
        """The total size of all parts, before and after."""
        return self.parts * self.before, self.parts * self.after

    @property
    def growth(self) -> float:
        """The ratio of the sizes; 1 if nothing is added."""
        return self.after / self.before


@dataclass(frozen=True, slots=True)
class Padding:
    """The dimensions of a model that are padded, with their new sizes."""

    width: Extent
    """The width of the embedding and the residual stream."""
    feed_forward: Extent
    queries: Extent
    """The query heads in groups that share a key. Groups are padded with heads; keys and values stay."""
    keys: Extent
    """The heads of the keys."""

    @property
    def heads(self) -> int:
        """The number of query heads after padding."""
        return self.queries.sizes[1] // self.keys.before

    @property
    def share(self) -> float:
        """The share of the width that is not padding. It scales the mean of the squares, and so epsilon."""
        return self.width.before / self.width.after

    @property
    def matrices(self) -> Mapping[str, tuple[Extent, Extent]]:
        """Return the row length and the number of rows of each matrix in a layer, by name."""
        return {
            "attn_q": (self.width, self.queries),
            "attn_k": (self.width, self.keys),
            "attn_v": (self.width, self.keys),
            "attn_output": (self.queries, self.width),
            "ffn_gate": (self.width, self.feed_forward),
            "ffn_up": (self.width, self.feed_forward),
            "ffn_down": (self.feed_forward, self.width),
        }


def find_padding(facts: ModelFacts) -> Padding | None:
    """Return the padding that makes all rows multiples of 256.

    None if padding is unnecessary, impossible or not worthwhile.
    """
    if facts.format != "gguf" or facts.architecture not in _ARCHITECTURES or facts.experts:
        return None
    width, feed_forward, head = facts.embedding_width, facts.feed_forward_width, facts.key_width
    heads, kv_heads, layers = facts.heads, facts.kv_heads, facts.layers
    if not (width and feed_forward and head and heads and kv_heads and layers and facts.norm_epsilon):
        return None
    if head != facts.value_width or heads % kv_heads or facts.kv_heads_total != layers * kv_heads:
        return None
    if facts.rope_scale is not None:
        return None  # it may need models.support.missing_config, which does not support padding
    group = wider = heads // kv_heads
    while wider * kv_heads * head % UNIT:
        wider += 1
    wide = _multiple(width)
    if wider > group * _MOST_HEADS and facts.architecture != "qwen2":
        wider = group
    padding = Padding(
        width=Extent(1, width, wide),
        feed_forward=Extent(1, feed_forward, _multiple(feed_forward)),
        queries=Extent(kv_heads, group * head, wider * head),
        keys=Extent(kv_heads, head, head),
    )
    grown = {padding.width.growth, padding.feed_forward.growth, padding.queries.growth}
    if grown == {1.0} or max(grown) > _MOST or (wider > group and group * head % _BLOCK):
        return None
    if facts.architecture == "qwen2" and padding.width.after != padding.queries.sizes[1]:
        return None  # mistral.rs assumes that the width of a head is the embedding's share (qwen2.rs)
    return padding if _is_plain(facts, padding, layers) else None


def padded_facts(facts: ModelFacts, padding: Padding) -> ModelFacts:
    """Return the facts of the model after padding."""
    growth = _growth(padding)

    def padded(group: TensorGroup) -> Iterator[TensorGroup]:
        parts: Mapping[int, tuple[int, int, int]]
        if group.role in ("embedding", "output"):
            parts = {padding.width.after: (1, *padding.width.sizes)}
        elif group.role == "matrix":
            parts = growth[group.row]
        else:
            parts = {group.row: (1, 1, 1)}
        total = sum(before for _, before, _ in parts.values())
        matrices = sum(count for count, _, _ in parts.values())
        for row, (count, _, after) in parts.items():
            elements, stored = (each * after // total for each in (group.elements, group.bytes))
            share = group.count * count // matrices
            yield replace(group, row=row, count=share, elements=elements, bytes=stored)

    return replace(
        facts,
        embedding_width=padding.width.after,
        feed_forward_width=padding.feed_forward.after,
        heads=padding.heads,
        norm_epsilon=(facts.norm_epsilon or 0.0) * padding.share,
        tensors=tuple(each for group in facts.tensors for each in padded(group)),
    )


def _growth(padding: Padding) -> Mapping[int, Mapping[int, tuple[int, int, int]]]:
    """Return a layer's matrices and their elements before and after, by row length before and after."""
    growth: dict[int, dict[int, tuple[int, int, int]]] = {}
    for row, rows in padding.matrices.values():
        (before, after), (count, wider_count) = row.sizes, rows.sizes
        parts = growth.setdefault(before, {})
        matrices, elements, wider_elements = parts.get(after, (0, 0, 0))
        parts[after] = (matrices + 1, elements + before * count, wider_elements + after * wider_count)
    return growth


def _is_plain(facts: ModelFacts, padding: Padding, layers: int) -> bool:
    """Return True if the numbers of elements show exactly the tensors that padding supports."""
    expected = {
        row: layers * sum(elements for _, elements, _ in parts.values())
        for row, parts in _growth(padding).items()
    }
    found: dict[int, int] = {}
    vectors = 0
    for group in facts.tensors:
        if not group.bytes:
            return False  # the type is unknown
        if group.role == "matrix":
            found[group.row] = found.get(group.row, 0) + group.elements
        elif group.role == "vector" and group.type == "F32":
            vectors += group.elements
        elif group.role not in ("embedding", "output") or group.row != padding.width.before:
            return False
    width, queries, keys = padding.width.before, padding.queries.sizes[0], padding.keys.sizes[0]
    in_a_layer = {
        "llama": 2 * width,
        "qwen2": 2 * width + queries + 2 * keys,  # with biases
        "gemma3": 4 * width
        + 2 * padding.keys.before,  # has norms behind the blocks, and for the queries and keys of a head
    }
    return found == expected and vectors == width + layers * in_a_layer[facts.architecture]


def _multiple(width: int) -> int:
    return -(-width // UNIT) * UNIT
