"""Changes that the user makes to the models on this machine, with their questions and toasts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from textual.widget import Widget

from spnl_tui.errors import SpnlError, cause_of
from spnl_tui.hub.inspection import ModelBrowser
from spnl_tui.hub.library.scan import LibraryEntry
from spnl_tui.hub.model_lines import removal_line, removal_question
from spnl_tui.text import plain
from spnl_tui.ui import messages
from spnl_tui.ui.dialogs.confirm_screen import ConfirmScreen
from spnl_tui.ui.widgets.toasts import tell


class LibraryChanges:
    """Imports and deletes models, and undoes it. Each method returns True if the library has changed."""

    def __init__(self, widget: Widget, browser: ModelBrowser, changed: Callable[[], object]) -> None:
        """`widget` shows the toasts; call the methods in a worker of it, because they may ask the user.

        `changed` is called after an undo.
        """
        self._widget = widget
        self._browser = browser
        self._changed = changed

    async def import_path(self, path: Path) -> bool:
        """Add a file or a folder elsewhere on this disk."""
        try:
            entry = await self._browser.import_path(path)
        except SpnlError as error:
            tell(self._widget, error)
            return False
        self._widget.notify(f"{plain(entry.name)} is in the library.", markup=False)
        return True

    async def delete(self, entry: LibraryEntry) -> bool:
        """Delete a model from this machine, after asking."""
        try:
            plan = await self._browser.plan_removal(entry)
            question = ConfirmScreen(removal_question([plan]))
            if not await self._widget.app.push_screen_wait(question):
                return False
            done = await self._browser.remove(entry)
        except SpnlError as error:
            tell(self._widget, error)
            return False
        except OSError as error:
            tell(self._widget, SpnlError("The model cannot be deleted", f"{cause_of(error)}."))
            return False
        self._widget.post_message(messages.UndoOffered(removal_line(done.plan), self._undo))
        return True

    async def _undo(self) -> None:
        """Restore the model that was deleted last."""
        if (undone := await self._browser.undo()) is not None:
            self._widget.notify(f"{plain(undone.plan.entry.name)} is back.", markup=False)
            self._changed()
