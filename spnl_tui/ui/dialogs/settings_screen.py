"""The dialog with all settings: what each one is for, its value, and where the value comes from."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from spnl_tui.errors import SpnlError
from spnl_tui.settings import Settings
from spnl_tui.settings.editing import Entry, SettingValue, entries, shown, typed_value
from spnl_tui.text import first_line, plain
from spnl_tui.ui.dialogs.text_screen import TextScreen
from spnl_tui.ui.widgets.toasts import tell

_NAME = 30
"""Cells for the name of a setting."""
_AT_ONCE = ("interface.theme",)
"""Settings that apply without a new start."""


class SettingsScreen(ModalScreen[None]):
    """Lists the settings. Typing filters, Enter changes the highlighted one and writes it to the file."""

    CSS_PATH = "settings_screen.tcss"
    BINDINGS = [
        Binding("escape", "dismiss", "Close", show=False),
        Binding("down", "move(1)", "Down", show=False),
        Binding("up", "move(-1)", "Up", show=False),
        Binding("pagedown", "page(1)", "Page down", show=False),
        Binding("pageup", "page(-1)", "Page up", show=False),
        Binding("delete", "reset", "Default", show=False, priority=True),
    ]

    def __init__(self, settings: Settings, keep: Callable[[str, SettingValue], None]) -> None:
        """`keep` writes a setting to the user's file. It may raise SpnlError and is called in a thread."""
        super().__init__()
        self._entries = {entry.name: entry for entry in entries(settings)}
        self._keep = keep
        self._changed: set[str] = set()

    def compose(self) -> ComposeResult:
        with Vertical() as box:
            box.border_title = "Settings"
            box.border_subtitle = "Enter changes it, Del restores the default, Esc closes"
            yield Input(placeholder="Type to filter: a name or a word of the description", compact=True)
            yield OptionList(markup=False)
            yield Static(markup=False)

    def on_mount(self) -> None:
        """List all settings."""
        self.query_one(OptionList).can_focus = False
        self._show()

    # ── the list ─────────────────────────────────────────────────────────────────────────────────

    @on(Input.Changed)
    def _show(self) -> None:
        words = self.query_one(Input).value.casefold().split()
        settings = self.query_one(OptionList)
        before = self._highlighted
        options = [
            Option(self._line(entry), id=entry.name)
            for entry in self._entries.values()
            if all(word in f"{entry.name} {entry.help}".casefold() for word in words)
        ]
        settings.set_options(options)
        places = {option.id: place for place, option in enumerate(options)}
        settings.highlighted = places.get(before.name if before else None, 0 if options else None)
        self._explain()

    def _line(self, entry: Entry) -> Content:
        style = "" if entry.source == "default" else "bold"
        name = f"{entry.name:<{_NAME}} "
        return Content.assemble((name, style), (first_line(plain(entry.shown), 40), "$text-primary"))

    @property
    def _highlighted(self) -> Entry | None:
        option = self.query_one(OptionList).highlighted_option
        return None if option is None or option.id is None else self._entries[option.id]

    @on(OptionList.OptionHighlighted)
    def _explain(self) -> None:
        """Describe the highlighted setting below the list."""
        entry = self._highlighted
        if entry is None:
            self.query_one(Static).update("No setting has these words.")
            return
        source = f"set in {entry.source}" if entry.source != "default" else "the default"
        new = entry.name in self._changed and entry.name not in _AT_ONCE
        lines = [
            Content(plain(entry.help)),
            Content.styled(
                f"{first_line(plain(entry.shown), 60)}, {plain(source)}."
                f" Default: {plain(shown(entry.default))}."
                f"{' Applies from the next start on.' if new else ''}",
                "$text-muted",
            ),
        ]
        self.query_one(Static).update(Content("\n").join(lines))

    def action_move(self, by: int) -> None:
        """Highlight another setting."""
        settings = self.query_one(OptionList)
        if by > 0:
            settings.action_cursor_down()
        else:
            settings.action_cursor_up()

    def action_page(self, by: int) -> None:
        """Move the highlight by a page."""
        settings = self.query_one(OptionList)
        if by > 0:
            settings.action_page_down()  # type: ignore[no-untyped-call]  # Textual's
        else:
            settings.action_page_up()  # type: ignore[no-untyped-call]  # Textual's

    # ── changes ──────────────────────────────────────────────────────────────────────────────────

    @on(Input.Submitted)
    @on(OptionList.OptionSelected)
    @work(group="settings", exclusive=True)
    async def _change(self) -> None:
        """Change the highlighted setting: to the next choice, or to what the user types."""
        if (entry := self._highlighted) is None:
            return
        if choices := entry.choices:
            place = choices.index(entry.value) if entry.value in choices else -1
            await self._write(entry, choices[(place + 1) % len(choices)])
            return
        before = "" if entry.value in (None, (), "") else shown(entry.value)
        typed = await self.app.push_screen_wait(TextScreen(entry.name, before, may_be_empty=True))
        if typed is None:
            return
        try:
            await self._write(entry, typed_value(entry, typed))
        except SpnlError as error:
            tell(self, error)

    def action_reset(self) -> None:
        """Remove the highlighted setting from the file, so that its default applies."""
        if (entry := self._highlighted) is not None:
            self.run_worker(self._write(entry, None), group="settings")

    async def _write(self, entry: Entry, value: SettingValue) -> None:
        try:
            await asyncio.to_thread(self._keep, entry.name, value)
        except SpnlError as error:
            tell(self, error)
            return
        self._changed.add(entry.name)
        now = entry.default if value is None else tuple(value) if isinstance(value, list) else value
        source = "default" if value is None else "config.toml"
        self._entries[entry.name] = replace(entry, value=now, source=source)
        self._show()
