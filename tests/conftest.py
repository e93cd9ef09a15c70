"""Give every test its own directories, no user configuration, and no network but loopback."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest

from spnl_tui.paths import Paths
from tests.support.hub import LoopbackHub
from tests.support.starter import starter_file

# HF_* variables are read when huggingface_hub is imported, so they are set before anything imports it.
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ["HF_HUB_DISABLE_XET"] = "1"
for _name in [name for name in os.environ if name.startswith(("MISTRALRS_", "SPNL_"))]:
    del os.environ[_name]
# Otherwise hundreds of child processes would compile the program again, a third of their start-up time.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# The duration of an example depends on the machine, not on the code.
hypothesis.settings.register_profile(
    "untimed", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("untimed")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by what they use.

    `alone`: runs the real model, which uses all processors (below tests/unit and tests/hub its file is only
    read). `slow`: runs whole programs. `picture`: compares a picture.
    """
    for item in items:
        if item.path.parent.name == "e2e":
            item.add_marker(pytest.mark.slow)  # whole programs
        if "snap_compare" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.picture)
        if "starter_gguf" in getattr(item, "fixturenames", ()) and item.path.parent.name in ("e2e", "engine"):
            item.add_marker(pytest.mark.alone)


@pytest.fixture(autouse=True)
def _own_directories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    for name, folder in {
        "XDG_CONFIG_HOME": ".config",
        "XDG_DATA_HOME": ".local/share",
        "XDG_STATE_HOME": ".local/state",
        "XDG_CACHE_HOME": ".cache",
        "XDG_RUNTIME_DIR": ".run",
        "HF_HOME": ".cache/huggingface",
    }.items():
        monkeypatch.setenv(name, str(home / folder))
    (home / ".run").mkdir()  # else the user's own would be used
    for name in ("HF_TOKEN", "MISTRALRS_HF_TOKEN", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    """Return spnl-chat's directories, below the test's own."""
    return Paths.below(tmp_path / "spnl")


@pytest.fixture(scope="session")
def starter_gguf() -> Path:
    """Return the real SmolLM2-135M-Instruct as GGUF (Q4_1)."""
    return starter_file()


@pytest.fixture(scope="session")
def requantized(starter_gguf: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return the real model with every matrix in the given type, created once for all tests."""
    from tests.support.requantize import requantize

    @functools.cache
    def make(type: str) -> Path:
        return requantize(starter_gguf, tmp_path_factory.mktemp(type) / "m.gguf", type)

    return make


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackHub]:
    """Yield an empty Hugging Face hub on 127.0.0.1; `hub.add_repo(...)` fills it.

    huggingface_hub reads HF_ENDPOINT when it is imported, so the variable is for child processes: within the
    test, pass `hub.endpoint` on.
    """
    with LoopbackHub() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        yield hub
