"""The store of conversations as the screen sees it. Its errors are told, and stop nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from textual.dom import DOMNode

from spnl_tui.conversations.conversation import Conversation, Deletion
from spnl_tui.conversations.turn import Turn
from spnl_tui.errors import SpnlError
from spnl_tui.ui.widgets.toasts import tell

if TYPE_CHECKING:
    from spnl_tui.conversations.recorder import ReplyRecorder
    from spnl_tui.conversations.rows import Cursor, ListFilter, Page
    from spnl_tui.conversations.store import Store

_T = TypeVar("_T")
_SAVE_EVERY_S = 0.3
"""A reply is drawn every half a second at least, and saved so long after it: within a second, in all."""


class ReportingStore:
    """Saves what is said. Without a store nothing is kept, and nothing fails."""

    def __init__(self, node: DOMNode, open_store: Callable[[], Awaitable[Store]] | None) -> None:
        """Errors are toasts on the screen of `node`."""
        self._node = node
        self._open_store = open_store
        self._problem_told = False

    @property
    def keeps(self) -> bool:
        """Whether there is a store at all."""
        return self._open_store is not None

    async def open(self) -> Store | None:
        """The store; None if there is none, or if it cannot be opened, which the user is told."""
        if self._open_store is None:
            return None
        try:
            store = await self._open_store()
        except SpnlError as error:
            tell(self._node, error)
            return None
        if store.problem is not None and not self._problem_told:
            self._problem_told = True
            tell(self._node, store.problem, timeout=60)
        return store

    async def prompts(self) -> tuple[str, ...]:
        """What the user wrote last, the latest last."""
        return await self._ask(lambda store: store.prompts()) or ()

    async def page(self, where: ListFilter, *, after: Cursor | None = None, limit: int) -> Page | None:
        """A page of the list of conversations; None: there is none, or it cannot be read."""
        return await self._ask(lambda store: store.list(where, after=after, limit=limit))

    async def save_turn(self, conversation: Conversation, turn: Turn) -> None:
        """Save a turn, new or changed."""
        await self._ask(lambda store: store.save_turn(conversation, turn))

    async def save_choice(self, conversation: Conversation) -> None:
        """Save which branch is the active one."""
        await self._ask(lambda store: store.save_choice(conversation))

    async def save_turn_pin(self, conversation: Conversation, turn: Turn) -> None:
        """Save whether a turn is pinned."""
        await self._ask(lambda store: store.save_turn_pin(conversation, turn))

    async def save_deletion(self, conversation: Conversation, deletion: Deletion) -> None:
        """Save that turns were deleted."""
        await self._ask(lambda store: store.save_deletion(conversation, deletion))

    async def save_restoration(self, conversation: Conversation, deletion: Deletion) -> None:
        """Save that they were brought back."""
        await self._ask(lambda store: store.save_restoration(conversation, deletion))

    async def save_automatic_title(self, conversation: Conversation, title: str) -> None:
        """Save a title that the user has not given."""
        await self._ask(lambda store: store.rename(conversation.id, title, automatic=True))

    async def record(self, conversation: Conversation, turn_id: str) -> Recording:
        """Save this reply from now on, while it streams."""
        store = await self.open()
        if store is None:
            return Recording(self._node)
        from spnl_tui.conversations.recorder import ReplyRecorder

        return Recording(self._node, ReplyRecorder(store, conversation, turn_id, interval_s=_SAVE_EVERY_S))

    async def _ask(self, work: Callable[[Store], Awaitable[_T]]) -> _T | None:
        """What the store answers. What goes wrong is told; then, or without a store, None."""
        if (store := await self.open()) is not None:
            try:
                return await work(store)
            except SpnlError as error:
                tell(self._node, error)
        return None


class Recording:
    """One reply being saved. Its errors are told once: the next save may well succeed."""

    def __init__(self, node: DOMNode, recorder: ReplyRecorder | None = None) -> None:
        self._node = node
        self._recorder = recorder
        self._told = False

    def changed(self) -> None:
        """The reply in the conversation has changed."""
        if self._recorder is not None:
            try:
                self._recorder.changed()
            except SpnlError as error:
                self._tell(error)

    async def finish(self) -> None:
        """Save the reply as it now is."""
        if self._recorder is not None:
            try:
                await self._recorder.finish()
            except SpnlError as error:
                self._tell(error)

    def _tell(self, error: SpnlError) -> None:
        if not self._told:
            self._told = True
            tell(self._node, error)
