"""The store of conversations: one SQLite file in the data directory."""

from __future__ import annotations

import asyncio
import errno
import sqlite3
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from spnl_tui.conversations.conversation import Conversation, Deletion
from spnl_tui.conversations.copies import copy
from spnl_tui.conversations.storage import import_rows, rows, tree_rows
from spnl_tui.conversations.storage.database import Database
from spnl_tui.conversations.storage.folding import indexed_copy
from spnl_tui.conversations.storage.image_rows import remove_unused_images
from spnl_tui.conversations.storage.import_rows import ImportResult
from spnl_tui.conversations.storage.store_reader import StoreReader
from spnl_tui.conversations.turn import Turn
from spnl_tui.errors import StoreError
from spnl_tui.text import well_formed

INTERRUPTED = "The program ended before the reply did."
"""The error of a reply whose program was killed."""


class Store(StoreReader):
    """Stores conversations. When a method returns, its change survives a kill and a power cut.

    Several programs may have the store open. A method changes only what it names, so what another program has
    changed stays; what one program continues, no other keeps deleted.

    Methods raise StoreError where the file cannot be read or written, or a conversation is not there.
    Deleted things can be restored until the last program closes the store.
    """

    def __init__(self, database: Database, problem: StoreError | None, images: Path | None = None) -> None:
        """`images` is the directory with the images that turns name."""
        self._images = images
        self.problem = problem
        """The defect of the store, and where the file is now; None if it had none."""
        super().__init__(database)
        self._deleted_turns: set[str] = set()
        self._deleted_conversations: set[str] = set()
        self._moved: dict[str, tuple[str, ...]] = {}
        """The turns that went to another parent when this one was deleted here."""

    @classmethod
    async def open(cls, path: Path) -> Store:
        """Open the store in this file, or begin it. See `problem` for one that had to be set aside.

        A store that cannot be written can still be read; `problem` says so, and every change is a StoreError.
        """
        return cls(*await asyncio.to_thread(_open, path), path.parent / "images")

    @classmethod
    async def open_to_read(cls, path: Path) -> Store:
        """Open the store in this file only to read it: it may be damaged, newer, locked or read-only.

        It is never set aside. See `problem` for one of which a part may be missing.
        """
        return cls(*await asyncio.to_thread(_open_to_read, path))

    async def close(self) -> None:
        """Close the file. The last program to close it forgets for good what was deleted."""
        await self._database.close(self._forget)

    def _forget(self, connection: sqlite3.Connection) -> None:
        _forget_deleted(connection)
        if self._images is not None:
            remove_unused_images(connection, self._images)

    # ── saving ───────────────────────────────────────────────────────────────────────────────────

    async def add(self, conversation: Conversation) -> Conversation:
        """Save a new conversation with all its turns.

        Returns it, or a copy with other ids if one of its own is taken in this store.
        """

        def save(connection: sqlite3.Connection) -> Conversation:
            added = conversation
            if rows.taken(connection, conversation.id, [turn.id for turn in conversation.turns()]):
                added = copy(conversation)
            key = rows.save_details(connection, rows.details_row(added), added.tags)
            last = 0
            for turn in added.turns():
                last = rows.save_turn(connection, key, added.model, turn, last)
            return added

        return await self._database.write(save)

    async def import_all(
        self,
        conversations: Sequence[Conversation],
        on_saved: Callable[[int, int], None] = lambda *_: None,
        *,
        dry_run: bool = False,
    ) -> ImportResult:
        """Add these conversations, or update those that are stored, in one transaction.

        `on_saved` receives how many of how many are done, in the store's thread. If the caller is cancelled,
        nothing is changed. With `dry_run`, nothing is changed in any case.
        """
        cancelled = threading.Event()

        def save(connection: sqlite3.Connection) -> ImportResult:
            def check(done: int, total: int) -> None:
                if cancelled.is_set():
                    raise StoreError("The import was cancelled", "Nothing was imported.")
                on_saved(done, total)

            if not dry_run:
                return import_rows.save_imported(connection, conversations, check)
            connection.execute("SAVEPOINT dry_run")
            result = import_rows.save_imported(connection, conversations, check)
            connection.execute("ROLLBACK TO dry_run")
            return result

        try:
            return await self._database.write(save)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    async def save_turn(self, conversation: Conversation, turn: Turn) -> None:
        """Save a turn, new or changed, and the conversation's model. A new turn sets the active branch, too.

        A conversation that is not, or no longer, stored is saved whole. A conversation or a turn above this
        one that another program has deleted is restored, since the user continues it here.
        """
        path = conversation.path_to(turn.id) if turn.id in conversation else ()
        branch = [each.id for each in conversation.path()]
        model = well_formed(conversation.model)
        # A reply may still stream into what the user has just deleted here: that does not restore it.
        deleted_here = turn.id in self._deleted_turns

        def save(connection: sqlite3.Connection, key: int) -> None:
            if model:
                connection.execute("UPDATE conversation SET model = ? WHERE key = ?", (model, key))
            known = "SELECT 1 FROM turn WHERE id = ?"
            new = connection.execute(known, (turn.id,)).fetchone() is None
            if not deleted_here:
                tree_rows.restore_path(connection, key, model, path)
            rows.save_turn(connection, key, model, turn)
            if new:
                tree_rows.choose_branch(connection, key, branch)

        await self._change_conversation(conversation, save)

    async def save_choice(self, conversation: Conversation) -> None:
        """Save which branch is the active one."""
        branch = [turn.id for turn in conversation.path()]
        await self._change_conversation(conversation, lambda c, key: tree_rows.choose_branch(c, key, branch))

    async def save_turn_pin(self, conversation: Conversation, turn: Turn) -> None:
        """Save whether a turn is pinned."""
        path = conversation.path_to(turn.id)

        def save(connection: sqlite3.Connection, key: int) -> None:
            tree_rows.restore_path(connection, key, conversation.model, path)
            connection.execute("UPDATE turn SET pinned = ? WHERE id = ?", (int(turn.pinned), turn.id))

        await self._change_conversation(conversation, save)

    async def save_persona(self, conversation: Conversation) -> None:
        """Save the system prompt and the sampling of a conversation."""
        details = rows.details_row(conversation)

        def save(connection: sqlite3.Connection, key: int) -> None:
            connection.execute(
                "UPDATE conversation SET system_prompt = :system_prompt, sampling = :sampling WHERE id = :id",
                details,
            )

        await self._change_conversation(conversation, save)

    async def rename(self, id: str, title: str, *, automatic: bool = False) -> None:
        """Give a conversation a title. An automatic title never replaces one that the user gave."""
        if automatic:
            await self._database.write(
                lambda connection: connection.execute(
                    "UPDATE conversation SET title = ?, searched = ? WHERE id = ? AND title_is_automatic",
                    (well_formed(title), indexed_copy(well_formed(title)), id),
                ).fetchall()
            )
            return
        title = well_formed(title)
        await self._set(id, "title = ?, searched = ?, title_is_automatic = 0", title, indexed_copy(title))

    async def set_pinned(self, id: str, pinned: bool) -> None:
        """Pin a conversation to the top of the list, or unpin it."""
        await self._set(id, "pinned = ?", int(pinned))

    async def set_archived(self, id: str, archived: bool) -> None:
        """Archive a conversation, or bring it back."""
        await self._set(id, "archived = ?", int(archived))

    async def set_tags(self, id: str, tags: Iterable[str]) -> None:
        """Give a conversation these tags and no others."""
        names = tuple(tags)
        await self._database.write(lambda c: rows.save_tags(c, self._changed(c, id), names))

    # ── deleting ─────────────────────────────────────────────────────────────────────────────────

    async def delete_conversation(self, id: str) -> None:
        """Delete a conversation. `restore_conversation` undoes it."""
        await self._database.write(
            lambda c: c.execute("UPDATE conversation SET deleted = 1 WHERE id = ?", (id,)).fetchall()
        )
        self._deleted_conversations.add(id)

    async def restore_conversation(self, id: str) -> None:
        """Undo the deletion of a conversation."""
        self._deleted_conversations.discard(id)
        await self._database.write(lambda connection: self._changed(connection, id))

    async def save_deletion(self, conversation: Conversation, deletion: Deletion) -> None:
        """Save that turns were deleted from `conversation`, by its own methods.

        Turns that another program has continued stay in the store.
        """
        branch = [turn.id for turn in conversation.path()]
        removed = [turn.id for turn in deletion.removed]

        def save(connection: sqlite3.Connection) -> None:
            row = connection.execute(
                "UPDATE conversation SET updated_at = max(updated_at, ?) WHERE id = ? RETURNING key",
                (conversation.updated_at, conversation.id),
            ).fetchall()
            if not row:
                return
            (key,) = row[0]
            if deletion.reattached:
                self._moved[removed[0]] = tree_rows.delete_turn(connection, key, removed[0])
                self._deleted_turns.add(removed[0])
            else:
                self._deleted_turns |= tree_rows.delete_branch(connection, key, removed)
            tree_rows.choose_branch(connection, key, branch)

        await self._database.write(save)

    async def save_restoration(self, conversation: Conversation, deletion: Deletion) -> None:
        """Save that `conversation` was restored from this deletion."""
        path = conversation.path_to(deletion.removed[0].id)[:-1]
        branch = [turn.id for turn in conversation.path()]
        self._deleted_turns -= {turn.id for turn in deletion.removed}

        def save(connection: sqlite3.Connection, key: int) -> None:
            model = conversation.model
            tree_rows.restore_path(connection, key, model, path)
            tree_rows.restore_turns(connection, key, model, deletion.removed, self._moved)
            tree_rows.choose_branch(connection, key, branch)

        await self._change_conversation(conversation, save)

    # ── help ─────────────────────────────────────────────────────────────────────────────────────

    async def _change_conversation(
        self, conversation: Conversation, save: Callable[[sqlite3.Connection, int], None]
    ) -> None:
        """Pass the key of the stored conversation to `save`, which changes it.

        One that another program deleted is restored. One that is not stored is saved whole.
        """
        details, tags, turns = rows.details_row(conversation), conversation.tags, tuple(conversation.turns())
        deleted_here = int(conversation.id in self._deleted_conversations)

        def change(connection: sqlite3.Connection) -> None:
            stored = connection.execute(
                """
                UPDATE conversation
                SET updated_at = max(updated_at, :updated_at), deleted = deleted * :deleted_here
                WHERE id = :id RETURNING key
                """,
                {**details, "deleted_here": deleted_here},
            ).fetchall()
            if stored:
                save(connection, stored[0][0])
                return
            key = rows.save_details(connection, details, tags)
            for turn in turns:
                rows.save_turn(connection, key, conversation.model, turn)

        await self._database.write(change)

    async def _set(self, id: str, assignment: str, *values: object) -> None:
        """Change columns of a conversation."""

        def change(connection: sqlite3.Connection) -> None:
            key = self._changed(connection, id)
            connection.execute(f"UPDATE conversation SET {assignment} WHERE key = ?", (*values, key))

        await self._database.write(change)

    def _changed(self, connection: sqlite3.Connection, id: str) -> int:
        """Return the key of a conversation that the user changes, restored if another program deleted it."""
        if id not in self._deleted_conversations:
            connection.execute("UPDATE conversation SET deleted = 0 WHERE id = ?", (id,))
        return rows.key_of(connection, id)


def _open(path: Path) -> tuple[Database, StoreError | None]:
    try:
        return Database.open(path, _clear_up)
    except StoreError as error:
        cause = error.__cause__
        # On a read-only file system or in another user's directory.
        unwritable = isinstance(cause, OSError) and cause.errno in (errno.EACCES, errno.EPERM, errno.EROFS)
        name = getattr(cause, "sqlite_errorname", "")
        unwritable |= name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN"))
        if not unwritable or not path.exists():
            raise
        database, _ = Database.open_to_read(path)
        hint = f"{error.hint} Nothing is kept until then."
        return database, StoreError("Conversations can be read, but not stored", error.message, hint)


def _open_to_read(path: Path) -> tuple[Database, StoreError | None]:
    try:
        if path.exists():
            # The usual way also ends the replies of programs that were killed, and migrates.
            return Database.open(path, _clear_up, may_set_aside=False)
    except StoreError:
        pass  # what is wrong matters only if it cannot be read either
    return Database.open_to_read(path)


def _clear_up(connection: sqlite3.Connection) -> None:
    """End the replies of programs that were killed, and purge what they deleted."""
    connection.execute(
        """
        UPDATE turn SET finish_reason = 'failed', error = ?
        WHERE role = 'assistant' AND finish_reason IS NULL
        """,
        (INTERRUPTED,),
    )
    _forget_deleted(connection)


def _forget_deleted(connection: sqlite3.Connection) -> None:
    connection.execute("DELETE FROM turn WHERE deleted = 1")
    connection.execute("DELETE FROM conversation WHERE deleted = 1")
