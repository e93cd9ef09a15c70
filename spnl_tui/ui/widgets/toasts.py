"""Errors and warnings as toasts, and what the terminal itself shows when nobody looks at the window."""

from __future__ import annotations

from typing import Any, Literal

from textual.app import App
from textual.dom import DOMNode
from textual.notifications import Notification, Notify
from textual.widgets._toast import ToastRack

from spnl_tui.errors import SpnlError
from spnl_tui.text import first_line, plain


def tell(node: DOMNode | App[None], error: SpnlError, *, timeout: float = 10) -> None:
    """Show an error, for so many seconds: its title, and below it the message and the hint."""
    text = "\n".join(part for part in (error.message, error.hint) if part)
    node.app.notify(plain(text), title=plain(error.title), severity="error", markup=False, timeout=timeout)


def warn(node: DOMNode | App[None], text: str) -> None:
    """Show something that is not right, but need not be acted upon."""
    node.app.notify(plain(text), severity="warning", markup=False, timeout=10)


def say(node: DOMNode, text: str, *, title: str, timeout: float | None = None) -> Notification:
    """Show something, for so many seconds, that may be withdrawn before its time."""
    toast = Notification(plain(text), plain(title), timeout=timeout or node.app.NOTIFICATION_TIMEOUT)
    node.app.post_message(Notify(toast))
    return toast


def withdraw(node: DOMNode, toast: Notification) -> None:
    """It is no longer so: show it no longer."""
    # By way of the app's queue, in which what was said right before may still be.
    node.app.call_later(_withdraw, node.app, toast)


def _withdraw(app: App[Any], toast: Notification) -> None:
    app._unnotify(toast, refresh=False)
    for screen in app.screen_stack:
        # What holds it: Textual's rack would leave that, an empty line.
        screen.query(f"#{ToastRack._toast_id(toast)}").remove()


def call_attention(app: App[Any], text: str, when: Literal["always", "unfocused", "never"]) -> None:
    """Have the terminal notify the user: by its own notification (OSC 9: iTerm2, WezTerm, kitty, Ghostty,
    Windows Terminal, …) and by the bell, which tmux and the others turn into a mark on the window.

    Whether the window is looked at is what the terminal says of its focus; one that says nothing counts as
    looked at.
    """
    if when == "never" or (when == "unfocused" and app.app_focus):
        return
    if (driver := app._driver) is not None:
        # OSC 9 with a number first means something else to some terminals (9;4 is a progress bar).
        driver.write(f"\x1b]9;spnl-chat: {first_line(text, 120)}\x1b\\")
    app.bell()
