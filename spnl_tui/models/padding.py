"""Pads rows for speed: the same model with zeros in it, so that every row is a multiple of 256.

On x86-64 mistral.rs has fast kernels only for rows that are multiples of 256 (candle's repack_x86.rs,
`select`). SmolLM2's are 576, Qwen2.5-0.5B's 896 and Gemma 3 1B's 1,152: they read prompts at less than half
the speed. Zeros do not change the replies. The added part of the residual stream stays zero, because the
matrices that write to it have rows of zeros there. A norm, which takes the mean of the squares, is corrected
by its weights and its epsilon. A head of zeros adds nothing. runner/padded_gguf.py writes such a file for
the load.

Gemma 3 multiplies its embedding by the root of the width, which makes its whole residual stream larger. The
norms behind attention and feed-forward grow alike, and the norms before them take it back, with the same
weights as elsewhere. For those the epsilon should stay, but they see numbers so large that it does not
matter. The norms behind see small ones, down to some millionths in the square, so their epsilon is
corrected.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from spnl_tui.models.facts import ModelFacts, TensorGroup

UNIT = 256
"""Rows become multiples of this."""
_BLOCK = 32
"""Elements of a block in the formats of such rows."""
_ARCHITECTURES = frozenset({"llama", "qwen2", "gemma3"})
"""GGUF architectures that consist only of the parts described above."""
_MOST = 4 / 3
"""The largest worthwhile growth of a width."""
_MOST_HEADS = 7 / 6
"""The same for query heads. Attention grows with them, at every turn of a long conversation. If they stay,
so do the rows of the matrix behind attention, one of seven."""


@dataclass(frozen=True, slots=True)
class Extent:
    """A dimension of a matrix: equal parts, each filled with zeros from one size to another."""

    parts: int
    before: int
    after: int

    @property
    def sizes(self) -> tuple[int, int]:
        """The size of all parts together, before and after."""
        return self.parts * self.before, self.parts * self.after

    @property
    def growth(self) -> float:
        """The ratio of the sizes; 1 if nothing is added."""
        return self.after / self.before


@dataclass(frozen=True, slots=True)
class Padding:
    """The dimensions of a model that grow, and their new sizes."""

    width: Extent
    """The width of the embedding and the residual stream."""
    feed_forward: Extent
    queries: Extent
    """Each part holds the query heads that share a key. Parts grow; keys and values stay."""
    keys: Extent
    """Each part is a head."""

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
        """Return each matrix of a layer by name, with its row length and its number of rows."""
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
    """Return the padding that makes all rows multiples of 256; None if none is needed, possible or
    worthwhile.
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
        return None  # models.support.missing_config, which the padded model may need, does not cover it
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
        return None  # mistral.rs takes the width of a head to be the embedding's share there (qwen2.rs)
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
    """Return a layer's matrices and their elements before and after, by the row length before and after."""
    growth: dict[int, dict[int, tuple[int, int, int]]] = {}
    for row, rows in padding.matrices.values():
        (before, after), (count, wider_count) = row.sizes, rows.sizes
        parts = growth.setdefault(before, {})
        matrices, elements, wider_elements = parts.get(after, (0, 0, 0))
        parts[after] = (matrices + 1, elements + before * count, wider_elements + after * wider_count)
    return growth


def _is_plain(facts: ModelFacts, padding: Padding, layers: int) -> bool:
    """Return True if the tensors are exactly those that padding knows, by their numbers of elements."""
    expected = {
        row: layers * sum(elements for _, elements, _ in parts.values())
        for row, parts in _growth(padding).items()
    }
    found: dict[int, int] = {}
    vectors = 0
    for group in facts.tensors:
        if not group.bytes:
            return False  # of an unknown type
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
        + 2 * padding.keys.before,  # norms behind as well, and of a head's queries and keys
    }
    return found == expected and vectors == width + layers * in_a_layer[facts.architecture]


def _multiple(width: int) -> int:
    return -(-width // UNIT) * UNIT
