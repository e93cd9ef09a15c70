"""What becomes of the prompt before it is sent: commands are done, files are read, an editor helps.

There are two forms of a prompt. As it is *typed*, it mentions files ("@notes.md"), has words that stand for
what was pasted ("[pasted 48 lines]"), and a "/" or "@" too many where one is meant as text. *Whole*, it is
what is sent and kept.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from spnl_tui.errors import CommandError, SpnlError
from spnl_tui.ui import messages
from spnl_tui.ui.chat.file_completer import FileCompleter
from spnl_tui.ui.commands import slash
from spnl_tui.ui.commands.availability import why_not
from spnl_tui.ui.commands.registry import can_do, do
from spnl_tui.ui.widgets.toasts import tell

if TYPE_CHECKING:
    from spnl_tui.conversations.conversation import Conversation
    from spnl_tui.ui.commands.command import Command
    from spnl_tui.ui.main_screen import MainScreen


class PromptController:
    """Does what is typed as a command, and makes whole what is typed as text."""

    def __init__(self, screen: MainScreen) -> None:
        self._screen = screen
        self._prompt = screen.chat.prompt
        self.typed = ""
        """What was typed as the command that is being begun; empty where a key begins it."""
        self.typed_in: Conversation | None = None
        """The conversation in which it was typed."""
        self._prompt.completers = (
            slash.CommandCompleter(screen),
            FileCompleter(screen, self._prompt.look_again),
        )

    @property
    def asked_in(self) -> Conversation:
        """The conversation for which something is asked: the one in which it was typed, or that is seen."""
        return self._screen.conversation if self.typed_in is None else self.typed_in

    async def run(self, message: messages.CommandSubmitted, typed_in: Conversation | None = None) -> None:
        """Do what was typed as a command. One that cannot be done now goes back into the prompt.

        One that may need the model waits, as a prompt does, until a model was looked for; `typed_in` is the
        conversation in which it has waited.
        """
        typed_in = self._screen.conversation if typed_in is None else typed_in
        command, argument = message.call.command, message.call.argument
        try:
            if command.before_prompt is None:
                argument = self._prompt.folds.unfold(argument)
            elif (before := command.before_prompt.match(argument)) is not None:
                argument = before[0] + await self.whole(argument[before.end() :])
        except SpnlError as error:
            self._prompt.give_back(message.text)
            tell(self._screen, error)
            return
        arguments = [argument] if argument else []
        self.typed, self.typed_in = message.text, typed_in
        try:
            if can_do(command, self._screen, *arguments):
                if command.id == "chat.new":
                    # Not by way of the screen's queue, where what was typed ahead may be before it.
                    await self._screen.conversation_view.begin_anew()
                else:
                    await do(command, self._screen, *arguments)
            elif not self._screen.current_model.looked:
                await self._screen.sending.queue(message, typed_in)
            else:
                self._prompt.give_back(message.text)
                self.refuse(command)
        finally:
            self.typed, self.typed_in = "", None
        # It begins now, with what is seen: what was typed after it may show another conversation.
        await asyncio.sleep(0)

    def refuse(self, command: Command) -> None:
        """Say why this command cannot be done now."""
        why = why_not(command, self._screen)
        tell(self._screen, CommandError(f"/{command.slash} cannot be done now", why))

    async def submit(self, typed: str) -> None:
        """Send what was typed. If a file that it mentions cannot be read, it goes back into the prompt."""
        try:
            whole = await self.whole(typed)
        except SpnlError as error:
            self._prompt.give_back(typed)
            tell(self._screen, error)
            return
        await self._screen.sending.submit(whole)

    async def whole(self, typed: str) -> str:
        """What is sent for this.

        Raises:
            AttachmentError: a file cannot be read, is no text or too large.
        """
        typed = slash.without_escape(typed)
        if "@" not in typed:
            return self._prompt.folds.unfold(typed)
        from spnl_tui.conversations.attachments import join, read

        # Before what was pasted is unfolded: what an "@" means in there is not for us to say.
        prose, attachments = await asyncio.to_thread(read, typed, Path.cwd())
        return join(self._prompt.folds.unfold(prose), attachments)

    def as_typed(self, whole: str) -> str:
        """What to type to send this."""
        return as_typed(self._prompt.folds.refold(whole))

    async def unsent(self) -> str:
        """What would be sent now; nothing for a command. A file that cannot be read yet does not count."""
        typed = self._prompt.text.strip()
        if slash.looks_like_command(typed):
            return ""
        try:
            return await self.whole(typed)
        except SpnlError:  # told when it is sent: the path may not be complete
            return self._prompt.folds.unfold(typed)

    async def edit(self) -> None:
        """Open the prompt in the user's editor."""
        from spnl_tui.ui.chat.editor import edit

        # Taken, so that what comes into the prompt meanwhile is not overwritten.
        typed = self._prompt.take()
        try:
            typed = await edit(self._screen.app, self._prompt.folds.unfold(typed))
        except SpnlError as error:
            tell(self._screen, error)
        finally:
            self._prompt.give_back(typed)


def as_typed(whole: str) -> str:
    """What to type to send this text, given the same files."""
    if "@" in whole:
        from spnl_tui.conversations.attachments import as_typed

        whole = as_typed(whole)
    return slash.with_escape(whole)
