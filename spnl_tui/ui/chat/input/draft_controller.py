"""Keeps the unsent prompt in a file, and restores what an earlier program left."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Container
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spnl_tui.chat.sessions import Sessions
    from spnl_tui.conversations.drafts import Draft, DraftFile
    from spnl_tui.ui.chat.input.prompt import Prompt

_SAVE_AFTER_S = 0.5
"""Seconds after the last key until the draft is saved."""


class DraftController:
    """Owns the saved draft of this program: the prompt, and before it the prompts that wait to be sent."""

    def __init__(
        self, prompt: Prompt, sessions: Sessions, file: DraftFile | None, as_typed: Callable[[str], str]
    ) -> None:
        """`file`: None keeps no drafts. `as_typed` returns a queued prompt as the user typed it."""
        self._prompt = prompt
        self._sessions = sessions
        self._file = file
        self._as_typed = as_typed
        self.restored = False
        """True once an earlier draft was looked for: only then may it be overwritten."""

    async def restore(self, sent: Container[str]) -> None:
        """Put an earlier program's draft into the prompt, or into its history if the prompt is in use.

        `sent`: the stored prompts, as the user typed them. A program that is killed right after a prompt was
        sent leaves the prompt in its draft, too; it is not restored.
        """
        if self._file is None:
            return
        draft = await asyncio.to_thread(self._file.open)
        if draft.typed.strip() in sent:
            draft = type(draft)()
        self._prompt.folds.restore(draft.pasted)
        if draft.typed and (self._prompt.text or len(self._sessions.visible.conversation)):
            self._prompt.past.add(draft.typed)
        elif draft.typed:
            self._prompt.replace_all(draft.typed)
        self.restored = True

    def current(self) -> Draft:
        """Return the unsent text: the prompts that wait in any conversation, and the prompt.

        While a turn is edited, that includes what the prompt held before.
        """
        from spnl_tui.conversations.drafts import Draft

        queued = (item for session in self._sessions for item in session.queue if isinstance(item, str))
        waiting = [self._as_typed(item) for item in queued]
        aside = self._sessions.visible.selection.set_aside
        typed = "\n\n".join(part for part in (*waiting, aside, self._prompt.text) if part.strip())
        return Draft(typed, self._prompt.folds.behind(typed))

    async def save_soon(self) -> None:
        """Save the draft after a short pause. Cancel and call again at each key."""
        await asyncio.sleep(_SAVE_AFTER_S)
        if self._file is not None and self.restored:
            await asyncio.to_thread(self._file.save, self.current())

    def save_and_close(self) -> None:
        """Save the draft at once and leave the file to the next program: this one ends."""
        if self._file is not None and self.restored:
            self._file.save(self.current())
            self._file.close()
