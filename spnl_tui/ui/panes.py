"""The panes, one of which is visible: the conversation, the models and the pulls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from textual.widgets import ContentSwitcher

from spnl_tui.ui.widgets.background import restart

if TYPE_CHECKING:
    from textual.screen import Screen

    from spnl_tui.ui.chat.pane import ChatPane
    from spnl_tui.ui.models.lazy_pane import LazyModelsPane
    from spnl_tui.ui.models.pane import ModelsPane
    from spnl_tui.ui.pulls.pane import PullsPane


class PaneSwitcher:
    """Switches between the panes."""

    def __init__(
        self, screen: Screen[Any], chat: ChatPane, pulls: PullsPane, lazy_models: LazyModelsPane
    ) -> None:
        self._screen = screen
        self._chat = chat
        self._pulls = pulls
        self._lazy_models = lazy_models

    @property
    def seen(self) -> str | None:
        """The id of the visible pane."""
        return self._switcher.current if self._screen.is_mounted else "chat"

    @property
    def models(self) -> ModelsPane | None:
        """The models pane, if it has been created."""
        return self._lazy_models.pane

    @property
    def can_show_models(self) -> bool:
        """True if the services can list models."""
        return self._lazy_models.can

    def show(self, pane: str) -> None:
        """Show and focus the pane with this id."""
        match pane:
            case "models":
                restart(self._screen, "models", self._show_models)
            case "pulls":
                self._switcher.current = pane
                self._pulls.focus()
                self._screen.refresh_bindings()
            case _:
                self._switcher.current = pane
                self._chat.prompt.focus()
                self._screen.refresh_bindings()

    def back(self) -> None:
        """Go back to the conversation, or within the pane first."""
        if self.seen == "pulls" and self._pulls.take_filter():
            return
        if self.seen != "models" or self.models is None or not self.models.step_back():
            self.show("chat")

    async def _show_models(self) -> None:
        pane = await self._lazy_models.make()
        self._switcher.current = "models"
        pane.activate()
        self._screen.refresh_bindings()

    @property
    def _switcher(self) -> ContentSwitcher:
        return self._screen.query_one("#body", ContentSwitcher)
