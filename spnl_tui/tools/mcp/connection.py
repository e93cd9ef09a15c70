"""One MCP server: its process or address, its session, its tools.

The SDK's contexts must be entered and left by one task, so each connection has a task of its own. Whatever a
server does (dies, hangs, writes nonsense, floods its standard error), it becomes a state with a message.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from spnl_tui.settings.schema import McpServer
from spnl_tui.text import first_line
from spnl_tui.tools.tool import ToolError

if TYPE_CHECKING:
    from mcp import ClientSession, types

_log = logging.getLogger(__name__)

State: TypeAlias = Literal["stopped", "starting", "ready", "failed"]
START_S = 30.0
_CLOSE_S = 3.0
_MOST_TOOLS = 500
_KEPT_LINES = 20


@dataclass(frozen=True, slots=True)
class Listed:
    """A tool as a server describes it."""

    name: str
    description: str
    schema: dict[str, Any]


class McpConnection:
    """A server. It is started on first use, and again after it has died."""

    def __init__(self, name: str, settings: McpServer, workspace: Path) -> None:
        self.name = name
        self.state: State = "stopped"
        self.message = ""
        """Why it failed."""
        self.tools: tuple[Listed, ...] = ()
        self._settings = settings
        self._workspace = workspace
        self._session: ClientSession | None = None
        self._task: asyncio.Task[None] | None = None
        self._ready = asyncio.Event()
        self._stop = asyncio.Event()
        self._numbering = asyncio.Lock()
        self._stderr: deque[str] = deque(maxlen=_KEPT_LINES)

    async def start(self) -> None:
        """Start the server unless it runs; return once it is ready or has failed."""
        if self._task is not None and self._stop.is_set():  # it is ending
            await asyncio.wait({self._task}, timeout=_CLOSE_S)
        if self._task is None or self._task.done():
            self.state, self.message, self.tools = "starting", "", ()
            self._ready, self._stop = asyncio.Event(), asyncio.Event()
            self._stderr.clear()
            self._task = asyncio.create_task(self._run())
        await self._ready.wait()

    async def close(self) -> None:
        """End the server."""
        self._stop.set()
        if (task := self._task) is not None and not task.done():
            await asyncio.wait({task}, timeout=_CLOSE_S)
            task.cancel()
            await asyncio.wait({task}, timeout=_CLOSE_S)

    async def call(self, tool: str, arguments: dict[str, Any]) -> types.CallToolResult:
        """Call a tool. Cancelling this cancels the call on the server.

        Raises:
            ToolError: the server has ended, has refused the call or does not answer.
        """
        from mcp import McpError, types

        await self.start()
        if (session := self._session) is None:
            raise ToolError(f"The MCP server {self.name} is not running: {self.message}")
        timeout = timedelta(seconds=self._settings.timeout_s)
        async with self._numbering:
            # The SDK does not tell the number of a request, which it takes in its first step.
            request_id = session._request_id
            calling = asyncio.ensure_future(session.call_tool(tool, arguments, read_timeout_seconds=timeout))
            await asyncio.sleep(0)
        ended = asyncio.ensure_future(self._stop.wait())
        try:
            await asyncio.wait({calling, ended}, return_when=asyncio.FIRST_COMPLETED)
            if not calling.done():
                raise ToolError(f"The MCP server {self.name} has ended. {self.message}".strip())
            return calling.result()
        except asyncio.CancelledError:
            notice = types.CancelledNotificationParams(
                requestId=request_id, reason="The user stopped the call."
            )
            note = types.CancelledNotification(method="notifications/cancelled", params=notice)
            with suppress(Exception):
                async with asyncio.timeout(1):
                    await session.send_notification(types.ClientNotification(note))
            raise
        except McpError as error:
            if error.error.code == types.CONNECTION_CLOSED:
                self._stop.set()  # it starts again on the next use
                said = f" Its last words: {first_line(self._stderr[-1], 300)}" if self._stderr else ""
                raise ToolError(f"The MCP server {self.name} has ended.{said}") from error
            raise ToolError(
                f"The MCP server {self.name} refused the call: {first_line(str(error), 500)}."
            ) from error
        except ToolError:
            raise
        except Exception as error:  # whatever the SDK raises when the connection breaks
            raise ToolError(
                f"The call failed: {first_line(str(error) or type(error).__name__, 500)}."
            ) from error
        finally:
            for task in (calling, ended):
                task.cancel()
            await asyncio.wait({calling, ended}, timeout=1)

    # ── the task that owns the connection ────────────────────────────────────────────────────────

    async def _run(self) -> None:
        try:
            async with AsyncExitStack() as stack:
                async with asyncio.timeout(START_S):
                    session = await stack.enter_async_context(self._connect())
                    await session.initialize()
                    await self._list_tools(session)
                self._session, self.state = session, "ready"
                self._ready.set()
                await self._stop.wait()
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError) and self.state == "stopped":
                raise
            self._fail(error)
        finally:
            self._session = None
            if self.state != "failed":
                self.state = "stopped"
            self._stop.set()
            self._ready.set()

    def _fail(self, error: BaseException) -> None:
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        if isinstance(error, TimeoutError):
            reason = f"it did not answer within {START_S:.0f} s"
        elif isinstance(error, FileNotFoundError):
            reason = f"there is no program {self._settings.command!r}"
        else:
            reason = first_line(str(error) or type(error).__name__, 300)
        said = first_line(self._stderr[-1], 200) if self._stderr else ""
        self.state, self.message = "failed", f"{reason}{f' ({said})' if said else ''}"
        _log.warning("MCP server %s failed: %s", self.name, self.message)

    @asynccontextmanager
    async def _connect(self) -> AsyncGenerator[ClientSession, None]:
        from mcp import ClientSession, types

        async def roots(context: object) -> types.ListRootsResult:
            from pydantic import FileUrl

            uri = FileUrl(self._workspace.as_uri())
            return types.ListRootsResult(roots=[types.Root(uri=uri, name=self._workspace.name)])

        async def log(params: types.LoggingMessageNotificationParams) -> None:
            _log.info("MCP server %s: %s", self.name, first_line(str(params.data), 500))

        async def handle(message: object) -> None:
            if isinstance(message, types.ServerNotification) and isinstance(
                message.root, types.ToolListChangedNotification
            ):
                changing = asyncio.ensure_future(
                    self._list_tools(session)
                )  # it answers through this very loop
                changing.add_done_callback(lambda done: done.cancelled() or done.exception())
            elif isinstance(message, Exception):
                _log.info("MCP server %s sent nonsense: %s", self.name, first_line(str(message), 300))

        async with self._streams() as (read, write):
            session = ClientSession(
                read,
                write,
                list_roots_callback=roots,
                logging_callback=log,
                message_handler=handle,
                client_info=types.Implementation(name="spnl-chat", version="0"),
            )
            async with session:
                yield session

    @asynccontextmanager
    async def _streams(self) -> AsyncGenerator[tuple[Any, Any], None]:
        settings = self._settings
        if settings.url:
            from mcp.client.streamable_http import streamablehttp_client

            async with streamablehttp_client(settings.url, headers=dict(settings.headers)) as (
                read,
                write,
                _,
            ):
                yield read, write
            return
        if not settings.command:
            raise ToolError("neither command nor url is set")
        from mcp.client.stdio import StdioServerParameters, stdio_client

        parameters = StdioServerParameters(
            command=settings.command,
            args=list(settings.args),
            env=dict(settings.env),  # the SDK adds PATH, HOME and the like, and nothing else
            cwd=settings.cwd or self._workspace,
        )
        with _Drain(self._stderr.append) as stderr:
            async with stdio_client(parameters, errlog=stderr) as (read, write):
                yield read, write

    async def _list_tools(self, session: ClientSession) -> None:
        listed: list[Listed] = []
        cursor: str | None = None
        while len(listed) < _MOST_TOOLS:
            page = await session.list_tools(cursor)
            listed += [Listed(each.name, each.description or "", each.inputSchema) for each in page.tools]
            cursor = page.nextCursor
            if not cursor:
                break
        self.tools = tuple(listed[:_MOST_TOOLS])


class _Drain:
    """A file that a server writes its standard error to: the last lines are kept, the rest is dropped."""

    def __init__(self, keep: Callable[[str], None]) -> None:
        self._keep = keep

    def __enter__(self) -> Any:
        read, write = os.pipe()
        self._write = os.fdopen(write, "w", encoding="utf-8")
        threading.Thread(target=self._drain, args=(read,), daemon=True).start()
        return self._write

    def __exit__(self, *error: object) -> None:
        self._write.close()

    def _drain(self, read: int) -> None:
        rest = b""
        with os.fdopen(read, "rb", buffering=0) as stream:
            while data := stream.read(65536):
                *lines, rest = (rest + data).split(b"\n")
                rest = rest[-4096:]
                for line in lines[-_KEPT_LINES:]:
                    if line.strip():
                        self._keep(line[-1000:].decode("utf-8", "replace"))
