"""The help screen: all commands with their keys, as the user has set them, and a filter."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from spnl_tui.ui.widgets.typed_filter import matches

_KEYS = 16
"""Cells for the keys of a command."""


@dataclass(frozen=True, slots=True)
class HelpEntry:
    """One command, as the help screen shows it."""

    keys: str
    """Its keys, separated by spaces."""
    id: str
    """Its name in the table [keys]."""
    text: str
    """What it does."""
    label: str = ""
    usage: str = ""
    """How to type it in the prompt; empty if that is not possible."""
    synonyms: str = ""
    """More words by which the filter finds it."""


class HelpScreen(ModalScreen[str | None]):
    """Lists the commands by group, one line each. What is typed filters them.

    The line at the bottom shows the rest about the highlighted one. The result is its id if it is to run.
    """

    CSS_PATH = "help_screen.tcss"
    BINDINGS = [
        Binding("escape", "close", "Close", show=False),
        Binding("down", "move('cursor_down')", "Down", show=False),
        Binding("up", "move('cursor_up')", "Up", show=False),
        Binding("pagedown", "move('page_down')", "Page down", show=False),
        Binding("pageup", "move('page_up')", "Page up", show=False),
    ]

    def __init__(self, groups: Mapping[str, Sequence[HelpEntry]]) -> None:
        """`groups` holds the entries by heading; those for the place where the user is come first."""
        super().__init__()
        self._groups = groups
        self._entries = {entry.id: entry for entries in groups.values() for entry in entries}

    def compose(self) -> ComposeResult:
        with Vertical() as box:
            box.border_title = "Help"
            box.border_subtitle = "Enter runs it, Esc closes"
            yield Input(placeholder="Type to filter: a word, a key, a command", compact=True)
            yield OptionList(markup=False)
            yield Static(markup=False)

    def on_mount(self) -> None:
        """List everything; the focus stays in the filter."""
        self.query_one(OptionList).can_focus = False
        self._show("")

    @on(Input.Changed)
    def _filtered(self, event: Input.Changed) -> None:
        self._show(event.value)

    def _show(self, filter: str) -> None:
        commands = self.query_one(OptionList)
        commands.set_options(list(self._options(filter)))
        first = next((place for place, option in enumerate(commands.options) if not option.disabled), None)
        commands.highlighted = first
        commands.scroll_to(y=0, animate=False)
        if first is None:
            self._say(Content.styled("No command matches. Backspace shows more.", "$text-muted"))

    def _options(self, filter: str) -> Iterator[Option]:
        listed: set[str] = set()
        for title, entries in self._groups.items():
            found = [
                entry
                for entry in entries
                if matches(filter, entry.keys, entry.id, entry.text, entry.label, entry.usage, entry.synonyms)
                and (not filter or entry.id not in listed)
            ]
            if not found:
                continue
            if listed:
                yield Option("", disabled=True)
            yield Option(Content.styled(title, "bold $text-primary"), disabled=True)
            for entry in found:
                # Those of the first group are listed again in their own.
                yield Option(_line(entry), id=None if entry.id in listed else entry.id)
                listed.add(entry.id)

    @property
    def entry(self) -> HelpEntry | None:
        """The highlighted command."""
        option = self.query_one(OptionList).highlighted_option
        return self._entries.get(option.id or "") if option is not None else None

    @on(OptionList.OptionHighlighted)
    def _highlighted(self) -> None:
        if (entry := self.entry) is not None:
            parts = [
                (f"{entry.label}   ", "bold"),
                (f"{entry.keys or 'no key'}   ", "$text-primary"),
                (f"{entry.usage}   " if entry.usage else "", "$text-accent"),
                (f"{entry.id} in [keys]", "$text-muted"),
            ]
            self._say(Content.assemble(*parts))

    def _say(self, text: Content) -> None:
        self.query_one(Static).update(text)

    @on(Input.Submitted)
    @on(OptionList.OptionSelected)
    def _chosen(self) -> None:
        self.dismiss(entry.id if (entry := self.entry) is not None else None)

    def action_close(self) -> None:
        """Clear the filter, or else close the screen."""
        line = self.query_one(Input)
        if line.value:
            line.value = ""
        else:
            self.dismiss(None)

    def action_move(self, how: str) -> None:
        """Move the highlight."""
        getattr(self.query_one(OptionList), f"action_{how}")()


def _line(entry: HelpEntry) -> Content:
    keys = " ".join(entry.keys.split()[:2])
    return Content.assemble(
        (f"{keys:<{_KEYS}}", "bold"),
        entry.text,
        (f"  {entry.usage}" if entry.usage else "", "$text-accent"),
    )
