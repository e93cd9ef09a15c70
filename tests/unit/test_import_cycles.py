"""Import cycles in the package, and how it is divided, counted in the source."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import spnl_tui

ROOT = Path(spnl_tui.__file__).parent
FILES = sorted(file for file in ROOT.rglob("*.py"))
MOST_MODULES = 20
MOST_LINES = 400
MOST_METHODS = 20
TEXTUAL_CALLS = ("action_", "compose", "on_", "watch_")
"""How the methods begin that Textual calls by their names."""


def name_of(file: Path) -> str:
    """Return the dotted name of a module."""
    parts = file.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(source: str, known: frozenset[str]) -> Iterator[str]:
    """Yield the known modules that a source imports, also inside functions and for type checking only."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            yield from names & known
            if not names <= known and node.module in known:
                yield node.module


def first_cycle(graph: Mapping[str, frozenset[str]]) -> list[str]:
    """Return the modules of a cycle; nothing if there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


@pytest.mark.slow
def test_modules_import_each_other_in_no_cycle() -> None:
    known = frozenset(map(name_of, FILES))
    graph = {name_of(file): frozenset(imports_of(file.read_text("utf-8"), known)) for file in FILES}
    assert first_cycle(graph) == []


def test_cycle_for_type_checking_is_found() -> None:
    known = frozenset({"p.a", "p.b"})
    lazy = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from p.b import B\n"
    graph = {
        "p.a": frozenset(imports_of(lazy, known)),
        "p.b": frozenset(imports_of("def f():\n    from p import a\n", known)),
    }
    assert set(first_cycle(graph)) == known


@pytest.mark.slow
def test_folders_and_files_and_classes_stay_small() -> None:
    modules = Counter(file.parent for file in FILES if file.name != "__init__.py")
    assert [folder for folder, count in modules.items() if count > MOST_MODULES] == []
    assert [file for file in FILES if len(file.read_text("utf-8").splitlines()) > MOST_LINES] == []
    assert [large for file in FILES for large in large_classes(file)] == []


def large_classes(file: Path) -> Iterator[str]:
    """Yield the classes with too many public methods of their own."""
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.ClassDef):
            methods = {
                each.name
                for each in node.body
                if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)
                and not each.name.startswith(("_", *TEXTUAL_CALLS))
            }
            if len(methods) > MOST_METHODS:
                yield f"{file.name}: {node.name} has {len(methods)}"
