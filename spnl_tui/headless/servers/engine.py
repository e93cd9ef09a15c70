"""`spnl-chat engine`, `ps` and `unload`: the resident engine, which keeps models for all programs."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import time
from collections import deque
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from spnl_tui.engine.backend import LoadedModel
from spnl_tui.engine.resident import wire
from spnl_tui.engine.resident.link import Link, LinkLost
from spnl_tui.errors import CommandError, RunnerError
from spnl_tui.headless.output import OK, print_json
from spnl_tui.headless.tables import print_table
from spnl_tui.log import start_log
from spnl_tui.resident import resident_address, start_resident
from spnl_tui.services import Services
from spnl_tui.tables import Column
from spnl_tui.text import plain

if TYPE_CHECKING:
    from spnl_tui.models.files.local import LocalModel

_LINES = 200
_STOP_S = 5.0


async def run(services: Services) -> int:
    """Run the resident engine until no client needs it or it is stopped.

    Raises:
        SpnlError: another one runs, or the socket cannot be created.
    """
    from spnl_tui.engine.resident.server import Resident
    from spnl_tui.models.reference import ModelReference
    from spnl_tui.services import make_local_backend

    start_log(services.paths.resident_log_file)
    settings, engine = services.settings, services.settings.engine

    async def resolve(reference: str) -> LocalModel | None:
        return await services.library.resolve(ModelReference.parse(reference))

    backend = make_local_backend(settings, services.paths, resolve, services.library.mark_used)
    resident = Resident(
        backend,
        resident_address(settings, services.paths),
        keep_warm_s=engine.keep_warm_minutes * 60,
        max_concurrent=engine.max_concurrent,
    )
    try:
        await resident.run()
    finally:
        await backend.close()
    return OK


async def start(services: Services) -> int:
    """Start the resident engine, if none runs."""
    if (link := await _link(services)) is not None:
        assert link.welcome is not None
        await link.close()
        print(f"The resident engine runs already (process {link.welcome.pid}).")
        return OK
    address = resident_address(services.settings, services.paths)
    usual = services.config_file == services.paths.config / "config.toml"
    pid = await start_resident(address, services.paths, None if usual else services.config_file)
    print(f"The resident engine runs (process {pid}).")
    return OK


async def stop(services: Services) -> int:
    """Stop the resident engine and wait for its end."""
    if (link := await _link(services)) is None:
        print("No resident engine runs.")
        return OK
    assert link.welcome is not None
    pid = link.welcome.pid
    link.send(lambda id: wire.Stop(id=id))
    try:
        async with asyncio.timeout(_STOP_S):
            while _is_alive(pid):  # noqa: ASYNC110  # another process, which has no event
                await asyncio.sleep(0.02)
    except TimeoutError as error:
        raise RunnerError(
            "The resident engine does not stop", f"Process {pid} still runs.", f"End it: kill -9 {pid}"
        ) from error
    finally:
        await link.close()
    print("The resident engine has stopped.")
    return OK


async def status(services: Services, *, json_: bool) -> int:
    """Print whether the resident engine runs, and for whom."""
    report = await _status(services)
    if json_:
        print_json(None if report is None else dataclasses.asdict(report))
        return OK
    if report is None:
        print("No resident engine runs. Start it: spnl-chat engine start")
        return OK
    own = resident_address(services.settings, services.paths).identity
    version, _, _ = report.identity.partition(" ")
    print(f"The resident engine runs (process {report.pid}, version {version}) for {_span(report.uptime_s)}.")
    if report.identity != own:
        print("It has another version or other settings than this program, which therefore does not use it.")
        print("Restart it: spnl-chat engine stop, then spnl-chat engine start")
    for client in report.clients:
        running = f", {client.requests} running or waiting" if client.requests else ""
        print(f"  {plain(client.program)} (process {client.pid}){running}")
    print(f"  {len(report.loaded)} loaded; it ends {_span(report.keep_warm_s)} after the last client leaves.")
    return OK


async def logs(services: Services, *, follow: bool) -> int:
    """Print the end of the log of the resident engine; with `follow`, also what is added."""
    file = services.paths.resident_log_file
    if not file.exists():
        print("The resident engine has not logged anything yet.")
        return OK
    with _opened(file) as log:
        for line in deque(log, _LINES):
            print(plain(line.rstrip("\n")))
        while follow:
            if line := log.readline():
                print(plain(line.rstrip("\n")), flush=True)
            else:
                await asyncio.sleep(0.2)
    return OK


async def ps(services: Services, *, json_: bool) -> int:
    """Print the models that are loaded, for whom, and until when."""
    report = await _status(services)
    if json_:
        print_json([] if report is None else [_as_dict(each, report) for each in report.loaded])
        return OK
    if report is None:
        print("No resident engine runs, so no model stays loaded. Start it: spnl-chat engine start")
    elif not report.loaded:
        print("No model is loaded.")
    else:
        rows = [
            (
                plain(each.model.name),
                each.state,
                f"{each.memory_bytes / 1e9:.1f} GB",
                f"{each.context_length:,}" if each.context_length else "",
                _until(each, report),
                ", ".join(_users(each, report)),
            )
            for each in report.loaded
        ]
        names = ("MODEL", "STATE", "MEMORY", "CONTEXT", "UNLOADS", "USED BY")
        print_table([Column(name) for name in names], rows)
    return OK


async def unload(services: Services, name: str) -> int:
    """Unload a model from the resident engine, by its name or the end of it.

    Raises:
        CommandError: it is not loaded, or several have this name.
    """
    report = await _status(services)
    loaded = () if report is None else report.loaded
    found = [each for each in loaded if each.model.name == name] or [
        each for each in loaded if name.lower() in each.model.name.lower()
    ]
    if len(found) != 1:
        names = ", ".join(each.model.name for each in loaded) or "none"
        raise CommandError(
            f"{name} is not loaded" if not found else f"Several loaded models are called {name}",
            f"Loaded: {names}.",
            "Give the name as spnl-chat ps prints it.",
        )
    if (link := await _link(services)) is None:
        raise LinkLost
    try:
        model = found[0].model
        async with aclosing(link.stream(lambda id: wire.Unload(id=id, model=model))) as events:
            async for _ in events:
                continue
    finally:
        await link.close()
    print(f"{plain(found[0].model.name)} is unloaded.")
    return OK


def _opened(file: Path) -> TextIO:
    return open(file, encoding="utf-8", errors="replace")


async def _link(services: Services) -> Link | None:
    address = resident_address(services.settings, services.paths)
    return await Link.open(address, "spnl-chat engine", watch=False)


async def _status(services: Services) -> wire.Status | None:
    if (link := await _link(services)) is None:
        return None
    try:
        async with aclosing(link.stream(lambda id: wire.Report(id=id))) as events:
            async for event in events:
                if isinstance(event, wire.Status):
                    others = tuple(client for client in event.clients if client.pid != os.getpid())
                    return dataclasses.replace(event, clients=others)
    except LinkLost:
        return None
    finally:
        await link.close()
    return None


def _users(loaded: LoadedModel, report: wire.Status) -> list[str]:
    return [
        f"{plain(client.program)} ({client.pid})"
        for client in report.clients
        if loaded.model.name in client.models
    ]


def _until(loaded: LoadedModel, report: wire.Status) -> str:
    if loaded.idle_s is None:
        return "while in use"
    return f"in {_span(max(0, report.keep_warm_s - loaded.idle_s))}"


def _as_dict(loaded: LoadedModel, report: wire.Status) -> dict[str, object]:
    left = None if loaded.idle_s is None else max(0.0, report.keep_warm_s - loaded.idle_s)
    return {
        "model": loaded.model.name,
        "state": loaded.state,
        "memory_bytes": loaded.memory_bytes,
        "context_length": loaded.context_length,
        "pid": loaded.pid,
        "unloads_at": None if left is None else round(time.time() + left),
        "used_by": _users(loaded, report),
    }


def _span(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A child of this process that has ended is a zombie until it is waited for.
    try:
        return os.waitpid(pid, os.WNOHANG) == (0, 0)
    except ChildProcessError:
        return True
