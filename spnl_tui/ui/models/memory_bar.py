"""The bar that shows what a model would take of the free memory."""

from __future__ import annotations

from textual.content import Content

from spnl_tui.models.memory import MemoryEstimate

_LONGEST, _SHORTEST = 40, 10


def memory_bar(memory: MemoryEstimate, free_bytes: int, width: int) -> Content:
    """Return a bar with its figures: weights, program and context within the free memory.

    Each part has a glyph of its own, so that the bar reads without colours.
    """
    context = (memory.kv_cache or 0) + memory.working
    parts = (("█", memory.weights), ("▓", memory.overhead), ("▒", context))
    whole = max(free_bytes, memory.total, 1)
    left = free_bytes - memory.total
    after = f"free after {left / 1e9:.1f} GB" if left >= 0 else f"{-left / 1e9:.1f} GB too much"
    figures = f" weights {memory.weights / 1e9:.1f}  context {context / 1e9:.1f}  "
    length = max(_SHORTEST, min(_LONGEST, width - 9 - len(figures) - len(after)))
    bar, used = "", 0
    for glyph, size in parts:
        cells = round(length * (used + size) / whole) - len(bar)
        bar += glyph * max(0, cells)
        used += size
    return Content.assemble(
        ("Memory   ", "$text-muted"),
        (bar, "$text-primary"),
        ("░" * (length - len(bar)), "$text-muted"),
        (figures, "$text-muted"),
        (after, "$text-success" if left >= 0 else "$text-error"),
    )
