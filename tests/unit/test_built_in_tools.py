"""The built-in tools, and attacks on them."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psutil
import pytest

from spnl_tui.models.parts import as_text
from spnl_tui.tools import workspace as workspace_module
from spnl_tui.tools.command import run_command, scrubbed
from spnl_tui.tools.small_tools import evaluate
from spnl_tui.tools.tool import Outcome, Prepared, ToolError
from spnl_tui.tools.toolbox import built_in_tools, check_arguments
from spnl_tui.tools.web import checked_url, fetch, is_private
from tests.support.waiting import wait_until

ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "HF_TOKEN": "secret",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "LC_ALL": "C",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    inside = tmp_path / "work"
    (inside / "src").mkdir(parents=True)
    (inside / "a.txt").write_text("one\ntwo\n")
    (inside / "src" / "b.py").write_text("print('two')\n")
    (tmp_path / "secret.txt").write_text("secret")
    return inside


async def prepare(folder: Path, name: str, **arguments: object) -> Prepared:
    (tool,) = built_in_tools([name], folder)
    check_arguments(tool.tool, arguments)
    return await tool.prepare(arguments)


async def use(folder: Path, name: str, **arguments: object) -> str:
    outcome = await (await prepare(folder, name, **arguments)).run()
    return as_text(outcome.content)


# ── files ────────────────────────────────────────────────────────────────────────────────────────


async def test_files_are_read_listed_searched_edited_and_written(folder: Path) -> None:
    assert await use(folder, "read_file", path="a.txt") == "one\ntwo\n"
    assert await use(folder, "read_file", path=str(folder / "a.txt"), offset=2) == "two\n"
    assert "1 more lines. Call read_file with offset=2" in await use(
        folder, "read_file", path="a.txt", lines=1
    )
    assert await use(folder, "list_folder") == "a.txt (8 bytes)\nsrc/"
    assert await use(folder, "search_files", pattern="t.o") == "a.txt:2: two\nsrc/b.py:1: print('two')"
    assert await use(folder, "search_files", pattern=r"\.py$", names=True) == "src/b.py"
    edit = await prepare(folder, "edit_file", path="a.txt", old="two", new="three")
    assert "-two\n+three" in edit.effect.detail
    await edit.run()
    assert (folder / "a.txt").read_text() == "one\nthree\n"
    await use(folder, "write_file", path="new/deep/c.txt", text="x")
    assert (folder / "new" / "deep" / "c.txt").read_text() == "x"


async def test_file_that_changes_after_the_question_is_not_overwritten(folder: Path) -> None:
    edit = await prepare(folder, "edit_file", path="a.txt", old="two", new="three")
    create = await prepare(folder, "write_file", path="new.txt", text="x")
    (folder / "a.txt").write_text("one\ntwo\nfour\n")
    (folder / "new.txt").write_text("mine")
    for prepared in (edit, create):
        with pytest.raises(ToolError, match="in the meantime"):
            await prepared.run()
    assert (folder / "new.txt").read_text() == "mine"


@pytest.mark.parametrize(
    "path",
    ["../secret.txt", "src/../../secret.txt", "/etc/passwd", "link.txt", "linked/secret.txt", "loop", "~/x"],
)
async def test_path_out_of_the_workspace_is_refused(folder: Path, path: str) -> None:
    (folder / "link.txt").symlink_to(folder.parent / "secret.txt")
    (folder / "linked").symlink_to("..")
    (folder / "loop").symlink_to("loop")
    with pytest.raises(ToolError):
        await use(folder, "read_file", path=path)
    with pytest.raises(ToolError):
        await use(folder, "write_file", path=path, text="x")
    assert (folder.parent / "secret.txt").read_text() == "secret"


async def test_link_that_stays_inside_is_followed(folder: Path) -> None:
    (folder / "inner").symlink_to("src")
    (folder / "same.txt").symlink_to(folder / "a.txt")
    assert await use(folder, "read_file", path="inner/b.py") == "print('two')\n"
    assert await use(folder, "read_file", path="same.txt") == "one\ntwo\n"


async def test_link_made_between_check_and_use_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = workspace_module._link_target

    def then_swap(name: str, descriptor: int) -> str | None:
        target = check(name, descriptor)
        if name == "a.txt" and not (folder / "a.txt").is_symlink():
            (folder / "a.txt").unlink()
            (folder / "a.txt").symlink_to(folder.parent / "secret.txt")
        return target

    monkeypatch.setattr(workspace_module, "_link_target", then_swap)
    with pytest.raises(ToolError, match="Cannot read"):
        await use(folder, "read_file", path="a.txt")


async def test_pipe_and_binary_file_are_refused_at_once(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    (folder / "binary").write_bytes(b"\0\1")
    with pytest.raises(ToolError, match="not a regular file"):
        await use(folder, "read_file", path="pipe")
    with pytest.raises(ToolError, match="not a text file"):
        await use(folder, "read_file", path="binary")


# ── commands ─────────────────────────────────────────────────────────────────────────────────────


async def test_command_sees_no_secrets_and_returns_its_exit_code(folder: Path) -> None:
    outcome = await run_command("env; pwd; exit 3", folder, 20, ENVIRONMENT)
    text = as_text(outcome.content)
    assert "hf_a1" not in text
    assert str(folder) in text
    assert outcome.error
    assert text.endswith("[exit code 3]")
    assert scrubbed(ENVIRONMENT)["LC_ALL"] == "C"


async def test_endless_output_is_cut_and_the_command_ended(folder: Path) -> None:
    with pytest.raises(ToolError, match="wrote more than") as failure:
        await run_command("head -c 1000000000 /dev/zero | tr '\\0' x", folder, 60, ENVIRONMENT)
    assert len(str(failure.value)) < 100_000


async def test_command_over_its_time_is_ended_with_what_it_wrote(folder: Path) -> None:
    with pytest.raises(ToolError, match=r"ended after 0\.5 s[^\n]*\nbegun"):
        await run_command("echo begun; sleep 60", folder, 0.5, ENVIRONMENT)


STORM = """
import os, time
for _ in range(30):
    if os.fork() == 0:
        os.setsid()
        for _ in range(2):
            os.fork()
        open(f"pid-{os.getpid()}", "w").close()
        time.sleep(600)
        os._exit(0)
time.sleep(600)
"""


async def test_processes_that_leave_the_group_end_with_the_command(folder: Path) -> None:
    (folder / "storm.py").write_text(STORM)
    running = asyncio.create_task(run_command(f"{sys.executable} storm.py", folder, 60, ENVIRONMENT))
    await wait_until(lambda: len(os.listdir(folder)) >= 100)
    pids = [int(file.removeprefix("pid-")) for file in os.listdir(folder) if file.startswith("pid-")]
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    living = [pid for pid in pids if psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie"]
    assert living == []


# ── web pages ────────────────────────────────────────────────────────────────────────────────────


class Pages(BaseHTTPRequestHandler):
    """A page, a redirect to a private address, and a text without an end."""

    def do_GET(self) -> None:
        if self.path == "/redirect":
            self.send_response(302)
            self.send_header("Location", "http://169.254.169.254/latest/meta-data/")
            self.end_headers()
        elif self.path == "/endless":
            self.send_response(200)
            self.send_header("Content-Type", "text/plain")
            self.end_headers()
            try:
                while True:
                    self.wfile.write(b"x" * 65536)
            except OSError:
                return
        else:
            body = (
                b"<html><head><title>Dates</title><script>alert(1)</script></head><body><nav>Menu</nav>"
                b"<main><h1>ISO</h1><p>Use <b>ISO 8601</b>.</p></main></body></html>"
            )
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def site() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


async def test_page_becomes_readable_text(site: str) -> None:
    url, text = await fetch(f"{site}/page", private_addresses=True)
    assert url == f"{site}/page"
    assert "**ISO 8601**" in text
    assert "# Dates" in text
    assert "alert" not in text
    assert "Menu" not in text


async def test_private_address_is_refused(site: str) -> None:
    with pytest.raises(ToolError, match="private address"):
        await fetch(site)


@pytest.mark.parametrize("resolved", [["93.184.216.34"], ["93.184.216.34", "127.0.0.1"]])
async def test_name_is_checked_each_time_it_is_resolved(
    site: str, resolved: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # The first connection reaches the page, as if it were public; the redirect leads to a private address.
    port = int(site.rpartition(":")[2])
    asked: list[str] = []

    async def getaddrinfo(self: object, host: str, port: int, **_: object) -> list[Any]:
        asked.append(host)
        addresses = resolved if len(asked) == 1 else ["169.254.169.254"]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in addresses]

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", getaddrinfo)
    connected: list[str] = []
    import httpcore2

    real = httpcore2.AnyIOBackend.connect_tcp

    async def connect(self: Any, host: str, port: int, *args: Any, **kwargs: Any) -> Any:
        connected.append(host)
        monkeypatch.undo()  # the connection itself resolves numbers
        try:
            return await real(self, "127.0.0.1", port, *args, **kwargs)
        finally:
            monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", getaddrinfo)

    monkeypatch.setattr(httpcore2.AnyIOBackend, "connect_tcp", connect)
    with pytest.raises(ToolError, match="private address"):
        await fetch(f"http://public.example:{port}/redirect")
    assert connected == ([] if len(resolved) > 1 else ["93.184.216.34"])


async def test_endless_page_is_refused(site: str) -> None:
    with pytest.raises(ToolError, match="longer than"):
        await fetch(f"{site}/endless", private_addresses=True)


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.1.2.3", "192.168.0.1", "169.254.169.254", "0.0.0.0", "::1", "fe80::1%eth0", "fd00::1",
     "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "100.64.0.1", "224.0.0.1"],
)  # fmt: skip
def test_address_of_this_network_is_private(address: str) -> None:
    assert is_private(address)


def test_public_address_is_not_private() -> None:
    assert not is_private("93.184.216.34")
    assert not is_private("2606:2800:220:1:248:1893:25c8:1946")


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://a.example", "http://user:pass@a.example", "a.example", "http://"]
)
def test_address_that_is_not_http_is_refused(url: str) -> None:
    with pytest.raises(ToolError):
        checked_url(url)


def test_letters_that_look_like_others_are_shown_as_punycode() -> None:
    assert checked_url("https://аpple.com/ü?q=\u202e") == "https://xn--pple-43d.com/%C3%BC?q=%E2%80%AE"


# ── arithmetic ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("expression", "value"),
    [("17 * 23", "391"), ("2 ^ 10", "1024"), ("(1 + 2) / 4", "0.75"), ("sqrt(16)", "4"), ("-7 // 2", "-4")],
)
def test_arithmetic_is_computed(expression: str, value: str) -> None:
    assert evaluate(expression) == value


@pytest.mark.parametrize(
    "expression",
    ["9 ** 9 ** 9", "10 ** 100000", "__import__('os')", "().__class__", "1 if 1 else 2", "'a' * 9", "1 / 0",
     "(-1) ** 0.5", "(" * 300 + "1" + ")" * 300, "x", "", "1+" * 400 + "1"],
)  # fmt: skip
def test_what_is_not_arithmetic_fails_at_once(expression: str) -> None:
    started = time.process_time()
    with pytest.raises(ToolError):
        evaluate(expression)
    assert time.process_time() - started < 1


async def test_time_is_told_in_a_zone(folder: Path) -> None:
    assert "UTC+0000" in await use(folder, "current_time", zone="UTC")
    with pytest.raises(ToolError, match="time zone"):
        await use(folder, "current_time", zone="Mars/Olympus")


@pytest.mark.parametrize("arguments", [{}, {"path": 7}, {"path": "a", "extra": 1}])
async def test_arguments_that_do_not_match_the_schema_are_refused(
    folder: Path, arguments: dict[str, object]
) -> None:
    with pytest.raises(ToolError, match="do not match"):
        await prepare(folder, "read_file", **arguments)


def test_outcome_of_text_is_no_error() -> None:
    assert not Outcome.of_text("x").error
