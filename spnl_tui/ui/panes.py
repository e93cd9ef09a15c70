"""The panes, of which one is seen: the conversation, the models and the pulls."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.widgets import ContentSwitcher

from spnl_tui.ui.widgets.background import restart

if TYPE_CHECKING:
    from spnl_tui.ui.main_screen import MainScreen
    from spnl_tui.ui.models.pane import ModelsPane


class PaneSwitcher:
    """Shows one of the panes."""

    def __init__(self, screen: MainScreen) -> None:
        self._screen = screen

    @property
    def seen(self) -> str | None:
        """The id of the pane that is shown."""
        return self._switcher.current if self._screen.is_mounted else "chat"

    @property
    def models(self) -> ModelsPane | None:
        """The pane with the models, if it was made."""
        return self._screen.lazy_models.pane

    @property
    def can_show_models(self) -> bool:
        """True if there is anything to browse models with."""
        return self._screen.lazy_models.can

    def show(self, pane: str) -> None:
        """Show the pane of this id, and go there."""
        match pane:
            case "models":
                restart(self._screen, "models", self._show_models)
            case "pulls":
                self._switcher.current = pane
                self._screen.pulls.focus()
                self._screen.refresh_bindings()
            case _:
                self._switcher.current = pane
                self._screen.chat.prompt.focus()
                self._screen.refresh_bindings()

    def back(self) -> None:
        """Go back to the conversation, or within the pane first."""
        if self.seen != "models" or self.models is None or not self.models.step_back():
            self.show("chat")

    async def _show_models(self) -> None:
        pane = await self._screen.lazy_models.make()
        self._switcher.current = "models"
        pane.activate()
        self._screen.refresh_bindings()

    @property
    def _switcher(self) -> ContentSwitcher:
        return self._screen.query_one("#body", ContentSwitcher)
