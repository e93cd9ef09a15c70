"""The store of conversations for a chat. Its errors are reported, and the chat continues."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Protocol, TypeVar

from spnl_tui.conversations.conversation import Conversation, Deletion
from spnl_tui.conversations.turn import Turn
from spnl_tui.errors import SpnlError

if TYPE_CHECKING:
    from spnl_tui.conversations.storage.recorder import ReplyRecorder
    from spnl_tui.conversations.storage.rows import Cursor, ListFilter, Page
    from spnl_tui.conversations.storage.store import Store

_T = TypeVar("_T")
_SAVE_EVERY_S = 0.3
"""A reply is drawn every half a second at least, and saved so long after it: within a second, in all."""


class Report(Protocol):
    """Shows an error to the user."""

    def __call__(self, error: SpnlError, *, timeout: float = 10) -> None:
        """Show it for this many seconds."""


class ReportingStore:
    """Saves conversations. Without a store, nothing is saved and nothing fails."""

    def __init__(self, open_store: Callable[[], Awaitable[Store]] | None, report: Report) -> None:
        """`open_store` returns the store; None if nothing is to be saved."""
        self.report = report
        self._open_store = open_store
        self._problem_reported = False

    @property
    def keeps(self) -> bool:
        """True if conversations are saved at all."""
        return self._open_store is not None

    async def open(self) -> Store | None:
        """Return the store; None if there is none, or (reported) if it cannot be opened."""
        if self._open_store is None:
            return None
        try:
            store = await self._open_store()
        except SpnlError as error:
            self.report(error)
            return None
        if store.problem is not None and not self._problem_reported:
            self._problem_reported = True
            self.report(store.problem, timeout=60)
        return store

    async def prompts(self) -> tuple[str, ...]:
        """Return the latest prompts of the user, oldest first."""
        return await self._ask(lambda store: store.prompts()) or ()

    async def page(self, where: ListFilter, *, after: Cursor | None = None, limit: int) -> Page | None:
        """Return a page of the list of conversations; None without a store, or (reported) on an error."""
        return await self._ask(lambda store: store.list(where, after=after, limit=limit))

    async def save_turn(self, conversation: Conversation, turn: Turn) -> None:
        """Save a turn, new or changed."""
        await self._ask(lambda store: store.save_turn(conversation, turn))

    async def save_choice(self, conversation: Conversation) -> None:
        """Save which branch is the active one."""
        await self._ask(lambda store: store.save_choice(conversation))

    async def save_turn_pin(self, conversation: Conversation, turn: Turn) -> None:
        """Save that a turn was pinned or unpinned."""
        await self._ask(lambda store: store.save_turn_pin(conversation, turn))

    async def save_deletion(self, conversation: Conversation, deletion: Deletion) -> None:
        """Save the deletion of turns."""
        await self._ask(lambda store: store.save_deletion(conversation, deletion))

    async def save_restoration(self, conversation: Conversation, deletion: Deletion) -> None:
        """Save that deleted turns were restored."""
        await self._ask(lambda store: store.save_restoration(conversation, deletion))

    async def save_automatic_title(self, conversation: Conversation, title: str) -> None:
        """Save a title that the program has chosen."""
        await self._ask(lambda store: store.rename(conversation.id, title, automatic=True))

    async def record(self, conversation: Conversation, turn_id: str) -> Recording:
        """Save this reply from now on, while it streams."""
        store = await self.open()
        if store is None:
            return Recording(self.report)
        from spnl_tui.conversations.storage.recorder import ReplyRecorder

        return Recording(self.report, ReplyRecorder(store, conversation, turn_id, interval_s=_SAVE_EVERY_S))

    async def _ask(self, work: Callable[[Store], Awaitable[_T]]) -> _T | None:
        """Return what the store answers; None without a store, or (reported) on an error."""
        if (store := await self.open()) is not None:
            try:
                return await work(store)
            except SpnlError as error:
                self.report(error)
        return None


class Recording:
    """Saves one reply as it grows. Errors are reported once, because the next attempt may succeed."""

    def __init__(self, report: Report, recorder: ReplyRecorder | None = None) -> None:
        """Without a recorder nothing is saved."""
        self._report = report
        self._recorder = recorder
        self._reported = False

    def changed(self) -> None:
        """Save the reply soon: it has changed."""
        if self._recorder is not None:
            try:
                self._recorder.changed()
            except SpnlError as error:
                self._show(error)

    async def finish(self) -> None:
        """Save the complete reply now."""
        if self._recorder is not None:
            try:
                await self._recorder.finish()
            except SpnlError as error:
                self._show(error)

    def _show(self, error: SpnlError) -> None:
        if not self._reported:
            self._reported = True
            self._report(error)
