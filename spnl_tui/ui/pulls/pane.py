"""The pane with the pulls."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.content import Content
from textual.reactive import reactive
from textual.widgets import Static

from spnl_tui.text import plain
from spnl_tui.ui import messages
from spnl_tui.ui.pulls.block import PullBlock
from spnl_tui.ui.widgets.typed_filter import filter_after_key, matches

if TYPE_CHECKING:
    from spnl_tui.hub.pulls.queued_pull import QueuedPull


class PullsPane(VerticalScroll):
    """One block for each pull, in the order of the queue; keys act on the selected one.

    While the pane is hidden, it does nothing.
    """

    BINDINGS = [
        Binding("up", "select(-1)", "Up", show=False),
        Binding("down", "select(1)", "Down", show=False),
    ]

    queued_pulls: reactive[tuple[QueuedPull, ...]] = reactive((), repaint=False)
    selected: reactive[str] = reactive("", repaint=False)
    """The id of the pull that keys act on; empty if there is none."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._blocks: dict[str, PullBlock] = {}
        self._shown: tuple[str, ...] = ()
        self._offered: tuple[object, ...] = ()
        self.filter = ""
        """The filter. Only pulls with it in their name are shown."""

    def compose(self) -> ComposeResult:
        yield Static(markup=False, id="pull-filter")
        yield Static(
            "Nothing is being pulled.\n\nPulls go on while you chat, survive the end of the program, and are"
            " verified before a model takes its place.",
            markup=False,
            id="no-pulls",
        )

    def watch_queued_pulls(self) -> None:
        """Show them, if the pane is seen."""
        if self.display:
            self._show()

    def on_show(self) -> None:
        """Catch up with what happened while the pane was hidden."""
        self._show()

    def _show(self) -> None:
        ids = tuple(pull.id for pull in self.queued_pulls)
        if ids != self._shown:
            for id in self._shown:
                if id not in ids:
                    self._blocks.pop(id).remove()
            new = {d.id: PullBlock(d) for d in self.queued_pulls if d.id not in self._blocks}
            self._blocks |= new
            self.mount(*new.values())
            places = {self._blocks[id]: place for place, id in enumerate(ids)}
            self.sort_children(key=lambda child: places.get(child, -1))  # type: ignore[call-overload]
            before, self._shown = self._shown, ids
            self.query_one("#no-pulls").display = not ids
            self._show_matching()
            self._select_near(before)
        for pull in self.queued_pulls:
            self._blocks[pull.id].pull = pull
        self._offer()

    # ── the filter ───────────────────────────────────────────────────────────────────────────────

    def on_key(self, event: events.Key) -> None:
        """Filter by what is typed."""
        if (filter := filter_after_key(self.filter, event, self)) is not None:
            self.filter = filter
            self._show_matching()
            matching = self._matching
            if self.selected not in matching:
                self.selected = matching[0] if matching else ""

    def take_filter(self) -> bool:
        """Stop filtering. Return False if nothing was typed."""
        filtered, self.filter = bool(self.filter), ""
        if filtered:
            self._show_matching()
            self._select_near(self._shown)
        return filtered

    @property
    def _matching(self) -> tuple[str, ...]:
        return tuple(
            pull.id
            for pull in self.queued_pulls
            if pull.id in self._blocks and matches(self.filter, pull.name)
        )

    def _show_matching(self) -> None:
        matching = self._matching
        for id, block in self._blocks.items():
            block.display = id in matching
        line = self.query_one("#pull-filter", Static)
        line.display = bool(self.filter)
        found = f"{len(matching)} of {len(self._shown)}" if matching else "none matches; Esc shows all"
        line.update(
            Content.assemble("Filter: ", (plain(self.filter), "bold"), (f"   {found}", "$text-muted"))
        )

    def _select_near(self, before: tuple[str, ...]) -> None:
        """Keep the selection; when its pull has gone, take the one that came into its place."""
        if self.selected in self._shown:
            self.watch_selected("", self.selected)
            return
        place = before.index(self.selected) if self.selected in before else 0
        self.selected = self._shown[min(place, len(self._shown) - 1)] if self._shown else ""

    def watch_selected(self, before: str, now: str) -> None:
        """Mark the block, and scroll to it."""
        if block := self._blocks.get(before):
            block.remove_class("-selected")
        if block := self._blocks.get(now):
            block.add_class("-selected")
            block.scroll_visible(animate=False)
        self._offer()

    def _offer(self) -> None:
        """Refresh the footer, which is costly, only when other keys apply than before."""
        offered: tuple[object, ...] = (self.any_done,)
        if (current := self.current) is not None:
            ended = current.state if current.state in ("done", "failed") else ""
            offered = (self.any_done, ended, current.finished is not None)
        if offered != self._offered:
            self._offered = offered
            self.refresh_bindings()

    @property
    def current(self) -> QueuedPull | None:
        """The selected pull."""
        return next((pull for pull in self.queued_pulls if pull.id == self.selected), None)

    @property
    def any_done(self) -> bool:
        """True if any pull is finished."""
        return any(pull.state == "done" for pull in self.queued_pulls)

    def _on_pull_block_pressed(self, message: PullBlock.Pressed) -> None:
        message.stop()
        self.selected = message.id

    # ── what keys do ─────────────────────────────────────────────────────────────────────────────

    def action_select(self, step: int) -> None:
        """Select another pull."""
        matching = self._matching
        if self.selected in matching:
            place = matching.index(self.selected) + step
            self.selected = matching[max(0, min(place, len(matching) - 1))]

    def load(self) -> None:
        """Talk to the model that was pulled."""
        from spnl_tui.hub.wanted import pulled_model

        if (current := self.current) and current.finished:
            self.post_message(messages.ModelChosen(pulled_model(current.request, current.finished)))

    def pause(self) -> None:
        """Pause, or go on."""
        if current := self.current:
            self._ask("pause" if current.under_way else "resume")

    def retry(self) -> None:
        """Try again."""
        self._ask("resume")

    def move_up(self) -> None:
        """Pull it sooner."""
        self._ask("up")

    def move_down(self) -> None:
        """Pull it later."""
        self._ask("down")

    def cancel(self) -> None:
        """Cancel, or take a finished pull off the list."""
        self._ask("cancel")

    def cancel_and_keep(self) -> None:
        """Cancel the pull but keep the received data."""
        self._ask("cancel but keep")

    def clear(self) -> None:
        """Remove finished pulls from the list."""
        done = tuple(pull.id for pull in self.queued_pulls if pull.state == "done")
        self.post_message(messages.FinishedPullsClearRequested(done))

    def _ask(self, change: messages.PullChange) -> None:
        if current := self.current:
            self.post_message(messages.PullChangeRequested(change, current.id))
