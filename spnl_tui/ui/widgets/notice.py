"""A toast that replaces the previous one, so that reasons do not pile up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.dom import DOMNode

from spnl_tui.ui.widgets.toasts import say, withdraw

if TYPE_CHECKING:
    from textual.notifications import Notification

_TIMEOUT_S = 3
"""A short timeout in seconds, because on a narrow screen a toast hides its own subject."""


class Notice:
    """Shows one toast at a time."""

    def __init__(self, node: DOMNode) -> None:
        self._node = node
        self._toast: Notification | None = None

    def show(self, title: str, text: str) -> None:
        """Show this instead of the previous toast."""
        if self._toast is not None:
            withdraw(self._node, self._toast)
        self._toast = say(self._node, text, title=title, timeout=_TIMEOUT_S)
