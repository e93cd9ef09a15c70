"""Commands that are typed: "/rename A better title".

A prompt is a command when its first word is a "/" with a name after it: a letter, and then letters, digits
and hyphens, up to a space or the end. "/etc/hosts is what?" is none, since a name has no "/" in it, and "/ 2"
and "/2" are none. A "/" before such a prompt makes it text: "//new" is sent as "/new".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from textual.fuzzy import FuzzySearch
from textual.screen import Screen

from spnl_tui.errors import CommandError
from spnl_tui.settings.nearest import did_you_mean
from spnl_tui.ui.chat.completing import Offer, Offers
from spnl_tui.ui.commands.command import Command
from spnl_tui.ui.commands.registry import can_do
from spnl_tui.ui.commands.table import COMMANDS

_COMMAND = re.compile(r"/([A-Za-z][A-Za-z0-9-]*)(?:\s+(.*))?", re.DOTALL)
_BEGUN = re.compile(r"/([A-Za-z][A-Za-z0-9-]*)?")
_BEGINS = 1000.0
"""The rank of a name that begins with what is typed. Fuzzy ranks are below a hundred."""
_AS_TEXT = "Begin with // to send it as text."


@dataclass(frozen=True, slots=True)
class Call:
    """A command, and what was typed after its name."""

    command: Command
    argument: str = ""


def looks_like_command(text: str) -> bool:
    """Whether a prompt is meant as a command, known or not."""
    return _COMMAND.fullmatch(text) is not None


def without_escape(text: str) -> str:
    """The text of a prompt that is no command: without the "/" that makes it text."""
    return text[1:] if text.startswith("//") and _names_command(text) else text


def with_escape(text: str) -> str:
    """What to type to send this text."""
    return f"/{text}" if text.startswith("/") and _names_command(text) else text


def _names_command(text: str) -> bool:
    """Whether a prompt is a command, or one that is made text."""
    return looks_like_command(f"/{text.lstrip('/')}")


def read(text: str) -> Call | None:
    """The command that this prompt is; None: it is text.

    Raises:
        CommandError: there is no such command, or it takes nothing after its name.
    """
    match = _COMMAND.fullmatch(text)
    if match is None:
        return None
    name, argument = match[1].lower(), (match[2] or "").strip()
    command = _by_name().get(name)
    if command is None:
        near = did_you_mean(f"/{name}", [f"/{known}" for known in _by_name()])
        raise CommandError("No such command", f"There is no /{name}. {near}".strip(), _AS_TEXT)
    if argument and not command.argument:
        raise CommandError(f"/{name} stands alone", "It takes nothing after its name.", _AS_TEXT)
    return Call(command, argument)


class CommandCompleter:
    """Offers the commands that can be done now."""

    def __init__(self, screen: Screen[Any]) -> None:
        self._screen = screen
        self._fuzzy = FuzzySearch()

    def __call__(self, before: str) -> Offers | None:
        """The commands whose names are like the one that is being typed."""
        match = _BEGUN.fullmatch(before)
        if match is None:
            return None
        typed = (match[1] or "").lower()
        found = [
            (self._rank(typed, name), _offer(command))
            for name, command in _by_name().items()
            if can_do(command, self._screen)
        ]
        # Stable: equals stay in the order of the table.
        found.sort(key=lambda each: -each[0])
        offers = [offer for rank, offer in found if rank > 0]
        # What is merely like the name may be something that the user would never have done.
        return Offers(0, offers, sure=bool(typed and found and found[0][0] >= _BEGINS))

    def _rank(self, typed: str, name: str) -> float:
        """How well a name fits; 0: not at all. The name itself comes first, then what begins so."""
        if name == typed:
            return _BEGINS + 1
        if name.startswith(typed):
            return _BEGINS
        return self._fuzzy.match(typed, name)[0]


def _offer(command: Command) -> Offer:
    name = f"/{command.slash}"
    if command.argument:
        return Offer(f"{name} ", f"{name} {command.argument}", command.help)
    return Offer(name, name, command.help, final=True)


@lru_cache(maxsize=1)
def _by_name() -> dict[str, Command]:
    return {command.slash: command for command in COMMANDS if command.slash}
