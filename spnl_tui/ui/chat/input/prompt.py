"""The text area in which the user types."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from rich.text import Text
from textual import events, on
from textual.document._document import EditResult, Location
from textual.document._edit import Edit
from textual.widgets import TextArea

from spnl_tui.errors import CommandError
from spnl_tui.text import without_controls
from spnl_tui.ui.chat.input.completion import Completer, Offer
from spnl_tui.ui.chat.input.completion_list import Completions
from spnl_tui.ui.chat.input.dropped import mentions_of_drop
from spnl_tui.ui.chat.input.folds import Folds
from spnl_tui.ui.chat.input.history import PromptHistory
from spnl_tui.ui.messages import (
    CandidateMoveRequested,
    CommandSubmitted,
    FollowRequested,
    KeyInVain,
    PromptSubmitted,
    UndoRequested,
)
from spnl_tui.ui.textual_patches.text_area import NarrowTextArea
from spnl_tui.ui.widgets.toasts import tell


class Prompt(NarrowTextArea):
    """A text area that grows with its text, sends it, and remembers what was sent."""

    def __init__(self, completions: Completions, *, id: str | None = None) -> None:
        """`completions` is the list above the prompt."""
        super().__init__(
            id=id,
            soft_wrap=True,
            show_line_numbers=False,
            tab_behavior="focus",
            placeholder="Ask something    / commands   @ files",
            compact=True,
            highlight_cursor_line=False,
        )
        self.completers: tuple[Completer, ...] = ()
        """Completers of the word before the cursor. The first one that offers something is used."""
        self.read_command: Callable[[str], CommandSubmitted | PromptSubmitted | None] = lambda text: None
        """Returns the command that a text is, or the prompt that it stands for, or None.

        Raises CommandError for a command that does not exist.
        """
        self.move_above: Callable[[int], bool] = lambda by: False
        """Moves among what is shown above while the prompt is empty. Returns False if there is nothing."""
        self.undo_elsewhere: Callable[[], bool] = lambda: False
        """Returns True if something outside the prompt was changed after the last edit."""
        self.past = PromptHistory()
        self.folds = Folds()
        self.choosing = False
        """True while the arrow keys move among candidates if the prompt is empty."""
        self._completions = completions
        self._start = 0
        """The index at which the word to complete begins."""
        self._looked_at: str | None = None
        """The text before the cursor at the last look for completions."""

    def take(self) -> str:
        """Empty the prompt and return its text."""
        text = self.text
        self.text = ""
        self.past.leave()
        return text

    def give_back(self, text: str) -> None:
        """Put back a prompt that could not be sent, before the text typed since."""
        self.replace_all("\n\n".join(part for part in (text, self.text) if part.strip()))

    def replace_all(self, text: str) -> None:
        """Replace the text."""
        self.past.leave()
        self._show(text)

    # ── what its keys do ─────────────────────────────────────────────────────────────────────────

    def submit(self) -> None:
        """Send the prompt and empty it at once: later keys are the next one.

        If a suggestion is highlighted that is not written out yet, insert that first.
        """
        offer = self._completions.chosen
        if offer is not None and offer.text.strip() != self._before_cursor()[self._start :]:
            self.take_offer(offer)
            if not offer.final:
                return
        text = self.text.strip()
        try:
            command = self.read_command(text)
        except CommandError as error:
            tell(self, error)
            return
        self.take()
        self.post_message(PromptSubmitted(text) if command is None else command)
        if text:
            self.past.add(text)

    def action_undo(self) -> None:
        """Undo the last edit, or else the last change anywhere that is newer."""
        if self.undo_elsewhere() or not self.history.undo_stack:
            self.post_message(UndoRequested())
        else:
            self.undo()

    def edit(self, edit: Edit) -> EditResult:
        """Change the text. Words that stand for a longer text are replaced as a whole.

        Textual deletes a line up to the start of the next one, which the last line does not have: the
        locations are limited to the text.
        """
        (top, left), (bottom, right) = self._within(edit.top), self._within(edit.bottom)
        if edit.bottom[0] > bottom and not left and top and not edit.text:
            # The last line is deleted: its line break stands before it.
            top, left = top - 1, len(self.document.lines[top - 1])
        lines = self.document.lines
        edit.from_location = top, self.folds.outside(lines[top], left, -1)
        edit.to_location = bottom, self.folds.outside(lines[bottom], right, 1)
        result = super().edit(edit)
        # This copy of the result is for the clipboard; undoing uses the edit's own.
        return replace(result, replaced_text=self.folds.unfold(result.replaced_text))

    def action_copy(self) -> None:
        """Copy the selection, with the pastes in place of the words for them."""
        if self.selected_text:
            self.app.copy_to_clipboard(self.folds.unfold(self.selected_text))
        else:
            super().action_copy()

    def _within(self, location: Location) -> Location:
        """Return the location, or the end of the text if it lies beyond."""
        row, column = location
        lines = self.document.lines
        return (row, min(column, len(lines[row]))) if row < len(lines) else self.document.end

    def get_line(self, line_index: int) -> Text:
        """Return a line as it is drawn, with the words for pastes highlighted."""
        line = super().get_line(line_index)
        for span in self.folds.spans(line.plain):
            line.stylize("bold italic", *span)
        return line

    def get_cursor_left_location(self) -> Location:
        """Return the location one step to the left. The words for a paste are one step."""
        row, column = super().get_cursor_left_location()
        return row, self.folds.outside(self.document.lines[row], column, -1)

    def get_cursor_right_location(self) -> Location:
        """Return the location one step to the right. The words for a paste are one step."""
        row, column = super().get_cursor_right_location()
        return row, self.folds.outside(self.document.lines[row], column, 1)

    def insert_newline(self) -> None:
        """Begin a new line at the cursor."""
        self.replace("\n", *self.selection, maintain_selection_offset=False)
        self.move_cursor(self.selection.end)

    def go_up(self) -> None:
        """Move up a line; on the first line, go back in the history. In a list of completions, move up."""
        if self.completing:
            self._completions.move(-1)
        elif not self.navigator.is_first_wrapped_line(self.cursor_location):
            self.action_cursor_up()
        elif not self.text and self.move_above(-1):
            return
        elif (prompt := self.past.earlier(self.text)) is not None:
            self._show(prompt)

    def go_down(self) -> None:
        """Move down a line; on the last line, go forward in the history and then to the draft."""
        if self.completing:
            self._completions.move(1)
        elif not self.navigator.is_last_wrapped_line(self.cursor_location):
            self.action_cursor_down()
        elif not self.text and not self.past.leafing and self.move_above(1):
            return
        elif (prompt := self.past.later()) is not None:
            self._show(prompt)

    def go_to_end(self) -> None:
        """Move to the end of the line; when there already, follow the conversation."""
        end = self.navigator.get_location_end(self.cursor_location)
        if self.cursor_location == end:
            self.post_message(FollowRequested())
        else:
            self.move_cursor(end)

    def go_left(self) -> None:
        """Move left. While the prompt is empty, go to the candidate before."""
        if self.choosing and not self.text:
            self.post_message(CandidateMoveRequested(-1))
        else:
            self.action_cursor_left()

    def go_right(self) -> None:
        """Move right. While the prompt is empty, go to the next candidate."""
        if self.choosing and not self.text:
            self.post_message(CandidateMoveRequested(1))
        else:
            self.action_cursor_right()

    # ── completion ───────────────────────────────────────────────────────────────────────────────

    @property
    def completing(self) -> bool:
        """True while completions are shown."""
        return self._completions.display

    def complete(self) -> None:
        """Accept the highlighted completion, or the first."""
        self.take_offer(self._completions.chosen or self._completions.offer_at(0))

    def take_offer(self, offer: Offer) -> None:
        """Replace the word before the cursor with this completion."""
        row, column = self.cursor_location
        length = len(self._before_cursor()) - self._start
        self._completions.close()
        self.replace(offer.text, (row, column - length), (row, column), maintain_selection_offset=False)

    def close_completions(self) -> None:
        """Close the completions until something else is typed."""
        self._completions.close()
        self._looked_at = None

    def update_suggestion(self) -> None:
        """Textual's hook, called at once after every edit: keys that were typed ahead find the right list."""
        if self.is_mounted:
            self._look()

    def look_again(self) -> None:
        """Refresh the completions, because there may be more for the same word."""
        if self._before_cursor() == self._looked_at:
            self._look()

    def _look(self) -> None:
        """Update the completions of the word before the cursor."""
        before_look = self.completing
        self._find_completions()
        if self.completing != before_look:
            self.refresh_bindings()

    def _find_completions(self) -> None:
        self._looked_at = before = self._before_cursor()
        for completer in self.completers:
            if (found := completer(before)) is not None:
                self._start = found.start
                self._completions.show(found.offers, sure=found.sure)
                return
        self._completions.close()

    @on(TextArea.SelectionChanged)
    def _moved(self) -> None:
        if self._before_cursor() != self._looked_at:
            self._completions.close()

    def _before_cursor(self) -> str:
        return self.get_text_range((0, 0), self.cursor_location)

    # ── keys ─────────────────────────────────────────────────────────────────────────────────────

    async def _on_key(self, event: events.Key) -> None:
        # Run bindings here, in the order of the keys. Ordinary bindings run once the key has
        # been to every widget above: after what was typed ahead, and after Enter.
        if event.is_printable:
            return
        active = self.screen.active_bindings.get(event.key)
        if active is None or active.node is not self:
            return
        done = active.enabled and await self.app.run_action(active.binding.action, self)
        # A binding of the text area may not apply, such as copying nothing. Then others may take the key.
        if done or active.binding.id is not None:
            event.stop()
            event.prevent_default()
        if done and active.binding.id is None and not self.text:
            self.post_message(KeyInVain(event.key))  # there was nothing to edit

    async def _on_paste(self, event: events.Paste) -> None:
        # A paste may contain anything: escape sequences of a terminal's log, line ends of other systems.
        event.prevent_default()
        text = mentions_of_drop(event.text) or self.folds.fold(without_controls(event.text))
        await super()._on_paste(events.Paste(text))

    def _show(self, text: str) -> None:
        self.text = self.folds.refold(text)
        self.move_cursor(self.document.end)
        self._completions.close()
