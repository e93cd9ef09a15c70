"""Connects the queue of pulls to the panes, and asks about running pulls on quitting."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from textual.screen import Screen

from spnl_tui.settings import Settings
from spnl_tui.text import plain
from spnl_tui.ui import messages
from spnl_tui.ui.pulls.captions import counted
from spnl_tui.ui.widgets.toasts import call_attention, tell, warn

if TYPE_CHECKING:
    from spnl_tui.hub.pulls.interrupted import InterruptedPull
    from spnl_tui.hub.pulls.pull import PullRequest
    from spnl_tui.hub.pulls.queue import PullQueue
    from spnl_tui.hub.pulls.queued_pull import QueuedPull
    from spnl_tui.ui.pulls.quit_screen import QuitScreen


class PullsController:
    """The queue of pulls as the screen sees it. Without one there is nothing to see, and nothing fails."""

    def __init__(
        self,
        screen: Screen[Any],
        settings: Settings,
        make_queue: Callable[[], PullQueue] | None,
        show: Callable[[tuple[QueuedPull, ...]], None],
        key: Callable[[str], str],
        push_undo: Callable[[str, Callable[[], Awaitable[object]], str], None],
        find_interrupted: Callable[[], Awaitable[Iterable[InterruptedPull]]],
    ) -> None:
        """`show` receives the whole queue whenever it has changed, at most ten times a second.

        `key` returns the key of a command. `find_interrupted` returns the pulls that other programs, such as
        `spnl-chat pull`, have left.
        """
        self._key_of = key
        self._find_interrupted = find_interrupted
        self._push_undo = push_undo
        self._screen = screen
        self._settings = settings
        self._make_queue = make_queue
        self._show = show
        self._queue: PullQueue | None = None
        self._early: list[tuple[PullRequest, str]] = []
        """The requests made before the queue was open."""
        self._question: QuitScreen | None = None

    async def follow(self) -> None:
        """Open the queue, offer to resume the last run's pulls, and then report what happens to pulls."""
        if self._make_queue is None:
            return
        queue = await asyncio.to_thread(self._make_queue)
        left_over = queue.restore()
        for each in await self._find_interrupted():
            queue.adopt(each.request, each.name, each.done)
        self._queue = queue
        for request, name in self._early:
            queue.add(request, name)
        if queue.notice:
            warn(self._screen, queue.notice)
        if left_over:
            self._offer(left_over)
        async with aclosing(queue.events()) as events:
            async for event in events:
                self._show(event.pulls)
                for pull in event.ended:
                    self._ended(pull)

    def grant(self, wish: messages.PullWish) -> None:
        """Do what a pane asks."""
        match wish:
            case messages.PullRequested(request, name):
                self._add(request, name)
                self._toast(f"{self._key('view.pulls')} shows how far it is.", f"Pulling {name}")
            case messages.PullChangeRequested(change, id):
                self._change(change, id)
            case messages.FinishedPullsClearRequested(ids):
                self._clear(ids)

    def _add(self, request: PullRequest, name: str) -> None:
        """Pull this as well."""
        if self._queue is None:
            self._early.append((request, name))
        else:
            self._queue.add(request, name)

    def _change(self, change: messages.PullChange, id: str) -> None:
        """Do this with a pull, unless it is gone meanwhile."""
        queue = self._queue
        if queue is None:
            return
        ids = [item.id for item in queue.items]
        if id not in ids:
            return
        place = ids.index(id)
        item = queue.items[place]
        match change:
            case "pause":
                queue.pause(id)
            case "resume":
                queue.resume(id)
            case "up":
                queue.move(id, place - 1)
            case "down":
                queue.move(id, place + 1)
            case "cancel" | "cancel but keep":
                keep = change == "cancel but keep"
                queue.cancel(id, keep_part=keep)
                if item.state == "done":
                    self._push_undo(f"Off the list: {item.name}", self._restore, "The model stays.")
                else:
                    kept = "The received part is kept." if keep else "The received part is deleted."
                    self._push_undo(f"Cancelled {item.name}", self._restore, kept)

    def _clear(self, ids: tuple[str, ...]) -> None:
        """Take these finished pulls off the list."""
        queue = self._queue
        known = {item.id for item in queue.items} if queue is not None else set()
        ids = tuple(id for id in ids if id in known)
        if queue is None or not ids:
            return
        for id in ids:
            queue.cancel(id, keep_part=True)

        async def restore() -> None:
            for _ in ids:
                await self._restore()

        self._push_undo(f"Off the list: {counted(len(ids))}", restore, "The models stay.")

    async def _restore(self) -> None:
        """Restore the pull that was cancelled last."""
        if self._queue is not None and self._queue.undo_cancel() is None:
            self._toast("The pull was cancelled too long ago, and its part is deleted.", "Cannot be undone")

    @property
    def left_over(self) -> bool:
        """True if the last run left pulls to resume."""
        return self._queue is not None and any(item.left_over for item in self._queue.items)

    def go_on(self) -> None:
        """Go on with what was under way when the program ended."""
        if self._queue is not None:
            self._queue.go_on()

    async def may_quit(self) -> bool:
        """Whether the program may end, as far as pulls are concerned: ask, or do as the settings say.

        Asked again while the question stands, it is answered: pause, and quit.
        """
        queue = self._queue
        if self._question is not None:
            self._question.dismiss("pause")
            return False
        if queue is None or not queue.under_way:
            return True
        choice: str | None = self._settings.pulls.on_quit
        if choice == "ask":
            from spnl_tui.ui.pulls.quit_screen import QuitScreen

            self._question = QuitScreen(queue.under_way)
            try:
                choice = await self._screen.app.push_screen_wait(self._question)
            finally:
                self._question = None
        if choice == "cancel":
            for item in queue.items:
                if item.under_way:
                    queue.cancel(item.id)
        return choice is not None

    # ── telling ──────────────────────────────────────────────────────────────────────────────────

    def _offer(self, left_over: tuple[QueuedPull, ...]) -> None:
        names = ", ".join(item.name for item in left_over[:3]) + (" …" if len(left_over) > 3 else "")
        self._toast(
            f"{names}\n{self._key('pulls.go_on')} goes on, {self._key('view.pulls')} shows them.",
            "Pulls were under way when the program ended",
            timeout=12,
        )

    def _ended(self, pull: QueuedPull) -> None:
        self._screen.post_message(messages.PullEnded(pull))
        if pull.error is not None:
            tell(self._screen, pull.error)
            what = f"{pull.name} {pull.words}"
        else:
            self._toast(
                f"{self._key('view.pulls')}, then {self._key('pulls.load')}, loads it.",
                f"Pulled {pull.name}",
            )
            what = f"{pull.name} is here"
        call_attention(self._screen.app, what, self._settings.interface.notifications)

    def _toast(self, text: str, title: str = "", timeout: float = 6) -> None:
        self._screen.notify(plain(text), title=plain(title), markup=False, timeout=timeout)

    def _key(self, id: str) -> str:
        return self._key_of(id)
