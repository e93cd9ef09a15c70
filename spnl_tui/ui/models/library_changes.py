"""Changes that the user makes to the models on this machine, with their questions and toasts."""

from __future__ import annotations

from pathlib import Path

from textual.widget import Widget

from spnl_tui.errors import SpnlError
from spnl_tui.hub.inspection import ModelBrowser
from spnl_tui.hub.library.scan import LibraryEntry
from spnl_tui.hub.model_lines import removal_line, removal_question
from spnl_tui.text import plain
from spnl_tui.ui.dialogs.confirm_screen import ConfirmScreen
from spnl_tui.ui.widgets.toasts import tell


class LibraryChanges:
    """Imports, deletes and restores models. Each method returns True if the library has changed."""

    def __init__(self, widget: Widget, browser: ModelBrowser) -> None:
        """`widget` shows the toasts; call the methods in a worker of it, because they may ask the user."""
        self._widget = widget
        self._browser = browser

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
            tell(self._widget, SpnlError("It cannot be deleted", str(error)))
            return False
        undo = "Undo brings it back until the program ends."
        self._widget.notify(f"{removal_line(done.plan)}\n{undo}", markup=False)
        return True

    async def undo(self) -> bool:
        """Restore the model that was deleted last."""
        try:
            undone = await self._browser.undo()
        except SpnlError as error:
            tell(self._widget, error)
            return False
        if undone is None:
            self._widget.notify("There is nothing to bring back.", markup=False)
            return False
        self._widget.notify(f"{plain(undone.plan.entry.name)} is back.", markup=False)
        return True
