"""Undo: one stack for all panes, so that one key undoes the last change wherever it was made."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from spnl_tui.ui.widgets.toasts import say, withdraw

if TYPE_CHECKING:
    from textual.notifications import Notification
    from textual.screen import Screen

_TIMEOUT_S = 8


@dataclass(eq=False, repr=False, frozen=True, slots=True)
class _Change:
    toast: Notification
    undo: Callable[[], Awaitable[object]]


class UndoStack:
    """The changes of this run that can be undone, the last one first."""

    def __init__(self, screen: Screen[Any], key: Callable[[], str]) -> None:
        """`key` returns the undo key, as the user writes it."""
        self._screen = screen
        self._key = key
        self._changes: list[_Change] = []
        self._newest = False

    def push(self, title: str, undo: Callable[[], Awaitable[object]], detail: str = "") -> None:
        """Remember how to undo a change, and name the key. `detail` is one more sentence."""
        text = " ".join(part for part in (detail, f"{self._key()} undoes it.") if part)
        toast = say(self._screen, text, title=title, timeout=_TIMEOUT_S)
        self._changes.append(_Change(toast, undo))
        self._newest = True

    def prompt_edited(self) -> None:
        """Let the prompt undo its own edits first: they are newer than any change."""
        self._newest = False

    @property
    def newest(self) -> bool:
        """True if there is a change to undo that is newer than the last edit of the prompt."""
        return self._newest and bool(self._changes)

    @property
    def filled(self) -> bool:
        """True if there is a change to undo."""
        return bool(self._changes)

    async def undo(self) -> None:
        """Undo the last change.

        Raises:
            SpnlError: it cannot be undone.
        """
        if self._changes:
            change = self._changes.pop()
            withdraw(self._screen, change.toast)
            await change.undo()
