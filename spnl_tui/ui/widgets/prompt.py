"""Where the user types."""

from __future__ import annotations

from collections.abc import Sequence

from textual import events
from textual.widgets import TextArea

from spnl_tui.text import plain
from spnl_tui.ui.commands import bindings
from spnl_tui.ui.messages import FollowRequested, PromptSubmitted


class Prompt(TextArea):
    """A text area that grows with its text, sends it, and remembers what was sent."""

    BINDINGS = bindings("prompt")

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(
            id=id,
            soft_wrap=True,
            show_line_numbers=False,
            tab_behavior="focus",
            placeholder="Ask something",
            compact=True,
            highlight_cursor_line=False,
        )
        self._history: list[str] = []
        self._position: int | None = None
        """The place in the history; None: the draft is shown."""
        self._draft = ""

    @property
    def earlier(self) -> tuple[str, ...]:
        """What Up brings back, the latest last."""
        return tuple(self._history)

    def set_earlier(self, prompts: Sequence[str]) -> None:
        """Put what was sent in earlier sessions before what has been sent since."""
        self._history[:0] = prompts
        self._position = None

    def remember(self, prompt: str) -> None:
        """Add what was sent to the history."""
        if self._history[-1:] != [prompt]:
            self._history.append(prompt)
        self._position = None

    def take(self) -> str:
        """Empty the prompt for the next one, and say what it held."""
        text = self.text
        self.text = ""
        self._position = None
        self._draft = ""
        return text

    def give_back(self, text: str) -> None:
        """Put a prompt back that could not be sent, before what has been typed since."""
        self.text = f"{text}\n\n{self.text}" if self.text.strip() else text
        self._position = None
        self.move_cursor(self.document.end)

    def replace_all(self, text: str) -> None:
        """Put this text in place of what is there."""
        self._position = None
        self._show(text)

    def action_submit(self) -> None:
        """Send the prompt, and empty it at once: what is typed from here on is the next one."""
        self.post_message(PromptSubmitted(self.take().strip()))

    def action_newline(self) -> None:
        """Begin a new line at the cursor."""
        self.replace("\n", *self.selection, maintain_selection_offset=False)
        self.move_cursor(self.selection.end)

    def action_earlier(self) -> None:
        """Move up a line; on the first line, go back in the history."""
        if not self.navigator.is_first_wrapped_line(self.cursor_location):
            self.action_cursor_up()
            return
        if self._position is None:
            if not self._history:
                return
            self._draft = self.text
            self._position = len(self._history)
        if self._position > 0:
            self._position -= 1
            self._show(self._history[self._position])

    def action_later(self) -> None:
        """Move down a line; on the last line, go forward in the history and then to the draft."""
        if not self.navigator.is_last_wrapped_line(self.cursor_location):
            self.action_cursor_down()
            return
        if self._position is None:
            return
        self._position += 1
        if self._position < len(self._history):
            self._show(self._history[self._position])
        else:
            self._position = None
            self._show(self._draft)

    def action_follow(self) -> None:
        """Move to the end of the line; when there already, follow the conversation."""
        end = self.navigator.get_location_end(self.cursor_location)
        if self.cursor_location == end:
            self.post_message(FollowRequested())
        else:
            self.move_cursor(end)

    async def _on_key(self, event: events.Key) -> None:
        # Here and now, in the order in which keys were typed. As an ordinary binding the key would go to the
        # text area first, which takes Enter for itself.
        if event.is_printable:
            return
        active = self.screen.active_bindings.get(event.key)
        # Only the commands of our table have ids; what the text area binds by itself goes its own way.
        if active is not None and active.node is self and active.binding.id is not None:
            event.stop()
            event.prevent_default()
            if active.enabled:
                await self.run_action(active.binding.action)

    async def _on_paste(self, event: events.Paste) -> None:
        # A paste may hold anything: escape sequences from a terminal's log, other systems' line ends.
        event.prevent_default()
        await super()._on_paste(events.Paste(plain(event.text)))

    def _show(self, text: str) -> None:
        self.text = text
        self.move_cursor(self.document.end)
