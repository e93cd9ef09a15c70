"""The models pane for tests: a real catalog and library, a hub on 127.0.0.1, always the same machine."""

from __future__ import annotations

import functools
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from textual.message import Message

from spnl_tui.hub.access import HubAccess
from spnl_tui.hub.catalog import Catalog
from spnl_tui.hub.inspection import ModelBrowser
from spnl_tui.hub.library.library import Library
from spnl_tui.hub.verdicts import Conditions
from spnl_tui.models.fit import Calibration
from spnl_tui.models.machine import Machine
from spnl_tui.ui.models.pane import ModelsPane
from tests.support.gguf_maker import make_gguf
from tests.support.hf_cache import add_snapshot
from tests.support.hub import LoopbackHub
from tests.support.waiting import wait_until
from tests.ui.support import Chat, chat

SMALL_MACHINE = Conditions(
    machine=Machine(cores=2, fast_cores=2, memory_total=8 * 10**9, memory_available=210_000_000),
    context=8192,
    calibration=Calibration(decode={"Q8_0": 2e-9}, prefill={"Q8_0": 1e-10}),
)
"""A machine with memory for the synthetic model, but not for every quantization with a long context."""
WIDE = (200, 60)
HERE = "acme/Cached-GGUF:Q8_0"
"""The only model on this machine."""
SHAPE: dict[str, Any] = {
    "layers": 4,
    "width": 512,
    "feed_forward": 1024,
    "vocabulary": 2048,
    "context": 40960,
}
TYPES = {"Q2_K": "Q2_K", "Q4_K_S": "Q4_K", "Q6_K": "Q6_K", "Q8_0": "Q8_0", "F16": "F16", "F32": "F32"}


@functools.cache
def _made() -> tuple[TemporaryDirectory[str], list[Path]]:
    """Create the files of `made_files` once for all tests."""
    folder = TemporaryDirectory()
    files = []
    for label, type in TYPES.items():
        ends = type if type in ("Q8_0", "F16", "F32") else "Q6_K"
        path = Path(folder.name) / f"made-{label}.gguf"
        files.append(make_gguf(path, matrix=type, embedding=ends, **SHAPE))
    return folder, files


def made_files(folder: Path) -> dict[str, Path]:
    """Return one model in several quantizations, linked into this folder. Do not write to the files."""
    folder.mkdir(exist_ok=True)
    _, made = _made()
    for file in made:
        os.link(file, folder / file.name)
    return {file.name: folder / file.name for file in made}


def fill(hub: LoopbackHub, folder: Path, *, others: int = 8) -> None:
    """Add a repository whose quantizations have different verdicts, and some others."""
    hub.add_repo(
        "acme/Made-GGUF",
        {**made_files(folder), "made-IQ4_XS.gguf": b"i" * 7_000_000},
        downloads=123_456,
        likes=789,
        trending=999,
        gguf={"total": 11_500_000, "architecture": "llama", "context_length": 40960, "chat_template": "x"},
    )
    for number in range(others):
        kind = "Instruct-" if number % 3 else ""
        hub.add_repo(
            f"someone/Other-{number:02}-{kind}GGUF",
            {"other-Q4_K_M.gguf": b"GGUF"},
            downloads=number * 1000,
            likes=number,
            trending=100 - number,
            gated=number % 5 == 4,
            last_modified=f"2025-{number % 12 + 1:02}-01T00:00:00.000Z",
            gguf={"total": number * 10**8, "architecture": "qwen3", "chat_template": "x"},
        )


def cache(folder: Path, models: Mapping[str, Mapping[str, bytes | Path]]) -> Path:
    """Create a Hugging Face cache with these repositories."""
    for repository, files in models.items():
        add_snapshot(folder, repository, files)
    return folder


@dataclass
class Models(Chat):
    """The app with the models pane shown."""

    browser: ModelBrowser

    @property
    def pane(self) -> ModelsPane:
        assert self.screen.panes.models is not None
        return self.screen.panes.models

    @property
    def rows(self) -> list[str]:
        """The rows of the list; headings start with `#`, notes with `!`."""
        marks = {"heading": "# ", "note": "! ", "error": "! ", "item": ""}
        return [marks[row.row.kind] + row.row.left for row in self.pane.list.rows]

    @property
    def highlighted(self) -> str:
        row = self.pane.list.highlighted_row
        return row.row.left if row else ""

    @property
    def badges(self) -> dict[str, str]:
        return {label: found.badge for label, found in self.pane.details.appraisals.items()}

    @property
    def reasons(self) -> str:
        return str(self.pane.query_one("#reasons").render())

    async def type_text(self, text: str) -> None:
        await self.press(*text)

    async def until_found(self, text: str) -> None:
        """Wait for the hub's response to this search."""
        await wait_until(
            lambda: self.pane._results.query.text == text and not self.pane._results.busy,
        )
        await self.pilot.pause()

    async def until_judged(self) -> None:
        """Wait for the verdicts on the highlighted model."""
        await wait_until(
            lambda: (
                (look := self.pane.details.look) is not None
                and look.subject == self.pane.list.chosen
                and not look.waiting_for
            )
        )
        await self.pilot.pause()

    def sent(self, kind: type[Message]) -> list[Any]:
        return [message for message in self.messages if isinstance(message, kind)]


@asynccontextmanager
async def models(
    hub: LoopbackHub | str,
    folder: Path,
    *,
    conditions: Conditions = SMALL_MACHINE,
    token: str | Literal[False] = False,
    timeout: float = 5,
    measure: Callable[[], Awaitable[object]] | None = None,
    **options: Any,
) -> AsyncIterator[Models]:
    """Run the interface with the models pane open and the local models listed."""
    endpoint = hub if isinstance(hub, str) else hub.endpoint
    browser = make_browser(endpoint, folder, conditions=conditions, token=token, timeout=timeout)
    browser._measure = measure
    async with chat(browser=browser, **options) as it:
        await it.press("f3")
        await wait_until(
            lambda: (
                (pane := it.screen.panes.models) is not None
                and it.screen.panes.seen == "models"
                and it.app.focused is pane.search
            )
        )
        shown = Models(it.pilot, it.app, it.engine, it.messages, browser)
        await wait_until(lambda: shown.pane.listed)
        await it.pilot.pause()
        yield shown
    await browser._catalog.close()
    await browser._library.close()


def make_browser(
    endpoint: str,
    folder: Path,
    *,
    conditions: Conditions = SMALL_MACHINE,
    token: str | Literal[False] = False,
    timeout: float = 5,
) -> ModelBrowser:
    """Return a browser of this hub and of the cache `hub` in this folder."""

    async def now() -> Conditions:
        return conditions

    catalog = Catalog(HubAccess(endpoint, token), timeout=timeout)
    return ModelBrowser(catalog, Library(folder / "hub", folder / "imported.json"), now)
