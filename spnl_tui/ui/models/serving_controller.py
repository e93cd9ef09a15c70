"""Starts, shows and stops the server for other programs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spnl_tui.errors import CommandError
from spnl_tui.ui.widgets.toasts import say

if TYPE_CHECKING:
    from textual.dom import DOMNode

    from spnl_tui.engine.backend import ModelHandle
    from spnl_tui.serving import ServerSwitch

_STOP = "Type /serve stop to end it. It ends with this program."


class ServingController:
    """The command /serve."""

    def __init__(self, node: DOMNode, server: ServerSwitch | None) -> None:
        """`node` shows the toasts."""
        self._node = node
        self._server = server

    @property
    def is_possible(self) -> bool:
        """True if this program can serve."""
        return self._server is not None

    async def run(self, argument: str, model: ModelHandle) -> None:
        """Start the server, or show where it is; with "stop", stop it. The model answers by default.

        Raises:
            CommandError: the argument is another one, or there is nothing to stop.
            SpnlError: the server cannot be started.
        """
        if (server := self._server) is None:
            return
        if argument not in ("", "start", "stop"):
            raise CommandError(f"/serve does not take {argument!r}", "", "Type /serve or /serve stop.")
        if argument == "stop":
            if not server.url:
                raise CommandError("Nothing is served", "", "Type /serve to start it.")
            await server.stop()
            say(self._node, "Other programs can no longer use the models.", title="The server has stopped")
            return
        title = "The server runs" if server.url else f"Serving {model.name}"
        await server.start(model)
        say(self._node, f"Base URL: {server.url}\n{_STOP}", title=title, timeout=20)
