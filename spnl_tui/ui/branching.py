"""What one does with single turns: move among them, walk their siblings, edit, fork, delete."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from spnl_tui.conversations.conversation import Conversation, Turn
from spnl_tui.errors import SpnlError
from spnl_tui.text import first_line
from spnl_tui.ui.toasts import tell

if TYPE_CHECKING:
    from spnl_tui.ui.main_screen import MainScreen


class Branching:
    """The actions `turn('…')`.

    They are for the turn under the cursor. While there is no cursor, they are for the last turn that they can
    be for.
    """

    def __init__(self, screen: MainScreen) -> None:
        self._screen = screen
        self._keeping = screen.keeping
        self._transcript = screen.chat.transcript
        self._prompt = screen.chat.prompt
        self._cursor = ""
        self._edited = ""
        self._draft = ""
        self._actions: dict[str, Callable[[], Awaitable[None]]] = {
            "up": lambda: self.move(-1),
            "down": lambda: self.move(1),
            "earlier": lambda: self.walk(-1),
            "later": lambda: self.walk(1),
            "edit": self.edit,
            "leave": self.leave,
            "fork": self.fork,
            "delete": self.delete,
        }

    async def act(self, what: str) -> None:
        """Do it; what goes wrong is told."""
        try:
            if what not in ("up", "down", "leave"):
                await self._screen.choosing.close()
            await self._actions[what]()
        except SpnlError as error:
            tell(self._screen, error)
        self._screen.refresh_bindings()

    def can(self, what: str) -> bool:
        """Whether it makes sense now. The tree stays as it is while a reply grows in it."""
        match what:
            case "up" | "down":
                return len(self._conversation) > 0
            case "leave":
                return bool(self._edited or self._cursor)
            case "earlier" | "later":
                return not self._screen.replying and self._fork() is not None
            case "edit":
                return not self._screen.replying and self._target("user") is not None
            case "delete":
                return not self._screen.replying and self.under_cursor() is not None
            case _:
                return not self._screen.replying and len(self._conversation) > 0

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
            self._screen.action_follow()
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
        turn = self._fork()
        if turn is None:
            return
        siblings = self._conversation.siblings(turn.id)
        place = siblings.index(turn) + by
        if not 0 <= place < len(siblings):
            return
        self._conversation.select(siblings[place].id)
        await self._screen.show_branch(turn.id, siblings[place].id)
        await self._keeping.save_turn(self._conversation, siblings[place])
        if self._cursor:
            await self.jump(siblings[place].id)

    async def edit(self) -> None:
        """Take a prompt of the user's into the prompt line. Sent, it begins a branch beside the first one."""
        turn = self._target("user")
        if turn is None:
            return
        if not self._edited:
            self._draft = self._prompt.text
        self._edited = turn.id
        self._prompt.replace_all(self._screen.prompting.as_typed(turn.text))
        self._prompt.border_title = "Edit: Enter begins a branch, Esc leaves all as it was"
        self._prompt.focus()
        await self._transcript.reveal(turn.id)
        self._transcript.mark(turn.id)

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
        if (store := await self._keeping.store()) is not None:
            forked = await store.add(forked)
        await self._screen.show_conversation(forked)
        self._screen.notify("The one before is as it was.", title="A conversation of its own", markup=False)

    async def delete(self) -> None:
        """Delete the turn; until the program ends, that can be undone."""
        turn, conversation = self.under_cursor(), self._conversation
        if turn is None:
            return
        store = await self._keeping.store()
        path = [each.id for each in conversation.path()]
        neighbour = path[max(0, path.index(turn.id) - 1)]
        deletion = conversation.delete_turn(turn.id)
        if store is not None:
            await store.save_deletion(conversation, deletion)
        await self._show_whole(conversation)
        await self.jump(neighbour if neighbour in conversation else "")

        async def restore() -> None:
            now = self._conversation
            if now.id != conversation.id:
                now = await store.load(conversation.id) if store is not None else conversation
            now.restore(deletion)
            if store is not None:
                await store.save_restoration(now, deletion)
            if now is self._conversation:
                await self._show_whole(now)

        self._screen.talks.push_undo(first_line(turn.text, 40) or "an empty turn", restore)

    # ── helpers ──────────────────────────────────────────────────────────────────────────────────

    @property
    def _conversation(self) -> Conversation:
        return self._screen.conversation

    def under_cursor(self) -> Turn | None:
        """The turn on which the cursor is, if it is on any."""
        conversation = self._conversation
        return conversation[self._cursor] if self._cursor in conversation else None  # noqa: SIM401 - no dict

    def _target(self, role: str) -> Turn | None:
        """The turn under the cursor, or else the last one of this role."""
        if (turn := self.under_cursor()) is not None:
            return turn if turn.role == role else None
        return next((turn for turn in reversed(self._conversation.path()) if turn.role == role), None)

    def _fork(self) -> Turn | None:
        """The turn whose siblings are walked: the one under the cursor, or else the last that has some."""
        if (turn := self.under_cursor()) is not None:
            return turn if self.place(turn)[1] > 1 else None
        path = reversed(self._conversation.path())
        return next((turn for turn in path if self.place(turn)[1] > 1), None)

    async def _show_whole(self, conversation: Conversation) -> None:
        await self._transcript.show(self._screen.choosing.above(conversation.path()))
        await self._screen.choosing.shown()

    def _stop_editing(self) -> None:
        self._edited = self._draft = ""
        self._prompt.border_title = ""
