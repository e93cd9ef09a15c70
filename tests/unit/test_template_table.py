"""The table of chat templates in the documentation says what the tests prove."""

from __future__ import annotations

from pathlib import Path

from tests.support.template_families import families, table

DOCS = Path(__file__).parents[2] / "docs" / "models.md"


def test_at_least_sixty_families_are_covered_each_once() -> None:
    names = [family.name for family in families()]
    assert len(names) >= 60
    assert len(set(names)) == len(names)


def test_documented_table_is_made_from_the_tested_families() -> None:
    assert table() in DOCS.read_text("utf-8")
