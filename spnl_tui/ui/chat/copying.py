"""Copying turns, code blocks and conversations as they were written, without borders."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from spnl_tui.conversations.turn import Turn
from spnl_tui.errors import CommandError
from spnl_tui.text import without_controls

if TYPE_CHECKING:
    from textual.screen import Screen

    from spnl_tui.chat.sessions import Sessions

_SURE_BYTES = 74_000
"""The longest text that terminals are sure to accept by OSC 52; the limit of xterm."""


class CopyController:
    """Copies the turn under the cursor, else the last reply, or parts of it."""

    def __init__(
        self,
        screen: Screen[Any],
        sessions: Sessions,
        set_clipboard: Callable[[str], Awaitable[bool]] | None,
    ) -> None:
        """`set_clipboard` sets this machine's clipboard or returns False. The terminal's is always set."""
        self._screen = screen
        self._sessions = sessions
        self._set_clipboard = set_clipboard

    async def copy(self, what: str = "") -> None:
        """Copy the turn, or "all" or "code" instead.

        Raises:
            CommandError: `what` is none of these.
        """
        match what:
            case "":
                await self.turn()
            case "all":
                await self.conversation()
            case "code":
                await self.code()
            case _:
                raise CommandError(
                    "Cannot copy that",
                    f"{what!r} is not something to copy.",
                    "Type /copy, /copy all or /copy code.",
                )

    async def turn(self) -> None:
        """Copy the turn."""
        if (turn := self.target()) is not None:
            await self._copy(turn.text, "The reply" if turn.role == "assistant" else "The prompt")

    async def code(self) -> None:
        """Copy a code block of the turn. If there are several, ask which one."""
        from spnl_tui.ui.chat.code_picker import CodePicker
        from spnl_tui.ui.chat.markdown.stream import code_blocks

        turn = self.target()
        blocks = code_blocks(turn.text) if turn is not None else []
        if not blocks:
            self._screen.notify("This turn contains no code block.", markup=False)
            return
        block = blocks[0] if len(blocks) == 1 else await self._screen.app.push_screen_wait(CodePicker(blocks))
        if block is not None:
            await self._copy(block.code, "The code block")

    async def conversation(self) -> None:
        """Copy the active branch as Markdown."""
        from spnl_tui.conversations.exchange.export import to_markdown

        await self._copy(to_markdown(self._sessions.visible.conversation), "The conversation")

    async def selected(self, text: str) -> None:
        """Copy the text that is selected on the screen."""
        await self._copy(text, "The selection")

    def target(self) -> Turn | None:
        """Return the turn that is copied: the one under the cursor, else the last reply."""
        session = self._sessions.visible
        return session.selection.turn or session.last_reply

    async def _copy(self, text: str, what: str) -> None:
        # The user may paste it into a terminal.
        text = without_controls(text)
        self._screen.app.copy_to_clipboard(text)
        if self._set_clipboard is not None and await self._set_clipboard(text):
            said = f"{what} was copied."
        elif len(text.encode()) <= _SURE_BYTES:
            said = f"{what} was sent to the terminal's clipboard."
        else:
            said = f"{what} was sent to the terminal's clipboard. It is long: some terminals refuse it."
        self._screen.notify(said, markup=False, timeout=3)
