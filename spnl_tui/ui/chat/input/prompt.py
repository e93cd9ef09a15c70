"""Where the user types."""

from __future__ import annotations

from collections.abc import Callable

from rich.text import Text
from textual import events, on
from textual.document._document import EditResult, Location
from textual.document._edit import Edit
from textual.widgets import TextArea

from spnl_tui.errors import CommandError
from spnl_tui.text import plain
from spnl_tui.ui.chat.input.completion import Completer, Offer
from spnl_tui.ui.chat.input.completion_list import Completions
from spnl_tui.ui.chat.input.folds import Folds
from spnl_tui.ui.chat.input.history import PromptHistory
from spnl_tui.ui.messages import (
    CandidateMoveRequested,
    CommandSubmitted,
    FollowRequested,
    KeyInVain,
    PromptSubmitted,
)
from spnl_tui.ui.widgets.toasts import tell


class Prompt(TextArea):
    """A text area that grows with its text, sends it, and remembers what was sent."""

    def __init__(self, completions: Completions, *, id: str | None = None) -> None:
        """`completions` is the list above the prompt."""
        super().__init__(
            id=id,
            soft_wrap=True,
            show_line_numbers=False,
            tab_behavior="focus",
            placeholder="Ask something",
            compact=True,
            highlight_cursor_line=False,
        )
        self.completers: tuple[Completer, ...] = ()
        """Who may offer something for the word before the cursor; the first that does is shown."""
        self.read_command: Callable[[str], CommandSubmitted | None] = lambda text: None
        """Returns the command that a text is, or None. Raises CommandError for one that does not exist."""
        self.past = PromptHistory()
        self.folds = Folds()
        self.choosing = False
        """Whether there are candidates, among which one moves while the prompt is empty."""
        self._completions = completions
        self._start = 0
        """Where the word begins that is completed."""
        self._looked_at: str | None = None
        """The text before the cursor for which a list is seen, if there is anything to offer."""

    def take(self) -> str:
        """Empty the prompt for the next one, and say what it held."""
        text = self.text
        self.text = ""
        self.past.leave()
        return text

    def give_back(self, text: str) -> None:
        """Put a prompt back that could not be sent, before what has been typed since."""
        self.replace_all("\n\n".join(part for part in (text, self.text) if part.strip()))

    def replace_all(self, text: str) -> None:
        """Put this text in place of what is there."""
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
        return super().edit(edit)

    def _within(self, location: Location) -> Location:
        """Return the location, or the end of the text if it lies beyond."""
        row, column = location
        lines = self.document.lines
        return (row, min(column, len(lines[row]))) if row < len(lines) else self.document.end

    def get_line(self, line_index: int) -> Text:
        """A line as it is drawn: words that stand for a longer text are set off."""
        line = super().get_line(line_index)
        for span in self.folds.spans(line.plain):
            line.stylize("bold italic", *span)
        return line

    def get_cursor_left_location(self) -> Location:
        """One to the left; words that stand for a longer text are one step."""
        row, column = super().get_cursor_left_location()
        return row, self.folds.outside(self.document.lines[row], column, -1)

    def get_cursor_right_location(self) -> Location:
        """One to the right; words that stand for a longer text are one step."""
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
        elif (prompt := self.past.earlier(self.text)) is not None:
            self._show(prompt)

    def go_down(self) -> None:
        """Move down a line; on the last line, go forward in the history and then to the draft."""
        if self.completing:
            self._completions.move(1)
        elif not self.navigator.is_last_wrapped_line(self.cursor_location):
            self.action_cursor_down()
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
        """Whether something is offered for the word before the cursor."""
        return self._completions.display

    def complete(self) -> None:
        """Take what is marked in the list, or the first."""
        self.take_offer(self._completions.chosen or self._completions.offer_at(0))

    def take_offer(self, offer: Offer) -> None:
        """Put this in place of the word before the cursor."""
        row, column = self.cursor_location
        length = len(self._before_cursor()) - self._start
        self._completions.close()
        self.replace(offer.text, (row, column - length), (row, column), maintain_selection_offset=False)

    def close_completions(self) -> None:
        """Offer nothing, until something else is typed."""
        self._completions.close()
        self._looked_at = None

    def update_suggestion(self) -> None:
        """Textual's hook, called at once after every edit: keys that were typed ahead find the right list."""
        if self.is_mounted:
            self._look()

    def look_again(self) -> None:
        """There may be more to offer for the word at which a list is, or would be, seen."""
        if self._before_cursor() == self._looked_at:
            self._look()

    def _look(self) -> None:
        """Look for what may be offered for the word before the cursor."""
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
        # Here and now, in the order in which keys were typed. Ordinary bindings are acted on once the key has
        # been to every widget above: after what was typed ahead, and after Enter.
        if event.is_printable:
            return
        active = self.screen.active_bindings.get(event.key)
        if active is None or active.node is not self:
            return
        done = active.enabled and await self.app.run_action(active.binding.action, self)
        # What the text area binds by itself may not apply: there is nothing to copy. Then it is another's.
        if done or active.binding.id is not None:
            event.stop()
            event.prevent_default()
        if done and active.binding.id is None and not self.text:
            self.post_message(KeyInVain(event.key))  # there was nothing to edit

    async def _on_paste(self, event: events.Paste) -> None:
        # A paste may hold anything: escape sequences from a terminal's log, other systems' line ends.
        event.prevent_default()
        await super()._on_paste(events.Paste(self.folds.fold(plain(event.text))))

    def _show(self, text: str) -> None:
        self.text = self.folds.refold(text)
        self.move_cursor(self.document.end)
        self._completions.close()
