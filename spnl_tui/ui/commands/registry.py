"""All commands, and what the interface generates from them: bindings, names of keys, names to type.

Do not use Alt+B and Alt+F as keys, because terminals send them for Ctrl with an arrow.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from textual.app import App
from textual.binding import Binding

from spnl_tui.conversations.slash_text import AS_TEXT_HINT, split_command
from spnl_tui.errors import CommandError
from spnl_tui.settings.nearest import did_you_mean
from spnl_tui.ui.commands import (
    candidates,
    conversation,
    conversation_list,
    conversation_values,
    images,
    models,
    prompt,
    pulls,
    reply,
    turns,
    view,
)
from spnl_tui.ui.commands.command import Command, Place
from spnl_tui.ui.commands.precedence import by_precedence
from spnl_tui.ui.messages import CommandSubmitted

COMMANDS: tuple[Command, ...] = (
    *prompt.COMMANDS,
    *images.COMMANDS,
    *reply.COMMANDS,
    *conversation.COMMANDS,
    *conversation_values.COMMANDS,
    *turns.COMMANDS,
    *candidates.COMMANDS,
    *conversation_list.COMMANDS,
    *models.COMMANDS,
    *pulls.COMMANDS,
    *view.COMMANDS,
)


class CommandRegistry:
    """The commands of the program, with the keys that the user has set."""

    def __init__(
        self, commands: Iterable[Command] = COMMANDS, keymap: Mapping[str, str] | None = None
    ) -> None:
        """`keymap` holds the table [keys]: keys by command id, separated by commas."""
        self._commands = {command.id: command for command in commands}
        self._keymap = keymap or {}
        self._names = {name: command for command in self for name in command.names}

    def __iter__(self) -> Iterator[Command]:
        return iter(self._commands.values())

    def __getitem__(self, id: str) -> Command:
        return self._commands[id]

    @property
    def names(self) -> Mapping[str, Command]:
        """The commands that can be typed, by each of their names."""
        return self._names

    def bindings(self, place: Place) -> list[Binding]:
        """Return the bindings of one place, in the order in which Textual tries them."""
        return [
            command.binding(keys)
            for command in by_precedence(self)
            if command.place == place and (keys := self.keys_of(command))
        ]

    def keys_of(self, command: Command) -> tuple[str, ...]:
        """Return the keys of a command, as the user has set them."""
        keys = list(_keys(self._keymap.get(command.id, command.keys)))
        for id in command.old_ids:
            keys += _keys(self._keymap.get(id, ""))
        return tuple(dict.fromkeys(keys))

    @property
    def ids(self) -> Iterator[str]:
        """All ids that [keys] may hold, those that were replaced included."""
        for command in self:
            yield from (command.id, *command.old_ids)

    def clashes(self) -> Iterator[tuple[str, str, str]]:
        """Yield the keys that the user gave to a command though another one in the same place has them.

        Each as the command's id, the key and the other's id.
        """
        taken = [(command, key) for command in self for key in self.keys_of(command)]
        for command, key in taken:
            if command.id not in self._keymap or key in _keys(command.keys):  # Esc is shared by default
                continue
            for other, same in taken:
                both = {command.place, other.place}
                if same == key and other is not command and (len(both) == 1 or both == {"app", "screen"}):
                    yield command.id, key, other.id

    def read(self, text: str) -> CommandSubmitted | None:
        """Return the command that this prompt is, or None if it is text.

        Raises:
            CommandError: there is no such command, or it takes no argument.
        """
        if (parts := split_command(text)) is None:
            return None
        name, argument = parts
        command = self._names.get(name)
        if command is None:
            near = did_you_mean(f"/{name}", [f"/{known}" for known in self._names])
            raise CommandError("No such command", f"There is no /{name}. {near}".strip(), AS_TEXT_HINT)
        if argument and not command.argument:
            raise CommandError(f"/{name} takes no argument", "Type the command alone.", AS_TEXT_HINT)
        return CommandSubmitted(command.id, argument, text)


class KeyNames:
    """Keys as one writes them in a sentence, such as "Ctrl+R"."""

    def __init__(self, app: App[Any], registry: CommandRegistry) -> None:
        self._app = app
        self._registry = registry

    def __call__(self, id: str) -> str:
        """Return the first key of the command with this id; empty if the user took all of them away."""
        if (key := next(iter(self._registry.keys_of(self._registry[id])), "")) == "":
            return ""
        *held, last = key.split("+")
        display = self._app.get_key_display(Binding(last, ""))
        if (held and len(display) == 1) or (last[:1] == "f" and last[1:].isdigit()):
            display = display.upper()
        elif display.isalpha() and len(display) > 1:
            display = display.capitalize()
        return "+".join([*(part.capitalize() for part in held), display])

    def fill(self, text: str) -> str:
        """Return the text with each "{command id}" replaced by that command's key."""
        for command in self._registry:
            mark = f"{{{command.id}}}"
            if mark in text:
                text = text.replace(mark, self(command.id))
        return text


def _keys(text: str) -> tuple[str, ...]:
    return tuple(key.strip() for key in text.split(",") if key.strip())
