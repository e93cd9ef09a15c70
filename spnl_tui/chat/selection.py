"""The turn that the user selected with the cursor, and the turn that is being edited."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from spnl_tui.chat.events import CursorMoved, EditEnded, SessionEvent

if TYPE_CHECKING:
    from spnl_tui.conversations.conversation import Conversation
    from spnl_tui.conversations.turn import Turn


class Selection:
    """The cursor and the edit of one conversation. The visible conversation alone has any."""

    def __init__(self, conversation: Conversation, emit: Callable[[SessionEvent], Awaitable[None]]) -> None:
        self._conversation = conversation
        self._emit = emit
        self._draft = ""
        """The text of the prompt before the edit."""
        self.cursor: str | None = None
        """The id of the selected turn; None if no turn is selected."""
        self.edited: str | None = None
        """The id of the turn that is being edited; None if no turn is."""

    @property
    def turn(self) -> Turn | None:
        """The selected turn."""
        return self._turn(self.cursor)

    @property
    def edited_turn(self) -> Turn | None:
        """The turn that is being edited."""
        return self._turn(self.edited)

    @property
    def set_aside(self) -> str:
        """The text of the prompt before the edit in progress."""
        return self._draft if self.edited is not None else ""

    @property
    def answered(self) -> tuple[Turn, ...] | None:
        """The branch to which a new prompt would be added; None while a reply is being edited."""
        if (edited := self.edited_turn) is None:
            return tuple(self._conversation.path())
        return None if edited.role == "assistant" else tuple(self._conversation.path_to(edited.id)[:-1])

    async def move(self, turn_id: str | None) -> None:
        """Select a turn of the active branch, or (None) none."""
        self.cursor = turn_id
        await self._emit(CursorMoved())

    def edit(self, turn: Turn, draft: str) -> None:
        """Edit a turn: what is sent next becomes its sibling. `draft` is set aside until then."""
        if self.edited is None:
            self._draft = draft
        self.edited = turn.id

    async def end_edit(self) -> str:
        """End the edit. Returns the draft that was set aside."""
        draft = self._draft
        self.edited, self._draft = None, ""
        await self._emit(EditEnded())
        return draft

    async def take_edited(self) -> Turn | None:
        """End the edit because its text is sent. Returns the turn that was edited, or None."""
        if (turn := self.edited_turn) is not None:
            await self.end_edit()
            await self.move(None)
        return turn

    def reset(self) -> None:
        """Forget the cursor and the edit, because another conversation is shown."""
        self.cursor = self.edited = None
        self._draft = ""

    def _turn(self, turn_id: str | None) -> Turn | None:
        """Return the turn; None if there is none, or if it was deleted since."""
        if turn_id is None or turn_id not in self._conversation:
            return None
        return self._conversation[turn_id]
