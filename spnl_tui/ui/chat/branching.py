"""What one does with single turns: move among them, walk their siblings, edit, go on, fork, delete."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from spnl_tui.conversations.conversation import Conversation
from spnl_tui.conversations.turn import Turn
from spnl_tui.errors import CommandError
from spnl_tui.text import first_line

if TYPE_CHECKING:
    from spnl_tui.ui.main_screen import MainScreen


_EDITING = {
    "user": "Edit: Enter begins a branch, Esc leaves all as it was",
    "assistant": "Edit the reply: Enter puts it beside the first, Esc leaves all as it was",
    "system": "",
}


class TurnsController:
    """Moves among turns and branches, edits, continues, forks, pins and deletes.

    All of it applies to the turn under the cursor, else to the last turn that it can apply to.
    """

    def __init__(self, screen: MainScreen) -> None:
        self._screen = screen
        self._store = screen.store
        self._transcript = screen.chat.transcript
        self._prompt = screen.chat.prompt
        self._cursor = ""
        self._edited = ""
        self._draft = ""

    @property
    def can_leave(self) -> bool:
        """True if a turn is selected or being edited."""
        return bool(self._edited or self._cursor)

    @property
    def answered(self) -> tuple[Turn, ...] | None:
        """The branch below which what is typed will be asked; None: it is another text for a reply."""
        conversation = self._conversation
        if self._edited not in conversation:
            return tuple(conversation.path())
        if conversation[self._edited].role == "assistant":
            return None
        return tuple(conversation.path_to(self._edited)[:-1])

    def place(self, turn: Turn) -> tuple[int, int]:
        """Which of how many siblings a turn is, counted from 1."""
        if turn.id not in self._conversation:
            return 1, 1
        siblings = self._conversation.siblings(turn.id)
        return [sibling.id for sibling in siblings].index(turn.id) + 1, len(siblings)

    def forget(self) -> None:
        """Another conversation is seen."""
        self._cursor = self._edited = self._draft = ""
        self._prompt.border_title = ""

    # ── the cursor ───────────────────────────────────────────────────────────────────────────────

    async def move(self, by: int) -> None:
        """Move the cursor to another turn; below the last one there is none."""
        path = [turn.id for turn in self._conversation.path()]
        at = path.index(self._cursor) if self._cursor in path else len(path)
        await self.jump(path[max(0, at + by)] if at + by < len(path) else "")

    async def jump(self, turn_id: str) -> None:
        """Set the cursor on a turn of the active branch, and bring it into view; empty: no cursor."""
        self._cursor = turn_id
        if turn_id:
            await self._transcript.reveal(turn_id)
        else:
            self._screen.chat.transcript.follow()
        self._transcript.mark(turn_id)

    async def leave(self) -> None:
        """Let go of the cursor, or of the turn that is being edited."""
        if self._edited:
            self._prompt.replace_all(self._draft)
            self._stop_editing()
        await self.jump("")

    # ── branches ─────────────────────────────────────────────────────────────────────────────────

    async def walk(self, by: int) -> None:
        """Go to another sibling of the turn, and to the branch below it."""
        turn = self.fork_turn()
        if turn is None:
            return
        siblings = self._conversation.siblings(turn.id)
        place = siblings.index(turn) + by
        if not 0 <= place < len(siblings):
            last = f"This is the {'first' if by < 0 else 'last'} of {len(siblings)}."
            self._screen.notice.show("No other branch on that side", last)
            return
        self._conversation.select(siblings[place].id)
        await self._screen.conversation_view.show_branch(turn.id, siblings[place].id)
        await self._store.save_choice(self._conversation)
        if self._cursor:
            await self.jump(siblings[place].id)

    async def show_tree(self) -> None:
        """Show all branches, and go to the turn that is chosen there."""
        from spnl_tui.ui.conversations.tree_screen import TreeScreen

        conversation = self._conversation
        path = conversation.path()
        at = self._cursor or path[-1].id
        chosen = await self._screen.app.push_screen_wait(TreeScreen(conversation, at))
        if chosen is None or chosen not in conversation or conversation is not self._conversation:
            return
        conversation.select(chosen)
        await self._store.save_choice(conversation)
        await self._show_whole(conversation)
        await self.jump(chosen)

    async def edit(self) -> None:
        """Take a turn into the prompt line: the one under the cursor, else the user's last one.

        Sent, it stands beside the first one; a prompt is answered then, a reply is as the user says.
        """
        turn = self.editable()
        if turn is None:
            return
        if not self._edited:
            self._draft = self._prompt.text
        self._edited = turn.id
        self._prompt.replace_all(self._screen.prompts.as_typed(turn.text))
        self._prompt.border_title = _EDITING[turn.role]
        self._prompt.focus()
        await self._transcript.reveal(turn.id)
        self._transcript.mark(turn.id)

    async def take_edited_reply(self, text: str) -> bool:
        """Put this text beside the reply that is edited; False: none is."""
        conversation = self._conversation
        if self._edited not in conversation or conversation[self._edited].role != "assistant":
            return False
        old = self.take_edited()
        new = conversation.branch_from(old, text)
        await self._screen.conversation_view.show_branch(old, new.id)
        await self._store.save_turn(conversation, new)
        self._screen.refresh_bindings()
        return True

    async def go_on(self) -> None:
        """Have the model go on with a reply that was stopped, cut off or edited; that one stays as it is."""
        old, conversation = self.unfinished(), self._conversation
        if old is None:
            return
        turn = replace(conversation.regenerate(old.id), content=old.content, reasoning=old.reasoning)
        conversation.update_turn(turn)
        self._cursor = ""
        self._transcript.mark("")
        await self._transcript.remove_from(old.id)
        self._screen.answering.reply(conversation, turn)

    def take_edited(self) -> str:
        """The id of the turn whose other text is sent now; empty if a new prompt is."""
        edited = self._edited if self._edited in self._conversation else ""
        if edited:
            self._stop_editing()
            self._cursor = ""
            self._transcript.mark("")
        return edited

    async def fork(self) -> None:
        """Begin a conversation of its own with the branch down to the turn."""
        path = self._conversation.path()
        turn = self.under_cursor() or path[-1]
        forked = self._conversation.fork(turn.id)
        if (store := await self._store.open()) is not None:
            forked = await store.add(forked)
        await self._screen.conversation_view.show(forked)
        self._screen.notify("The one before is as it was.", title="A conversation of its own", markup=False)

    async def pin(self) -> None:
        """Have the turn sent even when the context is full, or no longer."""
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
        """Delete the turn, or all that follows it, too; until the program ends, that can be undone."""
        turn, conversation = self.under_cursor(), self._conversation
        if turn is None:
            return
        path = [each.id for each in conversation.path()]
        neighbour = path[max(0, path.index(turn.id) - 1)]
        deletion = conversation.delete_branch(turn.id) if branch else conversation.delete_turn(turn.id)

        async def restore() -> None:
            store, now = await self._store.open(), self._conversation
            if now.id != conversation.id:
                live = self._screen.live.unsaved(conversation.id)
                now = live or (await store.load(conversation.id) if store is not None else conversation)
            try:
                now.restore(deletion)
            except KeyError:
                # Another program has deleted the turn above: this program still knows it.
                now = conversation
                now.restore(deletion)
            await self._store.save_restoration(now, deletion)
            if now is self._conversation:
                await self._show_whole(now)

        from spnl_tui.conversations.attachments import words_of

        more = len(deletion.removed) - 1
        what = (first_line(words_of(turn), 40) or "an empty turn") + (f" and {more:,} more" if more else "")
        # First of all: whoever deletes may want it back before it is saved.
        self._screen.conversations.push_undo(what, restore)
        await self._store.save_deletion(conversation, deletion)
        await self._show_whole(conversation)
        await self.jump(neighbour if neighbour in conversation else "")

    # ── helpers ──────────────────────────────────────────────────────────────────────────────────

    @property
    def _conversation(self) -> Conversation:
        return self._screen.conversation

    def under_cursor(self) -> Turn | None:
        """The turn on which the cursor is, if it is on any."""
        conversation = self._conversation
        return conversation[self._cursor] if self._cursor in conversation else None  # noqa: SIM401 - no dict

    def editable(self) -> Turn | None:
        """The turn under the cursor, or else the last one of the user's."""
        if (turn := self.under_cursor()) is not None:
            return turn
        return next((turn for turn in reversed(self._conversation.path()) if turn.role == "user"), None)

    def unfinished(self) -> Turn | None:
        """The last turn, if it is a reply that the model has not brought to its own end."""
        last = next(reversed(self._conversation.path()), None)
        if last is None or last.role != "assistant" or not last.text.strip():
            return None
        ended = last.finish_reason in ("stop", None) and last.provenance is not None
        return None if ended or self._screen.current_model.model is None else last

    def fork_turn(self) -> Turn | None:
        """The turn whose siblings are walked: the one under the cursor, or else the last that has some."""
        if (turn := self.under_cursor()) is not None:
            return turn if self._conversation.has_siblings(turn.id) else None
        return self._conversation.last_fork()

    async def _show_whole(self, conversation: Conversation) -> None:
        await self._transcript.show(self._screen.candidates.above(conversation.path()))
        await self._screen.candidates.shown()
        self._screen.conversation_view.show_figures()

    def _stop_editing(self) -> None:
        self._edited = self._draft = ""
        self._prompt.border_title = ""


def gone() -> CommandError:
    """Why something is not done that was typed right before another conversation was shown."""
    return CommandError("Another conversation is seen by now", "Nothing was done.", "Go back to it first.")
