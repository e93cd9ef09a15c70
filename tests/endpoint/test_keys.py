"""Keys: they reach their own server, and nothing else."""

from __future__ import annotations

import asyncio
import json
import sys
import traceback
from pathlib import Path

import pytest

from spnl_tui.engine.backend import RequestFailed
from spnl_tui.engine.endpoint.keys import KeySource, Secret
from spnl_tui.errors import SpnlError
from tests.support.command import spnl
from tests.support.endpoint_server import (
    WELL,
    Asked,
    endpoint_at,
    engine_of,
    events_of,
    send,
    send_json,
    serving,
)

KEY = "sk-very-secret-key-4711"


def contents_below(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


async def test_key_is_sent_to_its_server_only() -> None:
    async def redirect(asked: Asked, writer: asyncio.StreamWriter) -> None:
        await send(writer, b"", "307 There", Location=f"http://127.0.0.1:{other.port}/v1/chat/completions")

    async with serving(WELL) as other, serving(redirect) as server:
        async with engine_of(endpoint_at(server.port, api_key_env="K"), environ={"K": KEY}) as engine:
            *_, end = await events_of(engine)
        assert server.chats[0].headers["authorization"] == f"Bearer {KEY}"
        assert isinstance(end, RequestFailed)
        assert not other.asked


@pytest.mark.parametrize("allowed", [False, True])
async def test_plain_http_to_another_machine_needs_a_permission(allowed: bool) -> None:
    endpoint = endpoint_at(1, url="http://nowhere.invalid/v1", api_key_env="K", plain_http=allowed)
    async with engine_of(endpoint, environ={"K": KEY}) as engine:
        *_, end = await events_of(engine)
    assert isinstance(end, RequestFailed)
    assert ("plain_http" in end.hint) is not allowed


async def test_server_that_quotes_the_key_does_not_show_it() -> None:
    async def quoting(asked: Asked, writer: asyncio.StreamWriter) -> None:
        await send_json(writer, {"error": f"no such key: {asked.headers['authorization']}"}, "401 No")

    async with (
        serving(quoting) as server,
        engine_of(endpoint_at(server.port, api_key_env="K"), environ={"K": KEY}) as engine,
    ):
        *_, end = await events_of(engine)
    assert isinstance(end, RequestFailed)
    assert "no such key" in end.message
    assert KEY not in repr(end)


async def test_key_comes_from_a_command_and_shows_itself_nowhere() -> None:
    source = KeySource({}, command=f"{sys.executable} -c 'print(\"{KEY}\")'")
    key = await source.key()
    assert key is not None
    assert key.reveal() == KEY
    assert KEY not in f"{key!r} {key}"
    try:
        raise ValueError(key)
    except ValueError:
        assert KEY not in traceback.format_exc()
    assert Secret(KEY).hidden(f"a {KEY} b") == "a … b"


@pytest.mark.parametrize(
    ("variable", "command", "reason"),
    [
        ("MISSING", None, "MISSING is not set"),
        (None, "false", "exited with status 1"),
        (None, "true", "printed nothing"),
        (None, "/no/such/program x", "No such file"),
        (None, "echo 'two words'", "characters"),
    ],
)
async def test_missing_key_is_reported(variable: str | None, command: str | None, reason: str) -> None:
    with pytest.raises(SpnlError) as caught:
        await KeySource({}, variable=variable, command=command).key()
    assert reason in caught.value.message


@pytest.mark.slow
async def test_key_appears_in_no_file_and_no_output(tmp_path: Path) -> None:
    async def answer(asked: Asked, writer: asyncio.StreamWriter) -> None:
        assert asked.headers["authorization"] == f"Bearer {KEY}"
        if asked.body["messages"][-1]["content"] == "fail":
            await send_json(writer, {"error": f"refused {KEY}"}, "401 No")
        else:
            await WELL(asked, writer)

    home = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": "", "XDG_DATA_HOME": "", "XDG_STATE_HOME": ""}
    config = tmp_path / "config.toml"
    async with serving(answer) as server:
        config.write_text(
            f'[endpoints.box]\nurl = "http://127.0.0.1:{server.port}/v1"\napi_key_env = "BOX_KEY"\n'
            'headers = { "X-Extra" = "$BOX_KEY" }\n'
        )
        outputs = []
        for arguments, typed in (
            (["run", "-m", "box/m", "--json", "Hi"], ""),
            (["run", "-m", "box/m", "fail"], ""),
            (["endpoints", "--json"], ""),
            (["endpoints", "box"], ""),
            (["--line", "-m", "box/m"], "Hi\nfail\n/exit\n"),
            (["history", "export"], ""),
        ):
            outputs.append(
                await asyncio.to_thread(
                    spnl, "--config", config, *arguments, stdin=typed, BOX_KEY=KEY, **home
                )
            )
    assert json.loads(outputs[0].stdout)["reply"] == "Hello there"
    assert outputs[1].returncode != 0
    assert "Hello there" in outputs[4].stdout
    for output in outputs:
        assert KEY not in output.stdout + output.stderr
    contents = contents_below(tmp_path)
    assert "conversations.db" in contents
    assert not [name for name, content in contents.items() if KEY.encode() in content]
