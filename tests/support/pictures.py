"""Pictures of the interface: how tests take them, and a contact sheet on which to review changed ones.

`python -m tests.support.pictures` renders every picture anew and writes the sheet.
"""

from __future__ import annotations

import html
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from textual.pilot import Pilot

from spnl_tui.app import SpnlChat
from spnl_tui.ui.main_screen import MainScreen
from tests.support.waiting import wait_until
from tests.ui.support import at_rest, until_counted

SMALL, LARGE = (80, 24), (200, 60)
both_sizes = pytest.mark.parametrize("size", [SMALL, LARGE], ids=["80x24", "200x60"])

Act = Callable[[Pilot[None], MainScreen], Awaitable[None]]


def snapshot(snap_compare: Any, app: SpnlChat, size: tuple[int, int], act: Act) -> None:
    """Run `act`, and compare the picture once nothing changes any more."""

    async def run_before(pilot: Pilot[None]) -> None:
        screen = app.screen
        assert isinstance(screen, MainScreen)
        await wait_until(lambda: app.focused is screen.chat.prompt)
        screen.chat.prompt.cursor_blink = False
        await wait_until(lambda: screen.activity.state != "idle" or screen.activity.context_length)
        await act(pilot, screen)
        await until_counted(screen)
        await at_rest(pilot)

    assert snap_compare(app, terminal_size=size, run_before=run_before)


async def ask(pilot: Pilot[None], screen: MainScreen, text: str, until: Callable[[], Any]) -> None:
    screen.chat.prompt.insert(text)
    await pilot.press("enter")
    await wait_until(until)


def finished(screen: MainScreen, turns: int) -> Callable[[], bool]:
    """Return a predicate: True once there are `turns` turns and nothing is running."""

    def check() -> bool:
        path = screen.conversation.path()
        return len(path) == turns and not path[-1].streaming and screen.activity.state == "idle"

    return check


# ── the contact sheet ────────────────────────────────────────────────────────────────────────────

PICTURES = Path("tests/ui/__snapshots__")
SHEET = Path("snapshots.html")
_STYLE = """
body { background: #222; color: #ddd; font: 14px sans-serif }
section { display: flex; gap: 1em; margin-bottom: 2em }
figure { margin: 0; flex: 1; min-width: 0 } img { width: 100%; border: 1px solid #555 } h2 { font-size: 1em }
"""


def _git(*arguments: str) -> bytes:
    return subprocess.run(["git", *arguments], capture_output=True, check=True).stdout


def changed_pictures() -> list[tuple[Path, bytes | None]]:
    """Return the pictures that differ from the last commit, each with its old version (None: it is new)."""
    status = _git("status", "--porcelain", "--untracked-files=all", "-z", "--", str(PICTURES)).decode()
    changed: list[tuple[Path, bytes | None]] = []
    for line in filter(None, status.split("\0")):
        path = Path(line[3:])
        if path.suffix == ".svg" and path.exists():
            changed.append((path, None if line[:2] == "??" else _git("show", f"HEAD:{path.as_posix()}")))
    return changed


def contact_sheet(changed: list[tuple[Path, bytes | None]], old_folder: Path) -> str:
    """Return a page with each changed picture beside its old version, which is written below `old_folder`."""
    sections = []
    for path, old in changed:
        figures = _figure(path, "new")
        if old is not None:
            before = old_folder / path.parent.name / path.name
            before.parent.mkdir(parents=True, exist_ok=True)
            before.write_bytes(old)
            figures = _figure(before, "old") + figures
        title = html.escape(f"{path.parent.name}: {path.stem}")
        sections.append(f"<h2>{title}</h2><section>{figures}</section>")
    head = f"<!doctype html><meta charset=utf-8><title>Pictures</title><style>{_STYLE}</style>"
    return head + "".join(sections)


def _figure(picture: Path, caption: str) -> str:
    address = quote(picture.as_posix())
    return f'<figure><img src="{address}"><figcaption>{caption}</figcaption></figure>'


def main() -> int:
    """Render all pictures, and write the contact sheet of those that changed."""
    command = [sys.executable, "-m", "pytest", "-n", "2", "-m", "picture", "--snapshot-update", "tests/ui"]
    subprocess.run(command, check=False)
    changed = changed_pictures()
    SHEET.write_text(contact_sheet(changed, Path("build/old-pictures")), encoding="utf-8")
    print(f"{len(changed)} pictures changed. Review {SHEET}, then commit them or restore them with")
    print(f"git checkout {PICTURES}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
