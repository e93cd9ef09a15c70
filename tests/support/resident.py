"""A resident engine in this process, and clients of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from spnl_tui.engine.backend import Backend
from spnl_tui.engine.resident.address import ResidentAddress
from spnl_tui.engine.resident.backend import ResidentBackend
from spnl_tui.engine.resident.server import Resident
from tests.support.echo_backend import EchoBackend
from tests.support.waiting import wait_until


def address_in(folder: Path, identity: str = "1.0 same") -> ResidentAddress:
    """Return the address of a resident whose socket lies in this folder."""
    return ResidentAddress.within(folder / "run", folder / "state", identity)


@asynccontextmanager
async def running_resident(
    engine: Backend, address: ResidentAddress, **options: Any
) -> AsyncIterator[asyncio.Task[None]]:
    """Run a resident over this engine, and yield its task; cancelling it kills it without a farewell."""
    resident = Resident(engine, address, **{"keep_warm_s": 60.0, "max_concurrent": 4, **options})
    task = asyncio.create_task(resident.run())
    await wait_until(lambda: address.socket.exists() or task.done())
    try:
        yield task
    finally:
        resident.stop()
        await asyncio.wait((task,))
        if not task.cancelled():
            task.result()


@asynccontextmanager
async def client_of(
    address: ResidentAddress, local: Callable[[], Backend] = EchoBackend, **options: Any
) -> AsyncIterator[ResidentBackend]:
    """Yield a client; `local` makes the engine that it uses without a resident."""
    client = ResidentBackend("bare", address, local, program="test", **options)
    try:
        yield client
    finally:
        await client.close()


@asynccontextmanager
async def resident_and_client(
    engine: Backend, folder: Path, **options: Any
) -> AsyncIterator[ResidentBackend]:
    """Run a resident over this engine in a folder, and yield a client of it."""
    address = address_in(folder)
    async with running_resident(engine, address, **options), client_of(address) as client:
        yield client
