"""The reply at the end of the branch: stopping it, asking for another, showing its reasoning."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spnl_tui.conversations.turn import Turn
from spnl_tui.models.parts import has_calls

if TYPE_CHECKING:
    from spnl_tui.chat.sessions import Sessions
    from spnl_tui.ui.chat.conversation_view import ConversationView
    from spnl_tui.ui.chat.transcript import Transcript


class LastReplyController:
    """Stops the last reply, asks for it again, shows its reasoning."""

    def __init__(self, sessions: Sessions, view: ConversationView, transcript: Transcript) -> None:
        self._sessions = sessions
        self._view = view
        self._transcript = transcript

    def turn(self) -> Turn | None:
        """Return the last turn if it is a complete reply."""
        return self._sessions.visible.last_reply

    def stop(self) -> None:
        """Stop the reply and keep its text so far."""
        self._sessions.visible.stop()

    async def regenerate(self) -> None:
        """Ask for another reply to the last prompt."""
        await self._sessions.visible.regenerate()

    def has_calls(self) -> bool:
        """Return True if the last reply has called tools."""
        last = self._transcript.last_reply()
        return last is not None and has_calls(last.turn.content)

    def toggle_results(self) -> None:
        """Fold or unfold the results of the last reply's calls."""
        if (reply := self._transcript.last_reply()) is not None:
            reply.toggle_results()

    def toggle_thinking(self) -> None:
        """Fold or unfold the reasoning, and the summary of what the model does not see."""
        last = self.turn()
        candidate = self._view.reply(last.id) if last is not None else None
        if (reply := candidate or self._transcript.last_reply()) is not None:
            reply.toggle_thinking()
        self._transcript.toggle_summary()
