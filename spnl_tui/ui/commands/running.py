"""What a key, the palette or a command asks for, done as a worker of the screen."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from spnl_tui.conversations.conversation import Conversation
from spnl_tui.errors import SpnlError
from spnl_tui.ui.widgets.background import restart, start
from spnl_tui.ui.widgets.toasts import tell

if TYPE_CHECKING:
    from spnl_tui.ui.main_screen import MainScreen


class Doing:
    """Does what may fail: what goes wrong is told, and what was typed for it goes back into the prompt."""

    def __init__(self, screen: MainScreen) -> None:
        self._screen = screen

    def do(
        self,
        group: str,
        act: Callable[..., Awaitable[None]],
        *arguments: str,
        exclusive: bool = False,
        asked_in: Conversation | None = None,
    ) -> None:
        """Do it as a worker of this group, or as the only one.

        A conversation in which it asks for a reply counts as replying from now on.
        """
        screen, typed = self._screen, self._screen.prompts.typed

        async def work() -> None:
            try:
                await act(*arguments)
            except SpnlError as error:
                if typed:
                    screen.chat.prompt.give_back(typed)
                tell(screen, error)
            screen.refresh_bindings()

        if asked_in is not None:
            screen.sending.prepare(asked_in, group, work)
        elif exclusive:
            restart(screen, group, work)
        else:
            start(screen, group, work)
