"""`run` with files: attached on request, and never because a text mentions one."""

from __future__ import annotations

import asyncio
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import COMMAND
from tests.support.endpoint_server import WELL, serving


async def run_in(folder: Path, *arguments: str) -> tuple[subprocess.CompletedProcess[str], list[Any]]:
    """Run `spnl-chat run` in this folder; return its result and the messages that the server received."""
    async with serving(WELL) as server:
        config = folder / "config.toml"
        config.write_text(f'[endpoints.box]\nurl = "http://127.0.0.1:{server.port}/v1"\n')
        result = await asyncio.to_thread(
            subprocess.run,
            [*COMMAND, "--config", str(config), "run", "-m", "box/m", *arguments],
            cwd=folder,
            input="",
            capture_output=True,
            text=True,
            timeout=120,
        )
        return result, [each.body["messages"] for each in server.chats]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "notes.md").write_text("Buy milk.\n")
    (tmp_path / "table.csv").write_text("a,b\n1,2\n")
    return tmp_path


async def test_attached_files_stand_above_the_prompt(folder: Path) -> None:
    result, chats = await run_in(folder, "--attach", "notes.md", "--attach", "table.csv", "What is to do?")
    assert (result.returncode, result.stderr) == (0, "")
    [[message]] = chats
    assert message["content"].startswith("`notes.md`:\n```md\nBuy milk.\n```\n\n`table.csv`:\n")
    assert message["content"].endswith("\n\nWhat is to do?")


async def test_mentioned_file_is_sent_as_text_with_a_hint(folder: Path) -> None:
    result, chats = await run_in(folder, "Explain @notes.md to @alice")
    assert [message["content"] for message in chats[0]] == ["Explain @notes.md to @alice"]
    assert result.stderr == "Note: @notes.md is sent as text. Use --attach notes.md to send the file.\n"
    result, chats = await run_in(folder, "Explain @missing.md to @alice")
    assert result.stderr == ""


@pytest.mark.parametrize(
    ("name", "why"), [("missing.md", "There is no such file."), ("fifo", "It is not a regular file.")]
)
async def test_file_that_cannot_be_attached_ends_before_the_request(
    folder: Path, name: str, why: str
) -> None:
    os.mkfifo(folder / "fifo")
    result, chats = await run_in(folder, "--attach", name, "Explain")
    assert (result.returncode, chats) == (1, [])
    assert f"{name} cannot be attached" in result.stderr
    assert why in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [["--workspace", "missing"], ["--workspace", "notes.md"], ["--attach", "notes.md", "-b", "email"]],
)
async def test_option_that_cannot_apply_exits_with_2(folder: Path, arguments: list[str]) -> None:
    result, chats = await run_in(folder, *arguments)
    assert (result.returncode, chats) == (2, [])
    assert arguments[1] in result.stderr or "--attach" in result.stderr
