"""The Textual app: its commands, dialogs and themes, and its orderly end."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from rich.text import Text
from textual import work
from textual._context import active_message_pump
from textual.app import App
from textual.binding import Binding, BindingsMap
from textual.command import CommandPalette, Provider
from textual.dom import DOMNode
from textual.driver import Driver
from textual.message import Message
from textual.screen import Screen
from textual.theme import Theme
from textual.widget import Widget

from spnl_tui.errors import SettingsError, SpnlError
from spnl_tui.settings import Settings
from spnl_tui.settings.nearest import did_you_mean
from spnl_tui.ui.commands.command import Command
from spnl_tui.ui.commands.registry import COMMANDS as ALL_COMMANDS
from spnl_tui.ui.commands.registry import CommandRegistry
from spnl_tui.ui.main_screen import MainScreen
from spnl_tui.ui.services import InterfaceServices
from spnl_tui.ui.textual_patches.dismissing import dismiss_once
from spnl_tui.ui.textual_patches.exceptions import UnforeseenErrors, told
from spnl_tui.ui.textual_patches.selecting import select_attached
from spnl_tui.ui.textual_patches.signals import leave_when_told
from spnl_tui.ui.widgets.key_text import key_text
from spnl_tui.ui.widgets.toasts import tell

if TYPE_CHECKING:
    # The first paint does not need these.
    from spnl_tui.settings.editing import SettingValue

CLOSE_TIMEOUT_S = 2.0
_STYLES = Path(__file__).parent / "ui"


def _command_provider() -> type[Provider]:
    from spnl_tui.ui.commands.palette import CommandProvider

    return CommandProvider


def _prompt_provider() -> type[Provider]:
    from spnl_tui.ui.commands.palette import PersonalPromptProvider

    return PersonalPromptProvider


class SpnlChat(App[None], inherit_bindings=False):
    """The application. It owns the services and closes them at its end."""

    TITLE = "spnl-chat"
    COMMANDS: ClassVar = {_command_provider, _prompt_provider}
    # Stylesheets of the first screen and its panes, because Textual does not load a default screen's own.
    CSS_PATH: ClassVar = [
        _STYLES / "main_screen.tcss",
        _STYLES / "chat" / "pane.tcss",
        _STYLES / "chat" / "candidates.tcss",
        _STYLES / "conversations" / "list.tcss",
        _STYLES / "pulls" / "pane.tcss",
        _STYLES / "tools" / "tools.tcss",
    ]

    def get_driver_class(self) -> type[Driver]:
        """The terminal's driver; on Linux and macOS with our own parser of its input."""
        usual = super().get_driver_class()
        if usual.__name__ != "LinuxDriver":
            return usual
        from spnl_tui.ui.textual_patches.terminal_input import TerminalDriver

        return TerminalDriver

    def __init__(
        self,
        settings: Settings,
        services: InterfaceServices,
        *,
        themes: Iterable[Theme] = (),
        more_themes: Callable[[], tuple[Iterable[Theme], Iterable[SpnlError]]] | None = None,
        keep_setting: Callable[[str, SettingValue], None] | None = None,
        problems: Iterable[SpnlError] = (),
        strict: bool = False,
        commands: Iterable[Command] = ALL_COMMANDS,
    ) -> None:
        """`problems` are errors found during the start, shown after the first paint.

        `themes` are available at once; `more_themes` reads the others in a thread after the first paint.
        `keep_setting` writes a setting that the user changed in the interface, by its full name; it may raise
        SpnlError. With `strict`, an unforeseen exception ends the program, as tests need it.
        """
        super().__init__()
        self._main_screen: MainScreen | None = None
        """The main screen, even after it is closed."""
        self.unforeseen = None if strict else UnforeseenErrors(self)
        self.commands = CommandRegistry(commands, settings.keys)
        # Replace the palette's binding that Textual adds.
        self._bindings = BindingsMap(self.commands.bindings("app"))
        self._settings = settings
        self._services = services
        self._problems = list(problems)
        self._more_themes = more_themes
        self._keep_setting = keep_setting
        for theme in themes:
            self.register_theme(theme)
        if settings.interface.theme in self.available_themes:
            self._begin_with(settings.interface.theme)
        try:
            settings.check_keys(self.commands.ids)
        except SettingsError as error:
            self._problems.append(error)
        for id, key, other in self.commands.clashes():
            reason = f"{key} is the key of {other}, too."
            self._problems.append(settings.mistake(f"keys.{id}", reason, "Give one of the two another key."))

    def _begin_with(self, theme: str) -> None:
        """Use this theme from the start. Assigning it would parse Textual's stylesheets twice."""
        self.set_reactive(App.theme, theme)
        dark = self.current_theme.dark
        self.update_classes(
            {f"-theme-{theme}": True, "-dark-mode": dark, "-light-mode": not dark}, update=False
        )
        self._refresh_truecolor_filter(self.ansi_theme)
        self.stylesheet.set_variables(self.get_css_variables())

    def on_ready(self) -> None:
        """After the first paint, report problems of the start and do what could wait."""
        leave_when_told(self)
        if self.unforeseen is not None:
            self.unforeseen.started = True
        for error in self._problems:
            tell(self, error)
        # Exclude the loaded program from garbage collection. A full collection visits all modules and
        # stylesheets, which blocks keys for 50 ms.
        gc.freeze()
        gc.enable()  # the command line disabled it for the start
        self._read_themes()

    @work(group="themes")
    async def _read_themes(self) -> None:
        if self._more_themes is not None:
            themes, failures = await asyncio.to_thread(self._more_themes)
            for theme in themes:
                self.register_theme(theme)
            for error in failures:
                tell(self, error)
        wanted = self._settings.interface.theme
        if wanted not in self.available_themes:
            near = did_you_mean(wanted, self.available_themes)
            tell(self, self._settings.mistake("interface.theme", f"There is no theme {wanted!r}.", near))
        elif self.theme != wanted:
            self.theme = wanted
        # Only changes from here on are the user's.
        self.theme_changed_signal.subscribe(self, self._theme_chosen)

    def _theme_chosen(self, theme: Theme) -> None:
        self._keep_theme(theme.name)

    @work(group="themes")
    async def _keep_theme(self, name: str) -> None:
        if self._keep_setting is not None:
            try:
                await asyncio.to_thread(self._keep_setting, "interface.theme", name)
            except SpnlError as error:
                tell(self, error)

    def get_default_screen(self) -> Screen[Any]:
        """Return the main screen."""
        self._main_screen = MainScreen(self._services, self._settings, self.commands, self)
        return self._main_screen

    # ── commands ─────────────────────────────────────────────────────────────────────────────────

    @property
    def _main(self) -> MainScreen | None:
        """The main screen, also while a dialog is open above it; None before the first paint."""
        stack = self.screen_stack if self._screen_stacks.get(self.current_mode) else []
        return stack[0] if stack and isinstance(stack[0], MainScreen) else None

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Return True if the action can run; the footer and the keys follow this."""
        if action != "command":
            return super().check_action(action, parameters)
        main = self._main
        return main is not None and main.commands.is_available(self.commands[str(parameters[0])])

    async def action_command(self, id: str) -> None:
        """Run the command with this id. All bindings of commands are this action."""
        if (main := self._main) is not None:
            await main.commands.run(self.commands[id])

    def palette_commands(self) -> Iterable[Command]:
        """Yield the available commands, for the palette; above a dialog, only the program's own."""
        main = self._main
        stack = [screen for screen in self.screen_stack if not isinstance(screen, CommandPalette)]
        for command in self.commands:
            here = command.place == "app" or (bool(stack) and stack[-1] is main)
            if main is not None and command.palette and here and main.commands.is_available(command):
                yield command

    def key_of(self, command: Command) -> str:
        """Return the first key of a command as the palette shows it; empty if it has none."""
        keys = self.commands.keys_of(command)
        return self.get_key_display(Binding(keys[0], "")) if keys else ""

    def toggle_help(self) -> None:
        """Show or hide the help screen."""
        from spnl_tui.ui.dialogs.help_screen import HelpEntry, HelpScreen

        if isinstance(self.screen, HelpScreen):
            self.pop_screen()
            return
        if (main := self._main) is None:
            return
        here = main.commands.here()
        groups: dict[str, list[HelpEntry]] = {"Here": []}
        for command in self.commands:
            named = self.commands.keys_of(command)
            entry = HelpEntry(
                " ".join(self.get_key_display(Binding(key, "")) for key in named),
                command.id,
                command.help,
                command.label,
                command.usage,
                " ".join((command.synonyms, *named)),
            )
            if command.id in here:
                groups["Here"].append(entry)
            groups.setdefault(command.group, []).append(entry)
        groups["Here"].sort(key=lambda entry: here.index(entry.id))
        self.push_screen(HelpScreen(groups), main.commands.run_from_help)

    def get_key_display(self, binding: Binding) -> str:
        """Return a key as the footer and the help show it."""
        return key_text(super().get_key_display(binding))

    async def open_row_menu(self) -> None:
        """Show what can be done with the row or turn under the cursor, and do what the user chooses."""
        if (main := self._main) is not None:
            await main.commands.open_row_menu()

    def open_palette(self) -> None:
        """Open the palette with all commands."""
        self.action_command_palette()

    def redraw(self) -> None:
        """Draw the whole screen again, and scroll the conversation to its end."""
        if (main := self._main) is not None:
            main.chat.transcript.follow()
        self.refresh(repaint=True, layout=True)

    def choose_theme(self) -> None:
        """Let the user choose a theme."""
        self.search_themes()

    def edit_settings(self) -> None:
        """Open the dialog with all settings."""
        if self._keep_setting is not None:
            from spnl_tui.ui.dialogs.settings_screen import SettingsScreen

            self.push_screen(SettingsScreen(self._settings, self._keep_setting))

    def explain_quit(self) -> None:
        """Show which key quits."""
        if (main := self._main) is not None:
            self.notify(f"Press {main.key('app.quit')} to quit.", title="Nothing to stop", markup=False)

    def unload_highlighted(self) -> None:
        """Unload the highlighted model in the dialog of loaded models."""
        from spnl_tui.ui.models.loaded_screen import LoadedScreen

        if isinstance(self.screen, LoadedScreen):
            self.screen.unload()

    def ask_to_quit(self) -> None:
        """End the program, unless pulls are running and the user decides to stay."""
        self._ask_to_quit()

    @work(group="quit")
    async def _ask_to_quit(self) -> None:
        if (main := self._main) is None or await main.pulls_controller.may_quit():
            self.exit()

    def _register_child(self, parent: DOMNode, child: Widget, before: int | None, after: int | None) -> None:
        super()._register_child(parent, child, before, after)
        if isinstance(child, Screen):
            dismiss_once(child)
            select_attached(child)
        if self.unforeseen is not None:
            self.unforeseen.guard(child)

    async def _dispatch_message(self, message: Message) -> None:
        try:
            await super()._dispatch_message(message)
        except Exception as error:
            if self.unforeseen is None or not self.unforeseen.survive(error):
                raise

    def _handle_exception(self, error: Exception) -> None:
        if self.unforeseen is None:
            super()._handle_exception(error)
        elif not self.unforeseen.survive(error, active_message_pump.get(None)):
            self._return_code = 1
            self.bell()
            fatal = self.unforeseen.fatal or error
            self.panic(Text(str(told(fatal, ended=True))))

    async def on_unmount(self) -> None:
        """Close the services within a bound, because the user wants the terminal back."""
        if self._main_screen is not None:
            self._main_screen.drafts.save_and_close()
            self._main_screen.terminal_progress.show(None)
        closing = [
            asyncio.ensure_future(close()) for close in (self._services.engine.close, *self._services.close)
        ]
        done, late = await asyncio.wait(closing, timeout=CLOSE_TIMEOUT_S)
        for task in late:
            task.cancel()
        for task in done:
            if (error := task.exception()) is not None:
                self.log.error(error)
