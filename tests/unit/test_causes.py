"""Messages give the cause of a system error in words, not as Python prints it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import spnl_tui
from spnl_tui.errors import StoreError, cause_of
from spnl_tui.hub.library.import_registry import ImportRegistry

PACKAGE = Path(spnl_tui.__path__[0])


def test_cause_is_the_systems_words_without_number_and_path(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="Errno") as caught:
        (tmp_path / "missing").read_bytes()
    assert cause_of(caught.value) == "No such file or directory"
    assert cause_of(ValueError("version 2 is not 1")) == "version 2 is not 1"


def test_registry_in_a_file_for_a_folder_is_empty(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("not a folder")
    assert ImportRegistry(tmp_path / "data" / "imported.json").read() == ()


def test_registry_that_cannot_be_read_says_why_in_words(tmp_path: Path) -> None:
    (tmp_path / "imported.json").mkdir()
    with pytest.raises(StoreError) as caught:
        ImportRegistry(tmp_path / "imported.json").read()
    assert caught.value.message == f"{tmp_path / 'imported.json'}: Is a directory."


def test_no_message_prints_a_system_error_as_python_does() -> None:
    """No error for users contains an OSError itself, whose text is "[Errno 28] …: '/a/path'"."""
    found = []
    for file in PACKAGE.rglob("*.py"):
        for handler in ast.walk(ast.parse(file.read_text())):
            if not isinstance(handler, ast.ExceptHandler) or handler.name is None or handler.type is None:
                continue
            if "OSError" not in ast.unparse(handler.type):
                continue
            for raised in (each for each in ast.walk(handler) if isinstance(each, ast.Raise)):
                printed = [
                    ast.unparse(value.value)
                    for value in ast.walk(raised)
                    if isinstance(value, ast.FormattedValue)
                ]
                if raised.exc is not None and "Error(" in ast.unparse(raised.exc):
                    found += [f"{file.name}:{raised.lineno}" for text in printed if text == handler.name]
    assert found == []
