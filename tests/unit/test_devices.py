"""Cards are found by nvidia-smi, if mistral.rs was built for them; a driver that hangs holds up nothing."""

from __future__ import annotations

from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from spnl_tui.engine.mistralrs import devices


def program(folder: Path, script: str) -> str:
    """A directory that holds an nvidia-smi of this script."""
    folder.mkdir()
    path = folder / "nvidia-smi"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(folder)


@pytest.fixture(autouse=True)
def _cuda_build(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "_holds", lambda mark: mark == b"cublasCreate_v2")


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


async def test_hanging_driver_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "_TIMEOUT_S", 0.2)
    monkeypatch.setenv("PATH", program(tmp_path / "bin", "exec sleep 60"), prepend=":")
    assert await devices.find_gpus() == ()


async def test_no_driver_means_no_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert await devices.find_gpus() == ()
    monkeypatch.setenv("PATH", program(tmp_path / "bin", "echo 'A card, 1, 1'"), prepend=":")
    monkeypatch.setattr(devices, "_holds", lambda mark: False)
    assert await devices.find_gpus() == ()


async def test_apples_chips(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices.sys, "platform", "darwin")
    monkeypatch.setattr(devices.platform, "machine", lambda: "arm64")
    assert await devices.find_gpus() == ()
    monkeypatch.setattr(devices, "_holds", lambda mark: mark == b"Metal.framework")
    (gpu,) = await devices.find_gpus()
    assert gpu.device == "metal"
    assert 0 < gpu.memory_available <= gpu.memory_total
    monkeypatch.setattr(devices.platform, "machine", lambda: "x86_64")
    assert await devices.find_gpus() == ()


@pytest.mark.parametrize("mark", [b"cublasCreate_v2", b"Metal.framework"])
def test_build_is_recognized_by_its_library(
    mark: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    spec = ModuleSpec("mistralrs", None, is_package=True)
    spec.submodule_search_locations = [str(tmp_path)]
    monkeypatch.setattr(devices, "find_spec", lambda name: spec)
    library = tmp_path / "mistralrs.abi3.so"
    library.write_bytes(b"\0" * 5000 + b"cublasLtCreate\0")
    assert not devices._holds(mark)
    library.write_bytes(b"\0" * 5000 + mark + b"\0")
    assert devices._holds(mark)
    monkeypatch.setattr(devices, "find_spec", lambda name: None)
    assert not devices._holds(mark)


async def test_newest_card_gets_advice_and_a_broken_driver_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = """case "$*" in *compute_cap*) echo 8.9; echo 7.5 ;; *) echo '| CUDA Version: 12.9 |' ;; esac"""
    monkeypatch.setenv("PATH", program(tmp_path / "bin", script), prepend=":")
    advice = await devices.advise_build()
    assert advice is not None
    assert "+cuda128.sm89'" in advice
    monkeypatch.setenv("PATH", program(tmp_path / "broken", "exit 9"), prepend=":")
    assert await devices.advise_build() is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert await devices.advise_build() is None


@pytest.mark.parametrize(
    ("capability", "driver", "expected"),
    [
        ("9.0", (13, 3), "mistralrs==0.9.5+cuda130.sm90'"),
        ("8.6", (12, 8), "mistralrs==0.9.5+cuda128.sm86'"),
        ("12.1", (12, 9), "mistralrs==0.9.5+cuda129.sm121'"),
        ("12.1", (12, 8), "Update the driver to one that supports CUDA 12.9"),
        ("8.9", (12, 4), "Update the driver to one that supports CUDA 12.8"),
        ("7.5", (13, 0), "no build for cards of compute capability 7.5"),
    ],
)
def test_card_gets_the_name_of_its_build(capability: str, driver: tuple[int, int], expected: str) -> None:
    assert expected in devices.build_for(capability, driver, "0.9.5")
