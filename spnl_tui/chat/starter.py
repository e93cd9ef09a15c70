"""The starter model for a chat on a machine without models."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING

from spnl_tui.chat.model import Progress

if TYPE_CHECKING:
    from spnl_tui.engine.backend import ModelHandle
    from spnl_tui.hub.starter import Starter
    from spnl_tui.models.files.local import LocalModel


class StarterDownload:
    """Downloads the starter for `CurrentModel`."""

    def __init__(
        self, starter: Callable[[], Starter], to_handle: Callable[[LocalModel], ModelHandle]
    ) -> None:
        """`starter` is called on the first download, so that the start does not wait for its imports."""
        self._starter = starter
        self._to_handle = to_handle

    async def get(self) -> AsyncGenerator[Progress | ModelHandle, None]:
        """Yield progress, and at the end the model.

        Raises:
            SpnlError: the model could not be downloaded.
        """
        from spnl_tui.hub.starter import StarterReady

        async with aclosing(self._starter().fetch()) as events:
            async for event in events:
                if isinstance(event, StarterReady):
                    yield self._to_handle(event.model)
                else:
                    yield Progress(f"{event.stage} · {event.source}", event.done, event.total)
