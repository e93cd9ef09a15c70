"""One command: everything that the interface knows about one thing the user can do."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from textual.binding import Binding

from spnl_tui.ui.commands.context import CommandContext

Place = Literal["app", "screen", "prompt", "find", "talks", "pulls", "models", "loaded"]
"""Where the keys of a command work: everywhere, on the main screen, or while one widget has the focus."""


@dataclass(frozen=True, slots=True)
class Available:
    """The command can run now."""


@dataclass(frozen=True, slots=True)
class Unavailable:
    """The command cannot run now."""

    reason: str
    """Sentences for the user. "{turn.up}" stands for the key of the command with that id."""


Availability: TypeAlias = Available | Unavailable
Condition: TypeAlias = Callable[[CommandContext], Availability]

AVAILABLE = Available()


@dataclass(eq=False, repr=False, frozen=True, slots=True, kw_only=True)
class Worker:
    """A command's background work."""

    group: str
    """The group of Textual workers."""
    exclusive: bool = False
    """True if it replaces the workers of its group."""
    asks_for_reply: bool | Callable[[CommandContext], bool] = False
    """True if it begins a reply and asks the user nothing before that. The conversation then counts as
    replying from the key press on, so that prompts typed meanwhile wait."""


@dataclass(eq=False, repr=False, frozen=True, slots=True, kw_only=True)
class Command:
    """A command that the user starts by key, from the palette or by typing its name after a "/"."""

    id: str
    """The name in the table [keys] of the configuration. Never change one: users have them there."""
    keys: str
    """The default keys, separated by commas; empty if it has none."""
    run: Callable[[CommandContext], Awaitable[None] | None]
    """Does it. May raise SpnlError, which becomes a toast; a typed command then returns to the prompt."""
    label: str
    """One or two words, for the footer."""
    help: str
    """One sentence, for the palette, the help screen and the tooltip."""
    group: str
    """The heading in the help screen. It has no other effect."""
    needs: tuple[Condition, ...] = ()
    """What must hold; the first condition that does not gives the reason."""
    place: Place = "screen"
    worker: Worker | None = None
    """None: it runs at once, and the next key waits for it."""
    yields_keys: bool = False
    """True if the widget with the focus may use the keys first."""
    footer: bool = False
    palette: bool = True
    slash: str = ""
    """The name to type after a "/": letters, digits and hyphens."""
    aliases: tuple[str, ...] = ()
    """Other names that work after a "/", mostly habits from other programs."""
    old_ids: tuple[str, ...] = ()
    """Former ids of this command, and those of commands it replaces. Users may have them in [keys]."""
    synonyms: str = ""
    """More words by which the palette and the help find it."""
    in_menu: bool = True
    """False if the menu of a row leaves it out, because it is not about the row."""
    on_turn: bool = False
    """True if it works on the selected turn, and belongs in that turn's menu."""
    argument: str = ""
    """The word that stands for the argument in lists, such as "TITLE". Empty: it takes none."""
    before_prompt: re.Pattern[str] | None = None
    """Matches the part of the argument before a prompt, which may mention files. None: it holds no prompt."""

    def availability(self, context: CommandContext) -> Availability:
        """Return whether the command can run now, or the reason why it cannot."""
        for condition in self.needs:
            if isinstance(answer := condition(context), Unavailable):
                return answer
        return AVAILABLE

    @property
    def names(self) -> tuple[str, ...]:
        """All names that work after a "/", the main one first."""
        return (self.slash, *self.aliases) if self.slash else self.aliases

    @property
    def usage(self) -> str:
        """The command as one types it, such as "/rename TITLE"; empty if it has no such name."""
        return f"/{self.slash} {self.argument}".strip() if self.slash else ""

    def binding(self, keys: Sequence[str]) -> Binding:
        """Return the command as Textual's binding of these keys.

        Those of the screen have priority, because the prompt has the focus almost always and would take some
        of these keys. Those of the prompt and the panes have none: Textual acts on a priority binding before
        the keys typed ahead of it have reached the prompt, and Enter would send half of what was typed.
        """
        return Binding(
            ",".join(keys),
            f"app.command('{self.id}')",
            self.label,
            show=self.footer,
            priority=self.place in ("app", "screen") and not self.yields_keys,
            id=self.id,
            tooltip=self.help,
        )
