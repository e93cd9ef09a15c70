"""Filters of search results."""

from __future__ import annotations

import pytest

from spnl_tui.hub.catalog import Card
from spnl_tui.ui.models.card_filter import FILTERS, CardFilter, filtered, next_filter


def card(
    name: str, *, parameters: int | None = None, pipeline: str | None = None, tags: tuple[str, ...] = ()
) -> Card:
    return Card(
        repository=name,
        downloads=0,
        likes=0,
        updated=None,
        gated=False,
        private=False,
        license=None,
        pipeline=pipeline,
        architecture=None,
        parameters=parameters,
        context_length=None,
        has_template=None,
        tags=tags,
        base_models=(),
    )


CARDS = [
    card("small", parameters=1_700_000_000, tags=("function-calling",)),
    card("medium", parameters=8_200_000_000),
    card("sees", parameters=4_000_000_000, pipeline="image-text-to-text"),
    card("unknown"),
]


@pytest.mark.parametrize(
    ("filter", "names"),
    [
        ("", ["small", "medium", "sees", "unknown"]),
        ("vision", ["sees"]),
        ("tools", ["small"]),
        ("up to 4B", ["small", "sees"]),
        ("up to 9B", ["small", "medium", "sees"]),
    ],
)
def test_filter_keeps_the_cards_that_say_so(filter: CardFilter, names: list[str]) -> None:
    assert [each.repository for each in filtered(CARDS, filter)] == names


def test_filters_come_round() -> None:
    filter: CardFilter = ""
    for _ in FILTERS:
        filter = next_filter(filter)
    assert filter == ""
