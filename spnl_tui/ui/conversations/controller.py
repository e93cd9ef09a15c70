"""Whole conversations: the list of them, and finding, opening, naming, pinning, archiving, deleting."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from spnl_tui.chat.events import PromptSaved, RunsEnded, SessionShown, TitleChanged
from spnl_tui.conversations.conversation import Conversation
from spnl_tui.errors import StoreError
from spnl_tui.text import first_line
from spnl_tui.ui import messages

if TYPE_CHECKING:
    from textual.screen import Screen

    from spnl_tui.chat.events import SessionEvent
    from spnl_tui.chat.model import CurrentModel
    from spnl_tui.chat.recording import ReportingStore
    from spnl_tui.chat.session import ChatSession
    from spnl_tui.chat.sessions import Sessions
    from spnl_tui.conversations.storage.rows import Cursor, ListFilter
    from spnl_tui.conversations.storage.store import Store
    from spnl_tui.settings import Settings
    from spnl_tui.ui.chat.pane import ChatPane
    from spnl_tui.ui.widgets.undo import UndoStack

_PAGE = 50
_TITLE_LENGTH = 500


class ConversationsController:
    """Lists, opens, names, pins, archives, deletes and restores conversations.

    It works on the highlighted conversation while the list has the focus, else on the one on the screen.
    """

    def __init__(
        self,
        screen: Screen[Any],
        pane: ChatPane,
        sessions: Sessions,
        store: ReportingStore,
        *,
        is_visible: Callable[[Conversation], bool],
        now: Callable[[], float],
        undo: UndoStack,
        changed: Callable[[], None],
        settings: Settings,
    ) -> None:
        """`now` returns Unix seconds. `changed` is called whenever the list may have changed."""
        self._settings = settings
        self._screen = screen
        self._pane = pane
        self._sessions = sessions
        self._store = store
        self._is_visible = is_visible
        self._now = now
        self._changed = changed
        self._list = pane.conversation_list
        self._next: Cursor | None = None
        self._archived = False
        self._undo = undo
        self._unread: set[str] = set()
        """The ids of conversations in which a reply has ended out of sight."""

        sessions.subscribe(self._on_event)

    async def _on_event(self, session: ChatSession, event: SessionEvent) -> None:
        if isinstance(event, SessionShown):
            self._unread.discard(session.conversation.id)
        elif isinstance(event, RunsEnded) and not self._is_visible(session.conversation):
            self._unread.add(session.conversation.id)
        if isinstance(event, SessionShown | PromptSaved | TitleChanged | RunsEnded):
            await self.refresh()

    # ── the list ─────────────────────────────────────────────────────────────────────────────────

    async def toggle_list(self) -> None:
        """Show the list and focus it; if it has the focus, hide it."""
        if self._list.has_focus:
            self._list.display = False
            self._pane.prompt.focus()
        else:
            self._list.display = True
            self._list.focus()
            await self.refresh()

    async def leave_list(self) -> None:
        """Stop filtering the list, or else go back to the prompt. Where the list hides the chat, hide it.

        What was typed as a filter and found nothing was meant for the prompt, and goes there.
        """
        found = bool(self._list.items)
        if typed := self._list.take_filter():
            await self.refresh()
            if found:
                return
            self._pane.prompt.give_back(typed)
        if not self._screen.has_class("-wide"):
            self._list.display = False
        self._pane.prompt.focus()

    async def toggle_archived(self) -> None:
        """Switch between the archive and the other conversations."""
        self._archived = not self._archived
        await self.refresh()

    @property
    def _filter(self) -> ListFilter:
        from spnl_tui.conversations.storage.rows import ListFilter

        return ListFilter(archived=self._archived, title=self._list.filter)

    async def refresh(self) -> None:
        """Read the list from the store again, if it is shown."""
        self._changed()
        if not self._list.display:
            return
        count = max(_PAGE, len(self._list.items))
        page = await self._store.page(self._filter, limit=count)
        if page is None:
            return
        self._next = page.next
        self._list.fill(
            page.items,
            current=self._sessions.visible.conversation.id,
            replying=self._sessions.replying,
            unread=frozenset(self._unread),
            archived=self._archived,
        )

    async def more(self) -> None:
        """Add another page to the list."""
        after, self._next = self._next, None
        if after is None:
            return
        page = await self._store.page(self._filter, after=after, limit=_PAGE)
        if page is None:
            self._next = after
            return
        self._next = page.next
        self._list.extend(page.items)

    # ── opening ──────────────────────────────────────────────────────────────────────────────────

    async def load(self, id: str) -> Conversation | None:
        """Return the conversation whose id begins so, or (empty) the last one. None if there is none.

        Raises:
            StoreError: there is no such conversation, or several.
        """
        if (store := await self._store.open()) is None:
            return None
        found = await store.find(id)
        if id and len(found) != 1:
            raise StoreError(
                "Which conversation?" if found else "No such conversation",
                f"{len(found) or 'No'} ids begin with {id!r}.",
                "The list of conversations has them all.",
            )
        if not found:
            return None
        return self._sessions.held(found[0]) or await store.load(found[0])

    async def open_highlighted(self) -> None:
        """Open the highlighted conversation."""
        if self._list.filter:
            await self.refresh()  # Enter may follow the last letter at once
        if (chosen := self._list.chosen) is not None:
            self._screen.post_message(messages.ConversationRequested(chosen.id))
            if self._list.take_filter():
                await self.refresh()
            await self.leave_list()

    async def open_last(self) -> None:
        """Open the last used conversation other than this one."""
        if (store := await self._store.open()) is not None:
            others = [id for id in await store.find() if id != self._sessions.visible.conversation.id]
            if others:
                self._screen.post_message(messages.ConversationRequested(others[0]))
            else:
                self._screen.notify("There is no other conversation yet.", markup=False)

    async def find_in_list(self, words: str) -> None:
        """Open the conversation with these words in its title; if it is not the only one, list them."""
        self._list.display = True
        self._list.focus()
        self._list.filter_by(words)
        await self.refresh()
        if words and len(self._list.items) == 1:
            await self.open_highlighted()

    async def show_info(self, model: CurrentModel) -> None:
        """Show what the visible conversation is set to, and its figures."""
        from spnl_tui.conversations.sampling_values import values
        from spnl_tui.conversations.statistics import statistics_lines
        from spnl_tui.ui.dialogs.info_screen import InfoScreen

        conversation, current = self._sessions.visible.conversation, model.model
        length = None if current is None else model.context_length(current)
        recommended = () if current is None else current.recommended_sampling
        used = self._settings.sampling_for(recommended, conversation.sampling)
        facts = [
            ("Model", "none" if current is None else current.name),
            ("Context", f"{length:,} tokens" if length else "not known before the model is loaded"),
            ("System prompt", first_line(conversation.system_prompt, 200) or "none"),
            ("", ""),
            *statistics_lines(conversation),
            ("", ""),
            *((name, value) for name, value in values(conversation.sampling, used) if value != "not set"),
        ]
        await self._screen.app.push_screen_wait(InfoScreen(title_of(conversation), facts))

    async def search(self, words: str = "") -> None:
        """Open the full-text search with these words, and go to the hit that the user chooses."""
        from spnl_tui.ui.conversations.search_screen import SearchScreen

        if (store := await self._store.open()) is None:
            return
        search = SearchScreen(store, self._now, words)
        if (hit := await self._screen.app.push_screen_wait(search)) is not None:
            self._screen.post_message(messages.ConversationRequested(hit.conversation, hit.turn))

    # ── changing ─────────────────────────────────────────────────────────────────────────────────

    def target(self) -> str | None:
        """Return the id of the conversation that commands work on; None if nothing was said in it."""
        if self._list.has_focus and self._list.chosen is not None:
            return self._list.chosen.id
        current = self._sessions.visible.conversation
        return current.id if len(current) else None

    async def _load_target(self) -> Conversation:
        store, id = await self._store.open(), self.target()
        assert store is not None
        assert id is not None
        return self._sessions.held(id) or await store.load(id)

    async def rename(self, title: str = "") -> None:
        """Set the title of the conversation; empty: ask for one."""
        from spnl_tui.ui.dialogs.text_screen import TextScreen

        conversation = await self._load_target()
        chosen: str | None = first_line(title, _TITLE_LENGTH)
        if not chosen:
            chosen = await self._screen.app.push_screen_wait(TextScreen("Title", conversation.title))
        store = await self._store.open()
        if chosen is None or store is None:
            return
        before = conversation.title

        async def name(title: str) -> None:
            await store.rename(conversation.id, title)
            conversation.title, conversation.title_is_automatic = title, False
            await self._sessions.of(conversation).emit(TitleChanged())

        await name(chosen)
        if chosen != before:
            self._undo.push(f"Renamed: {title_of(conversation)}", partial(name, before))

    async def pin(self) -> None:
        """Pin the conversation to the top of the list, or unpin it."""
        conversation, store = await self._load_target(), await self._store.open()
        if store is not None:
            await self._set_pinned(store, conversation, not conversation.pinned)
            what = "Pinned" if conversation.pinned else "No longer pinned"
            undo = partial(self._set_pinned, store, conversation, not conversation.pinned)
            self._undo.push(f"{what}: {title_of(conversation)}", undo)

    async def _set_pinned(self, store: Store, conversation: Conversation, pinned: bool) -> None:
        conversation.pinned = pinned
        await store.set_pinned(conversation.id, pinned)
        await self.refresh()

    async def tag(self) -> None:
        """Ask for the tags of the conversation."""
        from spnl_tui.ui.dialogs.text_screen import TextScreen

        conversation, store = await self._load_target(), await self._store.open()
        question = TextScreen("Tags, with commas between", ", ".join(conversation.tags), may_be_empty=True)
        typed = await self._screen.app.push_screen_wait(question)
        if typed is None or store is None:
            return
        names = (first_line(name.strip().lstrip("#"), 40) for name in typed.split(","))
        before, after = conversation.tags, tuple(dict.fromkeys(filter(None, names)))

        async def set_tags(tags: tuple[str, ...]) -> None:
            conversation.tags = tags
            await store.set_tags(conversation.id, tags)
            await self.refresh()

        await set_tags(after)
        if after != before:
            self._undo.push(f"Tagged: {title_of(conversation)}", partial(set_tags, before))

    async def archive(self) -> None:
        """Archive the conversation, or bring it back."""
        conversation, store = await self._load_target(), await self._store.open()
        if store is not None:
            await self._set_archived(store, conversation, not conversation.archived)
            what = "Archived" if conversation.archived else "Back from the archive"
            undo = partial(self._set_archived, store, conversation, not conversation.archived)
            self._undo.push(f"{what}: {title_of(conversation)}", undo)

    async def _set_archived(self, store: Store, conversation: Conversation, archived: bool) -> None:
        conversation.archived = archived
        await store.set_archived(conversation.id, archived)
        await self.refresh()

    async def delete(self) -> None:
        """Delete the conversation. The user can undo this until the program ends."""
        conversation, store = await self._load_target(), await self._store.open()
        if store is None:
            return
        seen = self._is_visible(conversation)
        if (session := self._sessions.get(conversation.id)) is not None:
            await session.runs.stop()
        await store.delete_conversation(conversation.id)

        async def restore() -> None:
            await store.restore_conversation(conversation.id)
            await self.refresh()
            if seen:
                self._screen.post_message(messages.ConversationRequested(conversation.id))

        self._undo.push(f"Deleted: {title_of(conversation)}", restore)
        if seen:
            self._screen.post_message(messages.NewConversationRequested())
        await self.refresh()


def title_of(conversation: Conversation) -> str:
    """Return the title to show."""
    return first_line(conversation.title, 60) or "Untitled"
