"""Makes the pane with the models: a tenth of a second of imports that the first paint does not wait for."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textual.binding import Binding
from textual.widgets import ContentSwitcher

from spnl_tui.settings import Settings
from spnl_tui.ui.services import InterfaceServices
from spnl_tui.ui.widgets.background import start

if TYPE_CHECKING:
    from textual.screen import Screen

    from spnl_tui.chat.sessions import Sessions
    from spnl_tui.chat.status import Status
    from spnl_tui.hub.inspection import ModelBrowser
    from spnl_tui.hub.library.scan import LibraryEntry
    from spnl_tui.ui.messages import PullRequested
    from spnl_tui.ui.models.pane import ModelsPane

_AHEAD_S = 2.0
"""The seconds after the start when the pane is created, unless it was needed before."""


class LazyModelsPane:
    """The models pane, created when it is first needed, or earlier while the program is idle."""

    def __init__(
        self,
        screen: Screen[Any],
        status: Status,
        sessions: Sessions,
        services: InterfaceServices,
        settings: Settings,
        bindings: Iterable[Binding],
    ) -> None:
        """`bindings` are those of the pane."""
        self._screen = screen
        self._status = status
        self._sessions = sessions
        self._bindings = bindings
        self._make_browser = services.browser
        self._survey = services.survey
        self._settings = settings
        self._making = asyncio.Lock()
        self.pane: ModelsPane | None = None
        """None until it is made."""

    @property
    def can(self) -> bool:
        """True if the services can list models."""
        return self._make_browser is not None

    def make_ahead_soon(self) -> None:
        """Create the pane after the program was idle for a while."""
        if self.can:
            self._screen.set_timer(_AHEAD_S, self._make_ahead_when_idle)

    def _make_ahead_when_idle(self) -> None:
        if self._status.activity.busy or self._sessions.replying:
            # It takes a fifth of a second of a core, which a reply would notice.
            self.make_ahead_soon()
        elif self.pane is None:
            start(self._screen, "models-ahead", self.make_ahead)

    async def make_ahead(self) -> None:
        """Make it, with what it will show at first."""
        (await self.make()).prepare()

    async def make(self) -> ModelsPane:
        """The pane, made now if it was not yet."""
        async with self._making:
            if self.pane is None:
                make_browser = self._make_browser
                assert make_browser is not None

                def import_and_make() -> tuple[type[ModelsPane], ModelBrowser]:
                    from spnl_tui.ui.models.pane import ModelsPane

                    return ModelsPane, make_browser()

                # A tenth of a second, in which no key may wait.
                kind, browser = await asyncio.to_thread(import_and_make)
                screen = self._screen
                # Not before: a stylesheet is parsed before the first paint.
                screen.app.stylesheet.read(Path(__file__).with_name("pane.tcss"))
                pane = kind(
                    browser,
                    self._bindings,
                    context=self._settings.context.length,
                    id="models",
                    survey=self._survey,
                )
                await screen.query_one("#body", ContentSwitcher).add_content(pane)
                self.pane = pane
            return self.pane

    async def request_pull(self, reference: str) -> PullRequested:
        """Return the request that pulls this model.

        Raises:
            SpnlError: it does not exist, or the hub does not answer.
        """
        from spnl_tui.ui.models.pull_request import pull_request

        return await pull_request((await self.make()).browser, reference)

    async def library(self) -> Sequence[LibraryEntry]:
        """The models on this machine."""
        return await (await self.make()).library() if self.can else ()
