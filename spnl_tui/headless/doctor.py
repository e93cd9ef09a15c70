"""`spnl-chat doctor`: check this machine and this installation, and say how to fix problems."""

from __future__ import annotations

import asyncio
import dataclasses
import locale
import os
import platform
import shutil
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

from spnl_tui.errors import HubError, SettingsError, cause_of
from spnl_tui.headless.output import FAILED, OK, colour, print_json
from spnl_tui.hub.library.cache_layout import default_cache
from spnl_tui.hub.library.programs.usage import duplicates_of, usage_of
from spnl_tui.hub.library.scan import LibraryEntry
from spnl_tui.hub.model_lines import title_of_origin
from spnl_tui.load_planning import advise_engine_build, engine_threads, this_machine
from spnl_tui.models.machine import Machine
from spnl_tui.services import Services
from spnl_tui.text import in_bytes, plain

Level = Literal["ok", "note", "problem"]
_PACKAGES = ("spnl-chat", "mistralrs", "textual", "huggingface_hub")
_LITTLE_MEMORY = 2_000_000_000
_LITTLE_DISK = 5_000_000_000


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check. `remedy` says what to do, if anything."""

    name: str
    level: Level
    value: str
    remedy: str = ""


async def doctor(services: Services, *, json_: bool) -> int:
    """Print every finding; the exit code is 1 if one is a problem."""
    found = [finding async for finding in _findings(services)]
    if json_:
        print_json({"findings": [dataclasses.asdict(finding) for finding in found]})
    else:
        marks: dict[Level, tuple[str, str]] = {"ok": ("✓", "32"), "note": ("–", "33"), "problem": ("✗", "31")}
        width = max(len(finding.name) for finding in found)
        for finding in found:
            mark, tint = marks[finding.level]
            if colour(sys.stdout):
                mark = f"\x1b[{tint}m{mark}\x1b[0m"
            print(f"{mark} {finding.name:<{width}}  {plain(finding.value)}")
            if finding.remedy:
                print(f"  {'':<{width}}  → {plain(finding.remedy)}")
    return FAILED if any(finding.level == "problem" for finding in found) else OK


async def _findings(services: Services) -> AsyncIterator[Finding]:
    yield _versions()
    machine = await this_machine()
    yield await _device(machine)
    yield _threads(services, machine)
    yield _memory(machine)
    yield await asyncio.to_thread(_cache)
    listing = await services.library.listing()
    count = len(listing.entries)
    remedy = "" if count else "Get one: spnl-chat pull starter"
    yield Finding("models here", "ok" if count else "note", str(count), remedy)
    for problem in listing.problems:
        yield Finding("models here", "problem", problem.message, problem.hint)
    for finding in await asyncio.to_thread(_models_on_disk, listing.entries):
        yield finding
    yield await _hub(services)
    yield _token(services)
    yield _terminal()
    yield _configuration(services)
    yield Finding("log", "ok", str(services.paths.log_file))


def _models_on_disk(entries: Sequence[LibraryEntry]) -> list[Finding]:
    """Return what each program uses for models, and the files that exist twice."""
    found = []
    try:
        for usage in usage_of(entries):
            title = title_of_origin(usage.origin)
            models = f"{usage.count} model{'' if usage.count == 1 else 's'}"
            found.append(Finding(f"from {title}", "ok", f"{models}, {in_bytes(usage.bytes)}"))
        for same in duplicates_of(entries):
            paths = " = ".join(str(path) for path in same.paths)
            spare = in_bytes(same.bytes * (len(same.paths) - 1))
            found.append(Finding("exists twice", "note", paths, f"Keep one of them: the others use {spare}."))
    except OSError as error:  # a program has deleted a model meanwhile
        found.append(Finding("models here", "note", f"{error.filename}: {cause_of(error)}"))
    return found


def _configuration(services: Services) -> Finding:
    file = str(services.paths.config / "config.toml")
    if services.settings.keys:
        from spnl_tui.ui.commands.registry import COMMANDS

        try:
            services.settings.check_keys(command.id for command in COMMANDS)
        except SettingsError as error:
            return Finding("configuration", "problem", error.message, error.hint)
    return Finding("configuration", "ok", file)


def _versions() -> Finding:
    versions = []
    for package in _PACKAGES:
        try:
            versions.append(f"{package} {version(package)}")
        except PackageNotFoundError:  # run from a checkout that is not installed
            versions.append(f"{package} (not installed)")
    return Finding("versions", "ok", f"{', '.join(versions)}, Python {platform.python_version()}")


async def _device(machine: Machine) -> Finding:
    if machine.gpus:
        names = ", ".join(f"{gpu.name} ({in_bytes(gpu.memory_available)} free)" for gpu in machine.gpus)
        return Finding("device", "ok", names)
    advice = await advise_engine_build()
    return Finding("device", "note" if advice else "ok", f"CPU: {machine.processor}", advice or "")


def _threads(services: Services, machine: Machine) -> Finding:
    wanted = services.settings.engine.threads
    threads = engine_threads(services.settings, machine)
    value = f"{threads} of {machine.cores} usable cores"
    if wanted is not None and wanted > machine.cores:
        return Finding(
            "threads",
            "note",
            value,
            f"engine.threads is {wanted}: more than there are cores is 20 times slower.",
        )
    if (given := os.environ.get("RAYON_NUM_THREADS")) and given != str(threads):
        return Finding(
            "threads", "note", value, f"RAYON_NUM_THREADS={given} is not used: set engine.threads."
        )
    return Finding("threads", "ok", value)


def _memory(machine: Machine) -> Finding:
    value = f"{in_bytes(machine.memory_available)} of {in_bytes(machine.memory_total)} can be had"
    if machine.memory_available < _LITTLE_MEMORY:
        return Finding("memory", "note", value, "Close other programs, or choose models of less than 1 GB.")
    return Finding("memory", "ok", value)


def _cache() -> Finding:
    cache = default_cache()
    place = next(folder for folder in (cache, *cache.parents) if folder.exists())
    free = shutil.disk_usage(place).free
    value = f"{cache}, {in_bytes(free)} free on its disk"
    if not os.access(place, os.W_OK):
        return Finding(
            "cache", "problem", f"{value}; it cannot be written", f"Check the permissions of {place}."
        )
    if free < _LITTLE_DISK:
        return Finding(
            "cache", "note", value, "Delete models that you do not use: spnl-chat list, spnl-chat rm."
        )
    return Finding("cache", "ok", value)


async def _hub(services: Services) -> Finding:
    try:
        await services.catalog.search("smollm2", limit=1)
    except HubError as error:
        return Finding("Hugging Face", "note", f"{error.title}. {error.message}", error.hint)
    return Finding("Hugging Face", "ok", "reachable")


def _token(services: Services) -> Finding:
    # Show only whether a token exists, never the token.
    try:
        token = services.hub.find_token()
    except OSError as error:
        value = f"{error.filename} cannot be read: {cause_of(error)}"
        return Finding("token", "problem", value, "Check HF_HOME and the home directory.")
    if token:
        return Finding("token", "ok", "present")
    return Finding(
        "token", "ok", "none: only gated and private models need one (HF_TOKEN, or: hf auth login)"
    )


def _terminal() -> Finding:
    encoding = locale.getpreferredencoding(False)
    size = shutil.get_terminal_size()
    depth = "true colour" if os.environ.get("COLORTERM") in ("truecolor", "24bit") else "256 colours or fewer"
    value = f"{os.environ.get('TERM', 'unknown')}, {size.columns}×{size.lines}, {depth}, {encoding}"
    if encoding.lower().replace("-", "") != "utf8":
        return Finding("terminal", "problem", value, "Use a UTF-8 locale: export LANG=C.UTF-8")
    if size.columns < 80 or size.lines < 24:
        return Finding("terminal", "note", value, "80×24 is the least that everything fits into.")
    return Finding("terminal", "ok", value)
