"""Finding words within the conversation that is seen."""

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
        """`bindings` are those of the line for the words."""
        self._pane = pane
        self._sessions = sessions
        self._bindings = bindings
        self._bar: FindBar | None = None
        self._transcript = pane.transcript
        self._at = ""
        """The turn to which one was taken."""

        sessions.subscribe(self._on_event)

    async def _on_event(self, session: ChatSession, event: SessionEvent) -> None:
        if isinstance(event, SessionShown):
            self.forget()

    async def open(self, words: str = "") -> None:
        """Begin to look for these words, or the ones before."""
        if self._bar is None:
            self._bar = await self._pane.make_find_bar(self._bindings)
        self._bar.open(words)
        await self.look()

    async def look(self) -> None:
        """Go to the last turn that has what is typed."""
        self._at = ""
        await self.step(-1)

    async def step(self, by: int) -> None:
        """Go to another turn that has the words; after the last comes the first."""
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
        if self._at in hits:
            place = (hits.index(self._at) + by) % len(hits)
        else:
            place = len(hits) - 1 if by < 0 else 0
        self._at = hits[place]
        self._bar.tell(f"turn {place + 1:,} of {len(hits):,}")
        await self._sessions.visible.selection.move(self._at)
        self._transcript.reveal_found(self._at)

    async def close(self) -> None:
        """Look for nothing any more. The cursor stays where it is."""
        self.forget()
        self._pane.prompt.focus()

    def forget(self) -> None:
        """Another conversation is seen, or nothing is looked for."""
        if self._bar is not None and self.looking:
            self._bar.close()
            self._transcript.mark_found(None, ())

    @property
    def looking(self) -> bool:
        """True while the line for the words is open."""
        return self._bar is not None and self._bar.display


def _has(turn: Turn, pattern: re.Pattern[str]) -> bool:
    """Whether what is seen of a turn has the words."""
    from spnl_tui.conversations.attachments import words_of

    return pattern.search(words_of(turn)) is not None
