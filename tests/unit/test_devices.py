"""Cards are found by nvidia-smi, if mistral.rs was built for them; a driver that hangs holds up nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from spnl_tui.engine import devices


def program(folder: Path, script: str) -> str:
    """A directory that holds an nvidia-smi of this script."""
    folder.mkdir()
    path = folder / "nvidia-smi"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(folder)


@pytest.fixture(autouse=True)
def _cuda_build(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "_installed", lambda name: name == "mistralrs-cuda")


async def test_cards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = (
        "echo 'NVIDIA H100, rev 2, 81559, 80000'; echo 'NVIDIA T4, 15360, 1024'; echo 'Broken, [N/A], [N/A]'"
    )
    monkeypatch.setenv("PATH", program(tmp_path / "bin", script), prepend=":")
    cards = await devices.find_gpus()
    assert [(card.name, card.memory_total, card.memory_available) for card in cards] == [
        ("NVIDIA H100, rev 2", 81559 << 20, 80000 << 20),
        ("NVIDIA T4", 15360 << 20, 1024 << 20),
    ]


async def test_a_hanging_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "_TIMEOUT_S", 0.2)
    monkeypatch.setenv("PATH", program(tmp_path / "bin", "exec sleep 60"), prepend=":")
    assert await devices.find_gpus() == ()


async def test_no_driver_and_no_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert await devices.find_gpus() == ()
    monkeypatch.setenv("PATH", program(tmp_path / "bin", "echo 'A card, 1, 1'"), prepend=":")
    monkeypatch.setattr(devices, "_installed", lambda name: False)
    assert await devices.find_gpus() == ()
