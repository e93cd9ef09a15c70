"""This user's resident engine: where it listens, what its clients must share with it, and how it starts."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from spnl_tui import __version__
from spnl_tui.engine.resident.address import ResidentAddress
from spnl_tui.errors import RunnerError, cause_of

if TYPE_CHECKING:
    import subprocess

    from spnl_tui.engine.backend import Backend
    from spnl_tui.engine.resident.backend import ResidentBackend
    from spnl_tui.paths import Paths
    from spnl_tui.settings import Settings

_START_S = 15.0
"""Limit for a resident to start; on a busy machine its imports take seconds."""
_NOT_SHARED = ("resident", "num_parallel", "stream", "keep_warm_minutes")
"""Engine settings that may differ between a client and the resident: they do not change a load."""
_VARIABLES = ("HF_HOME", "HF_HUB_CACHE", "MISTRALRS_CPU_KV_F32")


def resident_address(settings: Settings, paths: Paths) -> ResidentAddress:
    """Return the address of the resident engine.

    Its identity is the version of the program and a digest of the settings by which models are found and
    loaded: with others, a client must not use it.
    """
    engine = {name: value for name, value in asdict(settings.engine).items() if name not in _NOT_SHARED}
    hub = {name: value for name, value in asdict(settings.hub).items() if name not in ("token", "timeout_s")}
    variables = {name: os.environ.get(name) for name in _VARIABLES}
    shared = [engine, hub, variables, settings.model.template, settings.context.length]
    digest = hashlib.sha256(json.dumps(shared, default=str, sort_keys=True).encode()).hexdigest()[:12]
    identity = f"{__version__} {digest}"
    return ResidentAddress.within(paths.runtime, paths.state, identity)


def resident_backend(
    id: str, settings: Settings, paths: Paths, make_local: Callable[[], Backend], *, watch: bool = True
) -> ResidentBackend:
    """Return a backend that uses the resident engine, and starts it if the settings say so."""
    from spnl_tui.engine.resident.backend import ResidentBackend

    address = resident_address(settings, paths)

    async def start() -> None:
        # Only settings of a file have keys. It may not be the usual one, and the resident must read it, too.
        files = (origin.where for origin in settings.origins.values() if origin.keys)
        await start_resident(address, paths, next(map(Path, files), None))

    return ResidentBackend(
        id,
        address,
        make_local,
        program=Path(sys.argv[0]).name if sys.argv else "spnl-chat",
        watch=watch,
        start=start if settings.engine.resident == "always" else None,
    )


async def start_resident(address: ResidentAddress, paths: Paths, config: Path | None = None) -> int:
    """Start a resident engine in the background and return its process id once it accepts clients.

    `config` is the configuration file if it is not the usual one.

    Raises:
        RunnerError: it does not start.
    """
    from spnl_tui.engine.resident.link import Link

    try:
        process = _spawn(paths.resident_log_file, config)
    except OSError as error:
        raise RunnerError(
            "The resident engine cannot start",
            f"{paths.resident_log_file}: {cause_of(error)}.",
            "Check that the directory can be written to and that the disk is not full.",
        ) from error
    try:
        async with asyncio.timeout(_START_S):
            while process.poll() is None:
                if (link := await Link.open(address, "start", watch=False)) is not None:
                    assert link.welcome is not None
                    await link.close()
                    return link.welcome.pid
                await asyncio.sleep(0.02)
    except TimeoutError:
        process.kill()
    raise RunnerError(
        "The resident engine does not start", "Its log has the reason.", "Show it: spnl-chat engine logs"
    )


def _spawn(log_file: Path, config: Path | None) -> subprocess.Popen[bytes]:
    import subprocess

    log_file.parent.mkdir(parents=True, exist_ok=True)
    options = () if config is None else ("--config", str(config.absolute()))
    with open(log_file, "ab") as log:
        # In a session of its own, so that no terminal ends it.
        return subprocess.Popen(
            (sys.executable, "-m", "spnl_tui", *options, "engine", "run"),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            start_new_session=True,
        )
