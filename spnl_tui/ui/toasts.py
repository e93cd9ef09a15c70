"""Errors as toasts."""

from __future__ import annotations

from textual.app import App
from textual.dom import DOMNode

from spnl_tui.errors import SpnlError
from spnl_tui.text import plain


def tell(node: DOMNode | App[None], error: SpnlError) -> None:
    """Show an error: its title, and below it the message and the hint."""
    text = "\n".join(part for part in (error.message, error.hint) if part)
    node.app.notify(plain(text), title=plain(error.title), severity="error", markup=False, timeout=10)
