"""What is made from the table of commands: bindings, and ways to do a command and to name its key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from textual.actions import parse
from textual.app import App
from textual.binding import Binding, BindingType
from textual.screen import Screen

from spnl_tui.ui.commands.command import Command, Place
from spnl_tui.ui.commands.table import COMMANDS

CHAT_ACTIONS = frozenset(
    command.action.partition("(")[0]
    for command in COMMANDS
    if command.group in ("Prompt", "Reply", "Conversation", "Many answers")
)
"""What is done with the conversation, and only while it is seen."""
TURN_ACTIONS = CHAT_ACTIONS - {"talk"}
"""Those of them that are not for whole conversations."""


def bindings(place: Place) -> list[BindingType]:
    """The bindings of the screen, or of the prompt."""
    return [command.binding() for command in COMMANDS if command.place == place]


def can_do(command: Command, screen: Screen[Any], *arguments: str) -> bool:
    """Whether the command can be done now, from this screen, with what was typed after its name."""
    owner, (_, name, parameters) = _owner(command, screen), parse(command.action)
    return hasattr(owner, f"action_{name}") and bool(owner.check_action(name, (*parameters, *arguments)))


async def do(command: Command, screen: Screen[Any], *arguments: str) -> None:
    """Do it, with what was typed after its name, if it takes that."""
    _, name, parameters = parse(command.action)
    await screen.app.run_action(("", name, (*parameters, *arguments)), _owner(command, screen))


def _owner(command: Command, screen: Screen[Any]) -> App[Any] | Screen[Any]:
    return screen.app if command.place == "app" else screen


def keys_of(command: Command, keymap: Mapping[str, str]) -> tuple[str, ...]:
    """The keys of a command, as the user has set them."""
    return tuple(key.strip() for key in keymap.get(command.id, command.keys).split(",") if key.strip())


def clashes(keymap: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """Keys that the user has given to a command though another one has them in the same place.

    Each as the command's id, the key and the other's id.
    """
    taken = [(command, key) for command in COMMANDS for key in keys_of(command, keymap)]
    for command, key in taken:
        if command.id not in keymap or key in keys_of(command, {}):  # Esc is shared as it comes
            continue
        for other, same in taken:
            both = {command.place, other.place}
            if same == key and other is not command and (len(both) == 1 or both == {"app", "screen"}):
                yield command.id, key, other.id


def typed_display(id: str) -> str:
    """A command as one types it, with what may follow its name."""
    command = next(command for command in COMMANDS if command.id == id)
    return f"/{command.slash} {command.argument}".strip()


def key_display(app: App[Any], id: str, keymap: Mapping[str, str]) -> str:
    """The first key of a command, as one writes it in a sentence."""
    command = next(command for command in COMMANDS if command.id == id)
    key = next(iter(keys_of(command, keymap)), "")
    *held, last = key.split("+")
    display = app.get_key_display(Binding(last, ""))
    if (held and len(display) == 1) or (last[:1] == "f" and last[1:].isdigit()):
        display = display.upper()
    elif display.isalpha() and len(display) > 1:
        display = display.capitalize()
    return "+".join([*(part.capitalize() for part in held), display])
