"""Saving of a streaming reply, so that a kill loses at most its last second."""

from __future__ import annotations

import asyncio

from spnl_tui.conversations.conversation import Conversation
from spnl_tui.conversations.storage.store import Store


class ReplyRecorder:
    """Saves a turn when it changes, at most once in each interval.

    Say `changed` after every chunk and `finish` after the last one:

        recorder = ReplyRecorder(store, conversation, reply.id)
        async for chunk in …:
            conversation.append(reply.id, chunk.text)
            recorder.changed()
        conversation.finish(reply.id, "stop")
        await recorder.finish()
    """

    def __init__(
        self, store: Store, conversation: Conversation, turn_id: str, *, interval_s: float = 0.5
    ) -> None:
        self._store = store
        self._conversation = conversation
        self._turn_id = turn_id
        self._interval_s = interval_s
        self._unsaved = False
        self._saving: asyncio.Task[None] | None = None

    def changed(self) -> None:
        """Record that the turn has changed. It is saved within the interval, even if nothing else changes.

        Raises:
            StoreError: the save before this one failed. The next one is tried all the same.
        """
        self._unsaved = True
        if self._saving is None or self._saving.done():
            before, self._saving = self._saving, asyncio.create_task(self._save_soon())
            if before is not None:
                before.result()

    async def finish(self) -> None:
        """Save the current state of the turn.

        Raises:
            StoreError: it could not be saved.
        """
        if self._saving is not None and not self._saving.done():
            self._saving.cancel()
            await asyncio.wait([self._saving])
        elif self._saving is not None:
            self._saving.exception()  # what failed then is saved, or fails again, now
        await self._save()

    async def _save_soon(self) -> None:
        while self._unsaved:
            await asyncio.sleep(self._interval_s)
            await self._save()

    async def _save(self) -> None:
        self._unsaved = False
        await self._store.save_turn(self._conversation, self._conversation[self._turn_id])
