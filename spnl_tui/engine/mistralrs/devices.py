"""Finds the graphics processors that mistral.rs computes on, without importing it.

Each build of mistral.rs is for one kind of device and accepts no other (mistralrs-pyo3/src/lib.rs,
get_device). All builds have the same name: PyPI has the builds for CPUs, and for Metal on Apple chips. Those
for CUDA are attached to its releases or built from source. Only the library file shows which build it is.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import mmap
import platform
import re
import shutil
import sys
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import psutil

from spnl_tui.models.machine import Gpu

log = logging.getLogger(__name__)

_TIMEOUT_S = 5.0
"""Seconds to wait for nvidia-smi. It takes half a second, but never returns if the driver hangs."""
_TABLE = "--format=csv,noheader,nounits"
_CAPABILITIES = ("8.0", "8.6", "8.9", "9.0", "10.0", "12.0", "12.1")
"""Compute capabilities of the graphics cards that mistral.rs is built for."""
_APPLE_SHARE = 0.7
"""The share of the machine's memory that Metal gives to one process by default."""
_CUDA_MARK, _METAL_MARK = b"cublasCreate_v2", b"Metal.framework"
"""Byte strings that only the library of a build for that device contains."""


async def find_gpus() -> tuple[Gpu, ...]:
    """Return the graphics processors that the installed mistral.rs uses; none if it was built for the CPU."""
    if sys.platform == "darwin":
        # mistral.rs has no Metal build for Macs with Intel processors.
        if platform.machine() != "arm64" or not await asyncio.to_thread(_holds, _METAL_MARK):
            return ()
        memory = psutil.virtual_memory()
        total = int(memory.total * _APPLE_SHARE)
        return (Gpu("Apple GPU", "metal", total, min(total, int(memory.available))),)
    if shutil.which("nvidia-smi") is None or not await asyncio.to_thread(_holds, _CUDA_MARK):
        return ()
    return await _nvidia()


def _holds(mark: bytes) -> bool:
    """Return True if the library of the installed mistral.rs contains these bytes. Takes about 50 ms."""
    spec = find_spec("mistralrs")
    for folder in spec.submodule_search_locations or () if spec else ():
        for library in (*Path(folder).glob("*.so"), *Path(folder).glob("*.pyd")):
            with library.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                if content.find(mark) >= 0:
                    return True
    return False


async def _nvidia() -> tuple[Gpu, ...]:
    return parse_nvidia(await _nvidia_smi("--query-gpu=name,memory.total,memory.free", _TABLE))


def parse_nvidia(output: str) -> tuple[Gpu, ...]:
    """Return the cards in nvidia-smi's table of name, total and free MiB; ignore invalid lines."""
    gpus = []
    for line in output.splitlines():
        name, _, rest = line.rpartition(",")[0].rpartition(",")
        free = line.rpartition(",")[2].strip()
        if rest.strip().isdigit() and free.isdigit():
            gpus.append(Gpu(name.strip(), "cuda", int(rest) << 20, int(free) << 20))
    return tuple(gpus)


async def advise_build() -> str | None:
    """Return a sentence that says which build to install for this machine's card; None if there is no
    card."""
    if shutil.which("nvidia-smi") is None:
        return None
    capabilities = (await _nvidia_smi("--query-gpu=compute_cap", _TABLE)).split()
    driver = re.search(r"CUDA Version\s*: *(\d+)\.(\d+)", await _nvidia_smi())
    if not capabilities or driver is None:
        return None
    return build_for(
        capabilities[0], (int(driver[1]), int(driver[2])), version("mistralrs").partition("+")[0]
    )


def build_for(capability: str, driver: tuple[int, int], release: str) -> str:
    """Return this advice for a compute capability, the driver's CUDA version and a release of mistral.rs.

    The tables are those of mistral.rs (its docs: reference/hardware-support, guides/python/getting-started).
    """
    if capability not in _CAPABILITIES:
        return f"mistral.rs has no build for cards of compute capability {capability}."
    toolkits = ((13, 0), (12, 9)) if capability == "12.1" else ((13, 0), (12, 8))
    toolkit = next((toolkit for toolkit in toolkits if toolkit <= driver), None)
    if toolkit is None:
        major, minor = toolkits[-1]
        return f"Update the driver to one that supports CUDA {major}.{minor}, which mistral.rs needs."
    build = f"cuda{toolkit[0]}{toolkit[1]}.sm{capability.replace('.', '')}"
    return (
        f"For the graphics card: {sys.executable} -m pip install 'mistralrs=={release}+{build}' "
        f"--find-links https://github.com/EricLBuehler/mistral.rs/releases/expanded_assets/v{release}"
    )


async def _nvidia_smi(*arguments: str) -> str:
    """Return the output of nvidia-smi; empty if it fails or takes too long."""
    process = await asyncio.create_subprocess_exec(
        "nvidia-smi",
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), _TIMEOUT_S)
    except TimeoutError:
        log.warning("nvidia-smi did not answer within %s s: no card is used", _TIMEOUT_S)
        return ""
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    return output.decode("utf-8", "replace")
