"""Prepares a prompt for sending: reads the files it mentions, writes out pastes, opens the editor.

There are two forms of a prompt. As it is *typed*, it mentions files ("@notes.md"), has words that stand for
what was pasted ("[pasted 48 lines]"), and a "/" or "@" too many where one is meant as text. *Whole*, it is
what is sent and kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spnl_tui.chat.queue import QueuedCommand
from spnl_tui.conversations.slash_text import looks_like_command, with_escape, without_escape
from spnl_tui.errors import AttachmentError, SpnlError
from spnl_tui.models.image_marks import marked_images
from spnl_tui.ui.widgets.toasts import tell

if TYPE_CHECKING:
    from textual.screen import Screen

    from spnl_tui.chat.model import CurrentModel
    from spnl_tui.chat.sessions import Sessions
    from spnl_tui.media.media_reader import MediaReader
    from spnl_tui.ui.chat.input.prompt import Prompt


class PromptController:
    """Turns what was typed into what is sent, and back."""

    def __init__(
        self,
        screen: Screen[Any],
        prompt: Prompt,
        sessions: Sessions,
        model: CurrentModel,
        media: Callable[[], MediaReader] | None = None,
        models_that_see: Callable[[], Awaitable[Sequence[str]]] | None = None,
    ) -> None:
        """`media` returns the reader of images and documents, constructed on the first call."""
        self._models_that_see = models_that_see
        self._media = media
        self._screen = screen
        self._prompt = prompt
        self._sessions = sessions
        self._model = model

    async def submit(self, typed: str) -> None:
        """Send what was typed, or put it back into the prompt if a mentioned file cannot be read."""
        try:
            whole = await self.whole(typed)
            await self._check_images(whole)
        except SpnlError as error:
            self._prompt.give_back(typed)
            tell(self._screen, error)
            return
        await self._sessions.visible.send(whole)

    async def _check_images(self, whole: str) -> None:
        """Refuse images, before anything is sent, if the current model reads only text."""
        model = self._model.model
        if model is None or model.capabilities.vision or not marked_images(whole):
            return
        others = () if self._models_that_see is None else await self._models_that_see()
        hint = f"/model {others[0]} sees." if others else "Pull one that sees: press F3 and search for VL."
        raise AttachmentError("This model cannot see images", f"{model.name} reads only text.", hint)

    async def return_queued(self) -> None:
        """Return prompts that were typed ahead to the prompt, because they cannot be answered as expected."""
        items = await self._sessions.visible.take_queued()
        if items:
            texts = (self.as_typed(item) if isinstance(item, str) else item.text for item in items)
            self._prompt.give_back("\n\n".join(texts))
        if self._model.model is None:
            for item in items:
                if isinstance(item, QueuedCommand):
                    item.refuse()

    async def whole(self, typed: str) -> str:
        """Return the text that is sent for what was typed.

        Raises:
            AttachmentError: a file cannot be read, is no text or too large.
        """
        typed = without_escape(typed)
        if "@" not in typed:
            return self._prompt.folds.unfold(typed)
        from spnl_tui.conversations.attachments import join, read

        # Before pastes are unfolded, because an "@" in a paste does not mention a file.
        media = None if self._media is None else self._media()
        prose, attachments = await asyncio.to_thread(read, typed, Path.cwd(), media)
        return join(self._prompt.folds.unfold(prose), attachments)

    def as_typed(self, whole: str) -> str:
        """Return what to type to send this text."""
        return as_typed(self._prompt.folds.refold(whole))

    async def unsent(self) -> str:
        """Return what would be sent now; empty for a command. Unreadable files are ignored."""
        typed = self._prompt.text.strip()
        if looks_like_command(typed):
            return ""
        try:
            return await self.whole(typed)
        except SpnlError:  # told when it is sent: the path may not be complete
            return self._prompt.folds.unfold(typed)

    async def edit(self) -> None:
        """Open the prompt in the user's editor."""
        from spnl_tui.ui.chat.input.editor import edit

        # Empty the prompt, so that text arriving meanwhile is not overwritten.
        typed = self._prompt.take()
        try:
            typed = await edit(self._screen.app, self._prompt.folds.unfold(typed))
        except SpnlError as error:
            tell(self._screen, error)
        finally:
            self._prompt.give_back(typed)


def as_typed(whole: str) -> str:
    """Return what to type to send this text, given the same files."""
    if "@" in whole or marked_images(whole):
        from spnl_tui.conversations.attachments import as_typed

        whole = as_typed(whole)
    return with_escape(whole)
