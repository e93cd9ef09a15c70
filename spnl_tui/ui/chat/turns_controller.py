"""Single turns: moving among them and their siblings, editing, continuing, forking and deleting."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from spnl_tui.chat.events import BranchChanged, TreeChanged
from spnl_tui.conversations.conversation import Conversation
from spnl_tui.conversations.turn import Turn
from spnl_tui.errors import CommandError
from spnl_tui.models.image_marks import marked_text
from spnl_tui.text import first_line

if TYPE_CHECKING:
    from textual.screen import Screen

    from spnl_tui.chat.model import CurrentModel
    from spnl_tui.chat.recording import ReportingStore
    from spnl_tui.chat.session import ChatSession
    from spnl_tui.chat.sessions import Sessions
    from spnl_tui.ui.chat.pane import ChatPane
    from spnl_tui.ui.widgets.undo import UndoStack

_EDITING = {
    "user": "Edit: Enter sends it as a second version, Esc leaves all as it was",
    "assistant": "Your version of the reply: Enter adds it, the original stays; Esc leaves",
    "system": "",
}


class TurnsController:
    """Moves among turns and branches, edits, continues, forks, pins and deletes.

    All of it applies to the turn under the cursor, else to the last turn that it can apply to.
    """

    def __init__(
        self,
        screen: Screen[Any],
        pane: ChatPane,
        sessions: Sessions,
        model: CurrentModel,
        store: ReportingStore,
        *,
        as_typed: Callable[[str], str],
        show: Callable[[Conversation], Awaitable[None]],
        is_visible: Callable[[Conversation], bool],
        undo: UndoStack,
        explain: Callable[[str, str], None],
    ) -> None:
        """`explain` shows why nothing happened; `show` makes another conversation the visible one."""
        self._screen = screen
        self._sessions = sessions
        self._model = model
        self._store = store
        self._transcript = pane.transcript
        self._prompt = pane.prompt
        self._as_typed = as_typed
        self._show = show
        self._is_visible = is_visible
        self._undo = undo
        self._explain = explain

    @property
    def can_leave(self) -> bool:
        """True if a turn is selected or being edited."""
        selection = self._session.selection
        return selection.edited is not None or selection.cursor is not None

    def place(self, turn: Turn) -> tuple[int, int]:
        """Return the number of a turn among its siblings, from 1, and how many there are."""
        if turn.id not in self._conversation:
            return 1, 1
        siblings = self._conversation.siblings(turn.id)
        return [sibling.id for sibling in siblings].index(turn.id) + 1, len(siblings)

    # ── the cursor ───────────────────────────────────────────────────────────────────────────────

    async def move(self, by: int) -> None:
        """Move the cursor to another turn. Below the last turn, no turn is selected."""
        path, cursor = [turn.id for turn in self._conversation.path()], self._session.selection.cursor
        at = path.index(cursor) if cursor in path else len(path)
        await self.jump(path[max(0, at + by)] if at + by < len(path) else None)

    async def jump(self, turn_id: str | None) -> None:
        """Select a turn of the active branch and bring it into view; None: select none and go to the end."""
        if turn_id is None:
            self._transcript.follow()
        await self._session.selection.move(turn_id)

    async def leave(self) -> None:
        """Select no turn, and end the edit."""
        if self._session.selection.edited is not None:
            self._prompt.replace_all(await self._session.selection.end_edit())
        await self.jump(None)

    # ── branches ─────────────────────────────────────────────────────────────────────────────────

    async def walk(self, by: int) -> None:
        """Go to another sibling of the turn and the branch below it."""
        turn = self.fork_turn()
        if turn is None:
            return
        siblings = self._conversation.siblings(turn.id)
        place = siblings.index(turn) + by
        if not 0 <= place < len(siblings):
            last = f"This is the {'first' if by < 0 else 'last'} of {len(siblings)}."
            self._explain("No other branch on that side", last)
            return
        self._conversation.select(siblings[place].id)
        await self._session.emit(BranchChanged(turn.id, siblings[place].id))
        await self._store.save_choice(self._conversation)
        if self._session.selection.cursor is not None:
            await self.jump(siblings[place].id)

    async def show_tree(self) -> None:
        """Show all branches, and go to the turn that the user chooses."""
        from spnl_tui.ui.conversations.tree_screen import TreeScreen

        conversation = self._conversation
        path = conversation.path()
        at = self._session.selection.cursor or path[-1].id
        chosen = await self._screen.app.push_screen_wait(TreeScreen(conversation, at))
        if chosen is None or chosen not in conversation or not self._is_visible(conversation):
            return
        conversation.select(chosen)
        await self._store.save_choice(conversation)
        await self._session.emit(TreeChanged())
        await self.jump(chosen)

    async def edit(self) -> None:
        """Edit the selected turn, else the last prompt, in the prompt line.

        Sent, it stands beside the first one; a prompt is answered then, a reply is as the user says.
        """
        if (turn := self.editable()) is not None:
            await self._edit(turn)

    async def edit_prompt_of(self, reply_id: str) -> None:
        """Return the prompt of this reply to the prompt line, unless it has other text."""
        conversation = self._conversation
        if reply_id in conversation and not self._prompt.text:
            path = conversation.path_to(reply_id)
            if len(path) > 1 and path[-2].role == "user":
                await self._edit(path[-2])

    async def _edit(self, turn: Turn) -> None:
        self._session.selection.edit(turn, self._prompt.text)
        self._prompt.replace_all(self._as_typed(marked_text(turn.content)))
        self._prompt.border_title = _EDITING[turn.role]
        self._prompt.focus()
        await self._transcript.reveal(turn.id)
        self._transcript.mark(turn.id)

    async def continue_reply(self) -> None:
        """Let the model continue a reply that was stopped, cut off or edited."""
        await self._session.continue_reply()

    async def fork(self) -> None:
        """Copy the branch down to the turn into a new conversation."""
        from spnl_tui.conversations.copies import fork

        path = self._conversation.path()
        turn = self.under_cursor() or path[-1]
        forked = fork(self._conversation, turn.id)
        if (store := await self._store.open()) is not None:
            forked = await store.add(forked)
        await self._show(forked)
        self._screen.notify(
            "The previous conversation is unchanged.", title="A conversation of its own", markup=False
        )

    async def pin(self) -> None:
        """Pin or unpin the turn. A pinned turn is sent even when the context is full."""
        turn, conversation = self.under_cursor(), self._conversation
        if turn is None:
            return
        turn = replace(turn, pinned=not turn.pinned)
        conversation.update_turn(turn)
        self._transcript.mark_pinned(turn)
        await self._store.save_turn_pin(conversation, turn)
        what = (
            "The model will always see it." if turn.pinned else "It may be left out when the context is full."
        )
        title = "Pinned" if turn.pinned else "No longer pinned"
        self._screen.notify(what, title=title, markup=False, timeout=3)

    async def delete(self, *, branch: bool = False) -> None:
        """Delete the turn, or also all that follows it. The user can undo this until the program ends."""
        turn, conversation = self.under_cursor(), self._conversation
        if turn is None:
            return
        path = [each.id for each in conversation.path()]
        neighbour = path[max(0, path.index(turn.id) - 1)]
        deletion = conversation.delete_branch(turn.id) if branch else conversation.delete_turn(turn.id)

        async def restore() -> None:
            store, live = await self._store.open(), self._sessions.held(conversation.id)
            now = live or (await store.load(conversation.id) if store is not None else conversation)
            try:
                now.restore(deletion)
            except KeyError:
                # Another program has deleted the turn above: this program still knows it.
                now = conversation
                now.restore(deletion)
            await self._store.save_restoration(now, deletion)
            await self._sessions.of(now).emit(TreeChanged())

        from spnl_tui.conversations.attachments import words_of

        more = len(deletion.removed) - 1
        what = (first_line(words_of(turn), 40) or "an empty turn") + (f" and {more:,} more" if more else "")
        # Before it is saved: the user may want to undo it at once.
        self._undo.push(f"Deleted: {what}", restore)
        await self._store.save_deletion(conversation, deletion)
        await self._sessions.of(conversation).emit(TreeChanged())
        await self.jump(neighbour if neighbour in conversation else None)

    # ── helpers ──────────────────────────────────────────────────────────────────────────────────

    @property
    def _conversation(self) -> Conversation:
        return self._session.conversation

    @property
    def _session(self) -> ChatSession:
        return self._sessions.visible

    def under_cursor(self) -> Turn | None:
        """Return the selected turn, or None."""
        return self._session.selection.turn

    def editable(self) -> Turn | None:
        """Return the selected turn, else the last prompt."""
        if (turn := self.under_cursor()) is not None:
            return turn
        return next((turn for turn in reversed(self._conversation.path()) if turn.role == "user"), None)

    def unfinished(self) -> Turn | None:
        """Return the last turn if it is a reply that the model did not end itself."""
        return None if self._model.model is None else self._session.unfinished_reply

    def fork_turn(self) -> Turn | None:
        """Return the selected turn if it has siblings; without a selection, the last turn that has some."""
        if (turn := self.under_cursor()) is not None:
            return turn if self._conversation.has_siblings(turn.id) else None
        return self._conversation.last_fork()


def gone() -> CommandError:
    """Return the error for a command whose conversation is no longer visible."""
    return CommandError(
        "Another conversation is on the screen now", "Nothing was changed.", "Go back and try again."
    )
