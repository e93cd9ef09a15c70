"""Sampling is checked before it reaches the engine, which takes nonsense silently."""

from __future__ import annotations

import math

import pytest

from spnl_tui.errors import RequestError
from spnl_tui.models.request import Message, Sampling


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", -0.1),
        ("temperature", 2.1),
        ("temperature", math.nan),
        ("temperature", True),
        ("top_p", 0),
        ("top_p", 2),
        ("top_k", 0),
        ("top_k", 1.5),
        ("min_p", 1),
        ("repetition_penalty", 0),
        ("frequency_penalty", 3),
        ("presence_penalty", -3),
        ("max_tokens", 0),
        ("seed", -1),
        ("stop", ("",)),
    ],
)
def test_out_of_range_is_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(RequestError) as caught:
        Sampling(**{name: value})  # type: ignore[arg-type]  # wrong on purpose
    assert name in caught.value.title


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", 0),
        ("temperature", 2.0),
        ("top_p", 1.0),
        ("top_k", 1),
        ("min_p", 0.0),
        ("repetition_penalty", 1.1),
        ("stop", ("###",)),
        ("seed", 0),
    ],
)
def test_the_edges_of_a_range_are_allowed(name: str, value: object) -> None:
    assert getattr(Sampling(**{name: value}), name) == value  # type: ignore[arg-type]  # typed by name only


def test_an_unknown_role_is_refused() -> None:
    with pytest.raises(RequestError):
        Message("robot", "")  # type: ignore[arg-type]  # wrong on purpose
