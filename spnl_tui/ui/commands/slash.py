"""What is typed after a "/": suggestions, and the user's own prompts beside the commands."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from textual.fuzzy import FuzzySearch

from spnl_tui.conversations.personal_prompts import PersonalPrompt, PersonalPrompts
from spnl_tui.ui.chat.input.completion import Offer, Offers
from spnl_tui.ui.commands.command import Command
from spnl_tui.ui.commands.registry import CommandRegistry
from spnl_tui.ui.messages import CommandSubmitted, PromptSubmitted

_BEGUN = re.compile(r"/([A-Za-z][A-Za-z0-9-]*)?")
_BEGINS = 1000.0
"""The rank of a name that begins with what is typed. Fuzzy ranks are below a hundred."""


class CommandCompleter:
    """Offers the commands that are available now."""

    def __init__(
        self,
        registry: CommandRegistry,
        is_available: Callable[[Command], bool],
        prompts: Callable[[], Iterable[PersonalPrompt]] = lambda: (),
    ) -> None:
        """`prompts` returns the user's own prompts."""
        self._registry = registry
        self._prompts = prompts
        self._is_available = is_available
        self._fuzzy = FuzzySearch()

    def __call__(self, before: str) -> Offers | None:
        """Return the commands whose names are like the one that is being typed."""
        match = _BEGUN.fullmatch(before)
        if match is None:
            return None
        typed = (match[1] or "").lower()
        found = [
            (rank, _offer(command, name))
            for command in self._registry
            if command.slash and self._is_available(command)
            for rank, name in [self._best_name(command, typed)]
        ]
        found += [
            (self._rank(typed, prompt.name), Offer(f"/{prompt.name} ", prompt.usage, prompt.description))
            for prompt in self._prompts()
            if prompt.name not in self._registry.names
        ]
        # The sort is stable: among ties, the order of the registry stays.
        found.sort(key=lambda each: -each[0])
        offers = [offer for rank, offer in found if rank > 0]
        # Enter must not run a command whose name is merely similar: the user might never have wanted it.
        return Offers(0, offers, sure=bool(typed and found and found[0][0] >= _BEGINS))

    def _best_name(self, command: Command, typed: str) -> tuple[float, str]:
        """Return the main name unless an alias begins with what is typed and the main name does not."""
        rank = self._rank(typed, command.slash)
        if rank < _BEGINS:
            for alias in command.aliases:
                if alias.startswith(typed):
                    return self._rank(typed, alias), alias
        return rank, command.slash

    def _rank(self, typed: str, name: str) -> float:
        """Return how well a name fits; 0: not at all. The name itself comes first, then those it begins."""
        if name == typed:
            return _BEGINS + 1
        if name.startswith(typed):
            return _BEGINS
        return self._fuzzy.match(typed, name)[0]


def _offer(command: Command, name: str) -> Offer:
    if command.argument:
        return Offer(f"/{name} ", f"/{name} {command.argument}", command.help)
    return Offer(f"/{name}", f"/{name}", command.help, final=True)


class PersonalPromptCommands:
    """Reads what is typed: the program's own commands come first, then the user's prompts."""

    def __init__(self, prompts: PersonalPrompts | None, registry: CommandRegistry) -> None:
        self._prompts = prompts
        self._registry = registry

    def all(self) -> Iterable[PersonalPrompt]:
        """Return the prompts that can be typed."""
        found = () if self._prompts is None else self._prompts.all().values()
        return [prompt for prompt in found if prompt.name not in self._registry.names]

    def read(self, text: str) -> CommandSubmitted | PromptSubmitted | None:
        """Return the command that a text is, or the prompt that it stands for; None if it is text.

        Raises:
            CommandError: there is no such command, or an argument is missing.
        """
        name = text[1:].partition(" ")[0].partition("\n")[0].lower()
        own = self._prompts is not None and text.startswith("/") and name not in self._registry.names
        whole = self._prompts.expand(text) if own and self._prompts is not None else None
        return self._registry.read(text) if whole is None else PromptSubmitted(whole)
