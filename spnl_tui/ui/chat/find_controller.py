"""Finding words in the visible conversation."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from textual.binding import Binding

from spnl_tui.chat.events import SessionShown
from spnl_tui.conversations.turn import Turn

if TYPE_CHECKING:
    from spnl_tui.chat.events import SessionEvent
    from spnl_tui.chat.session import ChatSession
    from spnl_tui.chat.sessions import Sessions
    from spnl_tui.ui.chat.find_bar import FindBar
    from spnl_tui.ui.chat.pane import ChatPane


class FindController:
    """Goes to the turns of the active branch that contain the words, from the last one upwards."""

    def __init__(self, pane: ChatPane, sessions: Sessions, bindings: Iterable[Binding]) -> None:
        """`bindings` are those of the search line."""
        self._pane = pane
        self._sessions = sessions
        self._bindings = bindings
        self._bar: FindBar | None = None
        self._transcript = pane.transcript
        self._at: str | None = None
        """The id of the turn that was found last."""

        sessions.subscribe(self._on_event)

    async def _on_event(self, session: ChatSession, event: SessionEvent) -> None:
        if isinstance(event, SessionShown):
            self.forget()

    async def open(self, words: str = "") -> None:
        """Open the search line with these words, or with the words before."""
        if self._bar is None:
            self._bar = await self._pane.make_find_bar(self._bindings)
        self._bar.open(words)
        await self.look()

    async def look(self) -> None:
        """Go to the last turn that contains the words."""
        self._at = None
        await self.step(-1)

    async def step(self, by: int) -> None:
        """Go to another turn that contains the words, from the last one on to the first."""
        if self._bar is None:
            return
        words = self._bar.words.strip()
        pattern = re.compile(re.escape(words), re.IGNORECASE) if words else None
        hits = [
            turn.id for turn in self._sessions.visible.conversation.path() if pattern and _has(turn, pattern)
        ]
        self._transcript.mark_found(pattern, hits)
        if not hits:
            self._bar.tell("not found" if words else "")
            return
        if self._at is not None and self._at in hits:
            place = (hits.index(self._at) + by) % len(hits)
        else:
            place = len(hits) - 1 if by < 0 else 0
        self._at = hits[place]
        self._bar.tell(f"turn {place + 1:,} of {len(hits):,}")
        await self._sessions.visible.selection.move(self._at)
        self._transcript.reveal_found(self._at)

    async def close(self) -> None:
        """Close the search line. The cursor stays where it is."""
        self.forget()
        self._pane.prompt.focus()

    def forget(self) -> None:
        """Close the search line, if it is open."""
        if self._bar is not None and self.looking:
            self._bar.close()
            self._transcript.mark_found(None, ())

    @property
    def looking(self) -> bool:
        """True while the search line is open."""
        return self._bar is not None and self._bar.display


def _has(turn: Turn, pattern: re.Pattern[str]) -> bool:
    """Return True if the visible text of a turn contains the words."""
    from spnl_tui.conversations.attachments import words_of

    return pattern.search(words_of(turn)) is not None
