"""Switching to another model, also by the dialog that lists the loaded ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from spnl_tui.errors import ModelMissingError
from spnl_tui.ui.widgets.background import start

if TYPE_CHECKING:
    from textual.binding import Binding
    from textual.screen import Screen

    from spnl_tui.chat.model import CurrentModel
    from spnl_tui.engine.backend import ModelHandle
    from spnl_tui.hub.library.scan import LibraryEntry
    from spnl_tui.ui.models.lazy_pane import LazyModelsPane
    from spnl_tui.ui.services import InterfaceServices


class ModelSwitcher:
    """Makes another model the current one, and shows the chat."""

    def __init__(
        self,
        screen: Screen[Any],
        services: InterfaceServices,
        current: CurrentModel,
        lazy_models: LazyModelsPane,
        bindings: Iterable[Binding],
        *,
        show_chat: Callable[[], None],
        key_name: Callable[[str], str],
    ) -> None:
        """`bindings` are those of the dialog; `key_name` returns the key of a command."""
        self._screen = screen
        self._services = services
        self._current = current
        self._lazy_models = lazy_models
        self._bindings = bindings
        self._show_chat = show_chat
        self._key_name = key_name

    def switch(self, model: ModelHandle) -> None:
        """Talk to this model from now on."""
        self._show_chat()
        start(self._screen, "model", self._current.choose, model)

    async def switch_to(self, name: str) -> None:
        """Talk to the model with this name from now on.

        Raises:
            SpnlError: there is none.
        """
        if (model := await self._services.find_model(name)) is None:
            raise ModelMissingError(name)
        self.switch(model)

    async def choose(self) -> None:
        """Show the loaded models and those on this machine, and switch to the one that the user chooses."""
        from spnl_tui.ui.models.loaded_screen import LoadedScreen

        dialog = LoadedScreen(
            self._services.engine, self._current.model, self._library, self._bindings, self._key_name
        )
        model = await self._screen.app.push_screen_wait(dialog)
        self._current.check_loaded()  # the user may have unloaded it
        if model is not None:
            self.switch(model)

    async def _library(self) -> list[tuple[ModelHandle, LibraryEntry]]:
        entries = await self._lazy_models.library()
        return [(self._services.to_handle(entry.model), entry) for entry in entries]
