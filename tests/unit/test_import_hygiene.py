"""What may import what, proven in fresh interpreters; the contracts are in pyproject.toml."""

from __future__ import annotations

import subprocess
import sys

import pytest


def modules_after(statement: str) -> set[str]:
    """The modules that a fresh interpreter has loaded after this statement."""
    code = f"{statement}\nimport sys\nprint(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(result.stdout.split())


@pytest.mark.parametrize(
    "module",
    [
        "engine.mistralrs.backend",
        "hub.pulls.queue",
        "hub.catalog",
        "hub.library.library",
        "conversations.storage.store",
        "chat.sessions",
        "queries.run",
        "services",
        "cli",
    ],
)
def test_nothing_below_the_interface_imports_textual_or_the_engine(module: str) -> None:
    loaded = modules_after(f"import spnl_tui.{module}")
    assert "textual" not in loaded
    assert "mistralrs" not in loaded


def test_models_are_pure() -> None:
    loaded = modules_after(
        "import spnl_tui.models.fit, spnl_tui.models.reference\nfrom spnl_tui.models.files import gguf, local"
    )
    assert not loaded & {"asyncio", "httpx2", "textual", "huggingface_hub", "sqlite3"}


def test_the_wire_needs_the_standard_library_alone() -> None:
    loaded = modules_after(
        "from spnl_tui.engine.mistralrs import wire\nfrom spnl_tui.engine.mistralrs.cache import prefill\n"
        "from spnl_tui.engine.mistralrs.runner import stops"
    )
    foreign = {name.partition(".")[0] for name in loaded} - set(sys.stdlib_module_names) - {"spnl_tui"}
    # What a .pth file of the environment loads at start is none of ours.
    assert not foreign - {name.partition(".")[0] for name in modules_after("pass")}


@pytest.mark.slow
def test_the_interface_imports_nothing_heavy_before_the_first_paint() -> None:
    loaded = modules_after("import spnl_tui.app, spnl_tui.ui.main_screen")
    assert not loaded & {
        "mistralrs",
        "huggingface_hub",
        "httpx2",
        "tomlkit",
        "hf_xet",
        "starlette",
        "uvicorn",
    }


FIRST_PAINT = """
import sys
from spnl_tui.app import SpnlChat
from spnl_tui.engine.service import EngineService
from spnl_tui.settings import Settings
from spnl_tui.ui.services import InterfaceServices

class App(SpnlChat):
    def on_ready(self):  # right after the first paint
        self.painted = set(sys.modules)
        self.exit()

app = App(Settings(), InterfaceServices(engine=EngineService([])))
app.run(headless=True)
for name in set(sys.modules) - app.painted:
    del sys.modules[name]
"""


@pytest.mark.slow
def test_first_paint_imports_neither_requests_nor_turns() -> None:
    later = ("engine.backend", "tools.permissions", "ui.chat.turns", "ui.chat.markdown", "settings.write")
    assert not modules_after(FIRST_PAINT) & {f"spnl_tui.{name}" for name in later}


def test_asking_for_help_starts_nothing() -> None:
    code = "import sys; sys.argv = ['spnl-chat', '--help']; from spnl_tui.__main__ import main\n"
    code += "try: main()\nexcept SystemExit: pass"
    assert not modules_after(code) & {"asyncio", "textual", "mistralrs", "huggingface_hub"}


@pytest.mark.slow
def test_run_with_a_resident_engine_imports_little() -> None:
    names = (
        "cli.main cli.run headless.output headless.chosen_model headless.run_prompt services resident "
        "engine.resident.backend engine.service"
    )
    loaded = modules_after("\n".join(f"import spnl_tui.{name}" for name in names.split()))
    heavy = {"psutil", "huggingface_hub", "textual", "logging.handlers", "email", "sqlite3"}
    assert not loaded & heavy
    assert not {name for name in loaded if name.startswith(("spnl_tui.hub", "spnl_tui.engine.mistralrs"))}
