"""MCP servers: the real SDK with a server of our own, and servers that misbehave."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from spnl_tui.models.parts import as_text
from spnl_tui.settings.load import parse_settings
from spnl_tui.settings.schema import McpServer
from spnl_tui.tools.mcp import connection
from spnl_tui.tools.mcp.servers import ChosenServers, McpServers, McpTool
from spnl_tui.tools.permissions import Permissions, rule_for
from spnl_tui.tools.tool import Outcome, ToolError
from spnl_tui.tools.toolbox import Toolbox, built_in_tools
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]


def settings(folder: Path) -> McpServer:
    return McpServer(command=sys.executable, args=("-m", "tests.support.mcp_server", str(folder)), cwd=ROOT)


async def use(tool: McpTool, **arguments: object) -> Outcome:
    return await (await tool.prepare(arguments)).run()


@pytest.mark.slow
async def test_tools_of_a_server_are_listed_called_cancelled_and_swapped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_a1")
    servers = McpServers({"own": settings(tmp_path)}, tmp_path)
    source = ChosenServers(servers, ["own"])
    toolbox = Toolbox(built_in_tools(["time"], tmp_path), source)
    try:
        assert source.pending == ("own",)
        assert await source.start() == []
        toolbox.refresh()
        tools = {each.listed.name: each for each in source.tools()}
        assert [each.name for each in toolbox.tools][:2] == ["own__echo", "own__wait"]
        assert as_text((await use(tools["echo"], text="Hello\x1b[31m")).content) == "Hello\x1b[31m"
        assert (await use(tools["fail"])).error
        assert as_text((await use(tools["roots"])).content) == tmp_path.as_uri()
        assert "HF_TOKEN" not in as_text((await use(tools["environment"])).content)

        waiting = asyncio.create_task(use(tools["wait"]))
        await wait_until(lambda: (tmp_path / "waiting").exists())
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await wait_until(lambda: (tmp_path / "cancelled").exists())

        effect = (await tools["echo"].prepare({"text": "x"})).effect
        permissions = Permissions([str(rule_for(tools["echo"], effect))])
        assert permissions.decide(tools["echo"], effect) == "allow"
        await use(tools["swap"])
        await wait_until(lambda: "Evil" in source.tools()[0].tool.description)
        assert permissions.decide(source.tools()[0], effect) == "ask"

        with pytest.raises(ToolError, match="has ended"):
            await use(tools["die"])
        await wait_until(lambda: servers["own"].state != "ready")
        assert as_text((await use(tools["echo"], text="again")).content) == "again"
    finally:
        await servers.close()
    assert servers["own"].state == "stopped"


@pytest.mark.parametrize(
    ("server", "reason"),
    [
        (McpServer(command="/nonexistent/program"), "there is no program"),
        (McpServer(), "neither command nor url"),
        (McpServer(command=sys.executable, args=("-c", "import sys; sys.exit('no config')")), "no config"),
        (McpServer(command=sys.executable, args=("-c", "print('garbage ' * 9, flush=True)")), ""),
        (McpServer(command="sleep", args=("600",)), "did not answer within 1 s"),
        (McpServer(url="http://127.0.0.1:9/mcp"), ""),
    ],
    ids=["missing", "empty", "exits", "garbage", "hangs", "refuses"],
)
async def test_misbehaving_server_causes_only_an_error(
    server: McpServer, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "START_S", 1.0)
    servers = McpServers({"bad": server}, tmp_path)
    source = ChosenServers(servers, ["bad"])
    try:
        (error,) = await source.start()
        assert error.title == "The MCP server bad could not be started"
        assert reason in error.message
        assert source.pending == ()
        assert source.tools() == []
        servers.forget_failures(["bad"])
        assert source.pending == ("bad",)
    finally:
        await servers.close()


def test_servers_are_read_from_the_configuration(tmp_path: Path) -> None:
    text = '[mcp.git]\ncommand = "uvx"\nargs = ["mcp-server-git"]\nenv = { LEVEL = "1" }\n'
    (server,) = parse_settings(text, tmp_path / "config.toml").mcp.values()
    assert (server.command, server.args, server.env) == ("uvx", ("mcp-server-git",), {"LEVEL": "1"})
