"""What becomes of the prompt before it is sent: commands are done, and an editor of the user's own helps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spnl_tui.errors import CommandError, SpnlError
from spnl_tui.ui import messages
from spnl_tui.ui.commands import can_do, do
from spnl_tui.ui.slash import CommandCompleter
from spnl_tui.ui.toasts import tell

if TYPE_CHECKING:
    from spnl_tui.ui.main_screen import MainScreen


class Prompting:
    """Does what is typed as a command, and prepares what is typed as text."""

    def __init__(self, screen: MainScreen) -> None:
        self._screen = screen
        self._prompt = screen.chat.prompt
        self._prompt.completers = (CommandCompleter(screen),)

    async def run(self, message: messages.CommandSubmitted) -> None:
        """Do what was typed as a command. One that cannot be done now goes back into the prompt."""
        command, argument = message.call.command, message.call.argument
        if not can_do(command, self._screen):
            self._prompt.give_back(message.text)
            tell(self._screen, CommandError(f"/{command.slash} cannot be done now", command.help))
        elif command.id == "chat.new":
            # Not by way of the screen's queue, where what was typed ahead may be before it.
            await self._screen.begin_anew()
        else:
            await do(command, self._screen, *([argument] if argument else []))

    async def edit(self) -> None:
        """Open the prompt in the user's editor."""
        from spnl_tui.ui.editor import edit

        # Taken, so that what comes into the prompt meanwhile is not overwritten.
        text = self._prompt.take()
        try:
            text = await edit(self._screen.app, text)
        except SpnlError as error:
            tell(self._screen, error)
        finally:
            self._prompt.give_back(text)
