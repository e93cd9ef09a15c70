"""Which resident engine a program may use, and how it starts one."""

from __future__ import annotations

from pathlib import Path

import pytest

from spnl_tui import resident
from spnl_tui.engine.resident.address import ResidentAddress
from spnl_tui.paths import Paths
from spnl_tui.resident import resident_address, resident_backend
from spnl_tui.settings import load_settings
from tests.support.echo_backend import EchoBackend


def test_settings_that_change_a_load_change_the_identity(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    def identity(**flags: object) -> str:
        named = {name.replace("__", "."): value for name, value in flags.items()}
        settings = load_settings(Path("none.toml"), environ={}, flags=named, must_exist=False)
        return resident_address(settings, paths).identity

    usual = identity()
    assert identity(engine__num_parallel=3, engine__resident="always", sampling__temperature=0.1) == usual
    for change in ({"engine__threads": 3}, {"model__template": "chatml"}, {"context__length": 512}):
        assert identity(**change) != usual, change
    monkeypatch.setenv("HF_HOME", "/elsewhere")
    assert identity() != usual


async def test_started_resident_reads_the_same_configuration(
    tmp_path: Path, paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Path | None] = []

    async def start(address: ResidentAddress, paths: Paths, config: Path | None = None) -> int:
        started.append(config)
        return 1

    monkeypatch.setattr(resident, "start_resident", start)
    file = tmp_path / "own.toml"
    file.write_text('[engine]\nresident = "always"\n')
    settings = load_settings(file, environ={}, flags={}, must_exist=True)
    client = resident_backend("echo", settings, paths, EchoBackend)
    assert await client.find("echo") is not None
    await client.close()
    assert started == [file]
