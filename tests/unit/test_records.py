"""Records behave as frozen dataclasses do, as far as events need it."""

from __future__ import annotations

import pytest

from spnl_tui.records import record


@record
class Point:
    """A record with a default."""

    x: int
    y: int = 0


@record
class Nothing:
    """A record without fields."""


def test_record_has_fields_defaults_and_a_description() -> None:
    assert (Point(1).y, Point(1, y=2).y, Point(x=3, y=4).x) == (0, 2, 3)
    assert repr(Point(1)) == "Point(x=1, y=0)"
    assert repr(Nothing()) == "Nothing()"


def test_records_are_equal_by_kind_and_fields() -> None:
    assert Point(1) == Point(1, 0) != Point(1, 1)
    assert Nothing() == Nothing() != Point(0)
    assert len({Point(1), Point(1, 0), Nothing()}) == 2


def test_record_is_matched_by_position() -> None:
    match Point(1, 2):
        case Point(x, y):
            assert (x, y) == (1, 2)


@pytest.mark.parametrize("arguments", [((), {}), ((1, 2, 3), {}), ((1,), {"z": 2}), ((), {"y": 1})])
def test_wrong_fields_are_refused(arguments: tuple[tuple[int, ...], dict[str, int]]) -> None:
    values, named = arguments
    with pytest.raises(TypeError, match="has the fields x, y"):
        Point(*values, **named)


def test_record_cannot_be_changed() -> None:
    with pytest.raises(AttributeError, match="Point cannot be changed"):
        setattr(Point(1), "x", 2)  # noqa: B010  # mypy refuses an assignment
