"""Wider rows, for speed: the same model with zeros in it, so that every row is a multiple of 256.

On x86-64 mistral.rs has fast kernels only for rows that are multiples of 256 (candle's repack_x86.rs,
`select`). SmolLM2's are 576, Qwen2.5-0.5B's 896 and Gemma 3 1B's 1,152: they read prompts at less than
half the speed. With zeros a model says the same. What is added to the residual stream stays zero, since the
matrices that write to it have rows of zeros there; a norm, which takes the mean of the squares, is put right
by its weights and its epsilon; a head of zeros adds nothing. engine/padded_gguf.py writes such a file, for as
long as a load takes.

Gemma 3 multiplies its embedding by the root of the width, and so makes its whole residual stream larger: what
its norms behind attention and feed-forward add grows alike, and the norms before take it back, with the same
weights as elsewhere. For those the epsilon should stay. But they see large numbers, of which it is nothing,
and the norms behind see small ones, down to some millionths in the square: those are put right.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from spnl_tui.models.facts import ModelFacts, TensorGroup

UNIT = 256
"""What rows become multiples of."""
_BLOCK = 32
"""Elements of a block in the formats that such rows are stored in."""
_ARCHITECTURES = frozenset({"llama", "qwen2", "gemma3"})
"""Of GGUFs; made of nothing but what is described above."""
_MOST = 4 / 3
"""The largest growth of a width that pays."""
_MOST_HEADS = 7 / 6
"""The same of the query heads. Attention, which a long conversation pays for at every turn, grows with them.
Left as they are, the rows of the matrix behind attention stay, one of seven."""


@dataclass(frozen=True, slots=True)
class Extent:
    """A dimension of a matrix: so many equal parts, each filled up with zeros from one size to another."""

    parts: int
    before: int
    after: int

    @property
    def sizes(self) -> tuple[int, int]:
        """Of all parts together, before and after."""
        return self.parts * self.before, self.parts * self.after

    @property
    def growth(self) -> float:
        """1 if nothing is added."""
        return self.after / self.before


@dataclass(frozen=True, slots=True)
class Padding:
    """Which dimensions of a model grow, and how far."""

    width: Extent
    """Of the embedding and the residual stream."""
    feed_forward: Extent
    queries: Extent
    """A part are the query heads that share a key. Each gets more: keys and values stay as they are."""
    keys: Extent
    """A part is a head."""

    @property
    def heads(self) -> int:
        """Query heads after."""
        return self.queries.sizes[1] // self.keys.before

    @property
    def share(self) -> float:
        """Of the width that is not padding: what the mean of the squares is multiplied by, and so epsilon."""
        return self.width.before / self.width.after

    @property
    def matrices(self) -> Mapping[str, tuple[Extent, Extent]]:
        """A layer's, by name: the extent of a row, and of the number of rows."""
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
    """What makes all rows multiples of 256; None if they are, or if that cannot be done or does not pay."""
    if facts.format != "gguf" or facts.architecture not in _ARCHITECTURES or facts.experts:
        return None
    width, feed_forward, head = facts.embedding_width, facts.feed_forward_width, facts.key_width
    heads, kv_heads, layers = facts.heads, facts.kv_heads, facts.layers
    if not (width and feed_forward and head and heads and kv_heads and layers and facts.norm_epsilon):
        return None
    if head != facts.value_width or heads % kv_heads or facts.kv_heads_total != layers * kv_heads:
        return None
    if facts.rope_scale is not None:
        return None  # models.support.missing_config, which the padded model may need, says nothing of it
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
    """The same model after padding."""
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
    """By length of a row before and after: a layer's matrices, and their elements before and after."""
    growth: dict[int, dict[int, tuple[int, int, int]]] = {}
    for row, rows in padding.matrices.values():
        (before, after), (count, wider_count) = row.sizes, rows.sizes
        parts = growth.setdefault(before, {})
        matrices, elements, wider_elements = parts.get(after, (0, 0, 0))
        parts[after] = (matrices + 1, elements + before * count, wider_elements + after * wider_count)
    return growth


def _is_plain(facts: ModelFacts, padding: Padding, layers: int) -> bool:
    """Whether the tensors are just those that padding knows of, by the elements that they have."""
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
