"""Filters of search results by what a card says of the model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

from spnl_tui.hub.catalog import Card

CardFilter = Literal["", "vision", "tools", "up to 4B", "up to 9B"]
FILTERS: tuple[CardFilter, ...] = get_args(CardFilter)

_LIMITS = {"up to 4B": 4.5e9, "up to 9B": 9.5e9}
_TOOL_TAGS = ("tool", "function-call", "function_call")


def next_filter(filter: CardFilter) -> CardFilter:
    """Return the filter after this one; after the last, none."""
    return FILTERS[(FILTERS.index(filter) + 1) % len(FILTERS)]


def filtered(cards: Sequence[Card], filter: CardFilter) -> list[Card]:
    """Return the cards that pass. A card that does not say enough does not pass."""
    return [card for card in cards if _passes(card, filter)]


def _passes(card: Card, filter: CardFilter) -> bool:
    match filter:
        case "vision":
            return card.pipeline == "image-text-to-text" or "image-text-to-text" in card.tags
        case "tools":
            return any(word in tag for tag in card.tags for word in _TOOL_TAGS)
        case "up to 4B" | "up to 9B":
            return card.parameters is not None and card.parameters <= _LIMITS[filter]
        case _:
            return True
