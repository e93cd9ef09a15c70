"""What one does with the reply at the end of the branch: stop it, ask for it again, look at its thinking."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spnl_tui.conversations.turn import Turn

if TYPE_CHECKING:
    from spnl_tui.ui.main_screen import MainScreen


class LastReplyController:
    """Stops the last reply, asks for it again, shows its reasoning."""

    def __init__(self, screen: MainScreen) -> None:
        self._screen = screen

    def turn(self) -> Turn | None:
        """The reply itself, if it has ended."""
        path = self._screen.conversation.path()
        return path[-1] if path and path[-1].role == "assistant" and not path[-1].streaming else None

    def stop(self) -> None:
        """Stop it and keep what has come."""
        if not self._screen.candidates.stop() and (run := self._screen.answering.run) is not None:
            run.stop()

    async def regenerate(self) -> None:
        """Reply to the last prompt once more; the reply before stays in the conversation's tree."""
        screen, last = self._screen, self.turn()
        if last is None or screen.replying or screen.current_model.model is None:
            return
        conversation = screen.conversation
        with screen.sending.accepting(conversation):
            await screen.candidates.close()
            await screen.chat.transcript.remove_from(last.id)
            screen.answering.reply(conversation, conversation.regenerate(last.id))

    def toggle_thinking(self) -> None:
        """Fold or unfold its thinking, and the summary of what the model does not see."""
        transcript, last = self._screen.chat.transcript, self.turn()
        chosen = self._screen.candidates.widget(last.id) if last is not None else None
        if (reply := chosen or transcript.last_reply()) is not None:
            reply.toggle_thinking()
        transcript.toggle_summary()
