"""Which graphics processors mistral.rs could use. The system is asked: only a runner imports mistral.rs."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import platform
import shutil
import sys
from importlib.metadata import PackageNotFoundError, distribution

import psutil

from spnl_tui.models.machine import Gpu

log = logging.getLogger(__name__)

_TIMEOUT_S = 5.0
"""nvidia-smi takes half a second, or for ever if the driver hangs."""
_APPLE_SHARE = 0.7
"""Of the machine's memory, what Metal lends to one process by default."""


async def find_gpus() -> tuple[Gpu, ...]:
    """The graphics processors that the installed mistral.rs was built for; none with the plain CPU wheel."""
    if _installed("mistralrs-cuda"):
        return await _nvidia()
    if _installed("mistralrs-metal") and sys.platform == "darwin" and platform.machine() == "arm64":
        memory = psutil.virtual_memory()
        total = int(memory.total * _APPLE_SHARE)
        return (Gpu("Apple GPU", "metal", total, min(total, int(memory.available))),)
    return ()


def _installed(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True


async def _nvidia() -> tuple[Gpu, ...]:
    program = shutil.which("nvidia-smi")
    if program is None:
        return ()
    process = await asyncio.create_subprocess_exec(
        program,
        "--query-gpu=name,memory.total,memory.free",
        "--format=csv,noheader,nounits",
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), _TIMEOUT_S)
    except TimeoutError:
        log.warning("nvidia-smi did not answer within %s s: no card is used", _TIMEOUT_S)
        return ()
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    return parse_nvidia(output.decode("utf-8", "replace"))


def parse_nvidia(output: str) -> tuple[Gpu, ...]:
    """The cards in nvidia-smi's table of name, total and free MiB; any other line is left out."""
    gpus = []
    for line in output.splitlines():
        name, _, rest = line.rpartition(",")[0].rpartition(",")
        free = line.rpartition(",")[2].strip()
        if rest.strip().isdigit() and free.isdigit():
            gpus.append(Gpu(name.strip(), "cuda", int(rest) << 20, int(free) << 20))
    return tuple(gpus)
