"""The MCP servers of the settings, and their tools as models and the agent see them."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spnl_tui.errors import RequestError, SpnlError
from spnl_tui.models.parts import FilePart, ImagePart, TextPart
from spnl_tui.models.tools import Tool
from spnl_tui.settings.schema import McpServer
from spnl_tui.text import in_bytes
from spnl_tui.tools.mcp.connection import Listed, McpConnection
from spnl_tui.tools.tool import Arguments, Effect, Outcome, Prepared

if TYPE_CHECKING:
    from mcp import types

_LONGEST_NAME = 64
"""The longest name that all formats and servers take."""


class McpServers:
    """Owns the connections. A server starts when a conversation needs it."""

    def __init__(self, settings: Mapping[str, McpServer], workspace: Path) -> None:
        self._connections = {name: McpConnection(name, each, workspace) for name, each in settings.items()}

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all servers."""
        return tuple(self._connections)

    def __getitem__(self, name: str) -> McpConnection:
        return self._connections[name]

    def pending(self, names: Iterable[str]) -> tuple[str, ...]:
        """Return those of these servers that must be started first."""
        return tuple(name for name in names if self._connections[name].state in ("stopped", "starting"))

    def forget_failures(self, names: Iterable[str]) -> None:
        """Start these servers again on their next use, if they have failed."""
        for name in names:
            if self._connections[name].state == "failed":
                self._connections[name].state = "stopped"

    async def start(self, names: Iterable[str]) -> None:
        """Start these servers side by side; return once each is ready or has failed."""
        await asyncio.gather(*(self._connections[name].start() for name in names))

    def tools(self, names: Iterable[str]) -> list[McpTool]:
        """Return the tools of these servers, as far as they are ready."""
        found: list[McpTool] = []
        for name in names:
            connection = self._connections[name]
            for listed in connection.tools if connection.state == "ready" else ():
                if (tool := _tool(name, listed)) is not None:
                    found.append(McpTool(tool=tool, listed=listed, connection=connection))
        return found

    async def close(self) -> None:
        """End all servers."""
        await asyncio.gather(*(each.close() for each in self._connections.values()))


@dataclass(frozen=True, slots=True, kw_only=True)
class McpTool:
    """A tool of a server: a `BoundTool`. What a server says about its own harmlessness is not believed."""

    tool: Tool
    listed: Listed
    connection: McpConnection
    read_only: bool = False
    foreign: bool = True
    rest_hint: str = ""

    @property
    def origin(self) -> str:
        """The server."""
        return f"MCP server {self.connection.name}"

    async def prepare(self, arguments: Arguments) -> Prepared:
        """Return the call. The server checks it again."""
        values = dict(arguments)

        async def run() -> Outcome:
            return _outcome(await self.connection.call(self.listed.name, values))

        line = json.dumps(values, ensure_ascii=False)
        detail = json.dumps(values, ensure_ascii=False, indent=2) if values else ""
        note = f"sends it to the MCP server {self.connection.name}"
        return Prepared(effect=Effect(summary=line, detail=detail, kind="json", note=note), run=run)


def _tool(server: str, listed: Listed) -> Tool | None:
    """Return the tool under a name that no other server's tool has; None if it is not valid."""
    name = re.sub(r"[^A-Za-z0-9_-]", "_", f"{server}__{listed.name}")[:_LONGEST_NAME]
    try:
        return Tool(name=name, description=listed.description, parameters=json.dumps(listed.schema))
    except (RequestError, TypeError, ValueError):
        return None


def _outcome(result: types.CallToolResult) -> Outcome:
    parts = [_part(each) for each in result.content]
    if not parts and result.structuredContent is not None:
        parts = [TextPart(json.dumps(result.structuredContent, ensure_ascii=False, indent=2))]
    return Outcome(content=tuple(parts) or (TextPart("[no content]"),), error=bool(result.isError))


def _part(block: Any) -> TextPart | ImagePart | FilePart:
    match block.type:
        case "text":
            return TextPart(block.text)
        case "image" | "audio":
            return TextPart(
                f"[{block.type}: {block.mimeType}, {in_bytes(len(block.data) * 3 // 4)}, not shown]"
            )
        case "resource" if hasattr(block.resource, "text"):
            return FilePart(str(block.resource.uri), block.resource.text)
        case "resource_link":
            return TextPart(f"[link: {block.uri}]")
        case kind:
            return TextPart(f"[{kind}, not shown]")


class ChosenServers:
    """Some of the servers, as the source of a toolbox."""

    def __init__(self, servers: McpServers, names: Sequence[str]) -> None:
        self._servers = servers
        self._names = tuple(names)

    @property
    def pending(self) -> tuple[str, ...]:
        """The names of the servers that must be started first."""
        return self._servers.pending(self._names)

    async def start(self) -> list[SpnlError]:
        """Start them, and return an error for each that has failed."""
        pending = self.pending
        await self._servers.start(pending)
        failed = (self._servers[name] for name in pending if self._servers[name].state == "failed")
        return [
            SpnlError(
                f"The MCP server {each.name} could not be started",
                f"{each.message}.",
                f"The reply does without it. /tools {each.name} tries again; see [mcp.{each.name}].",
            )
            for each in failed
        ]

    def tools(self) -> list[McpTool]:
        """Return the tools that they offer now."""
        return self._servers.tools(self._names)
