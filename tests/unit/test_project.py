"""The project's own files: what contributors run and what readers see elsewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.support.pictures import contact_sheet

ROOT = Path(__file__).parents[2]


def test_no_test_module_imports_another() -> None:
    pattern = re.compile(
        r"^\s*(from tests[\w.]*\.test_\w+ import|from tests[\w.]* import test_|import tests[\w.]*\.test_)",
        re.M,
    )
    guilty = [file.name for file in (ROOT / "tests").rglob("test_*.py") if pattern.search(file.read_text())]
    assert not guilty


def test_contact_sheet_shows_each_change_beside_its_old_picture(tmp_path: Path) -> None:
    new = Path("tests/ui/__snapshots__/test_a/test_b[80x24].svg")
    sheet = contact_sheet([(new, b"<svg/>"), (Path("x/new one.svg"), None)], tmp_path)
    assert (tmp_path / "test_a" / new.name).read_bytes() == b"<svg/>"
    assert sheet.count("<figcaption>old</figcaption>") == 1
    assert sheet.count("<figcaption>new</figcaption>") == 2
    assert "test_b%5B80x24%5D.svg" in sheet


def test_relative_links_become_absolute_for_the_package_index(tmp_path: Path) -> None:
    file = tmp_path / "README.md"
    file.write_text("![p](tests/a.svg) [d](docs/a.md#b) [w](https://example.org) [h](#here)")
    script = ROOT / ".github" / "absolute_links.py"
    subprocess.run([sys.executable, script, file, "own/name", "v1"], check=True)
    assert file.read_text() == (
        "![p](https://raw.githubusercontent.com/own/name/v1/tests/a.svg) "
        "[d](https://github.com/own/name/blob/v1/docs/a.md#b) [w](https://example.org) [h](#here)"
    )
