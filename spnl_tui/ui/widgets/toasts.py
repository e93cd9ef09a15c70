"""Show errors and warnings as toasts, and notifications of the terminal while its window has no focus."""

from __future__ import annotations

from typing import Any, Literal

from textual.app import App
from textual.dom import DOMNode
from textual.notifications import Notification, Notify
from textual.widgets._toast import ToastRack

from spnl_tui.errors import SpnlError
from spnl_tui.text import first_line, plain


def tell(node: DOMNode | App[None], error: SpnlError, *, timeout: float = 10) -> None:
    """Show an error for this many seconds: its title, and below it the message and the hint."""
    text = "\n".join(part for part in (error.message, error.hint) if part)
    node.app.notify(plain(text), title=plain(error.title), severity="error", markup=False, timeout=timeout)


def warn(node: DOMNode | App[None], text: str) -> None:
    """Show a warning that needs no action."""
    node.app.notify(plain(text), severity="warning", markup=False, timeout=10)


def say(node: DOMNode, text: str, *, title: str, timeout: float | None = None) -> Notification:
    """Show a toast for this many seconds. The caller may withdraw it earlier."""
    toast = Notification(plain(text), plain(title), timeout=timeout or node.app.NOTIFICATION_TIMEOUT)
    node.app.post_message(Notify(toast))
    return toast


def withdraw(node: DOMNode, toast: Notification) -> None:
    """Remove the toast, because it is no longer true."""
    # Use the app's queue, because a toast that was just requested may still be in it.
    node.app.call_later(_withdraw, node.app, toast)


def _withdraw(app: App[Any], toast: Notification) -> None:
    app._unnotify(toast, refresh=False)
    for screen in app.screen_stack:
        # Remove its holder, too, because Textual's rack would leave it as an empty line.
        screen.query(f"#{ToastRack._toast_id(toast)}").remove()


def call_attention(app: App[Any], text: str, when: Literal["always", "unfocused", "never"]) -> None:
    """Let the terminal notify the user, with its own notification (OSC 9: iTerm2, WezTerm, kitty, Ghostty,
    Windows Terminal, …) and with the bell, which tmux and others show as a mark on the window.

    A terminal that does not report its focus counts as focused.
    """
    if when == "never" or (when == "unfocused" and app.app_focus):
        return
    if (driver := app._driver) is not None:
        # To some terminals, OSC 9 with a leading number means something else (9;4 is a progress bar).
        driver.write(f"\x1b]9;spnl-chat: {first_line(text, 120)}\x1b\\")
    app.bell()
