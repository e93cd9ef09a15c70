"""The palette's search: by label, key, description and synonyms."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial

from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.content import Content

from spnl_tui.conversations.personal_prompts import PersonalPrompt
from spnl_tui.text import plain
from spnl_tui.ui.commands.command import Command
from spnl_tui.ui.commands.slash import PersonalPromptCommands
from spnl_tui.ui.widgets.typed_filter import matches

_IN_LABEL, _IN_WORDS = 2.0, 1.0
"""Ranks: words of the label come before words of the description. Fuzzy ranks are below both."""


def rank(command: Command, query: str, fuzzy: float) -> float:
    """Return how well a command fits; 0: not at all. `fuzzy` is the rank of its label, at most 1."""
    if not query.strip():
        return 0.0
    if matches(query, command.label):
        return _IN_LABEL + fuzzy
    if matches(query, command.label, command.help, command.synonyms, *command.names):
        return _IN_WORDS + fuzzy
    return fuzzy if fuzzy > _WORTH_SHOWING else 0.0


_WORTH_SHOWING = 0.5


class CommandProvider(Provider):
    """Offers the commands that can run now."""

    def _commands(self) -> Iterable[Command]:
        # The app decides what is available above a dialog.
        return self.app.palette_commands()  # type: ignore[attr-defined, no-any-return]

    def _shown(self) -> Iterator[tuple[Command, str]]:
        for command in self._commands():
            yield command, self.app.key_of(command)  # type: ignore[attr-defined]

    async def discover(self) -> Hits:
        """Yield all commands, by label."""
        for command, key in sorted(self._shown(), key=lambda each: each[0].label):
            yield DiscoveryHit(
                _line(command.label, key), self._run(command), text=command.label, help=command.help
            )

    async def search(self, query: str) -> Hits:
        """Yield the commands that match, with their rank."""
        matcher = self.matcher(query)
        for command, key in self._shown():
            fuzzy = matcher.match(command.label)
            if (found := rank(command, query, min(1.0, fuzzy))) > 0:
                yield Hit(
                    found,
                    _line(command.label, key),
                    self._run(command),
                    text=command.label,
                    help=command.help,
                )

    def _run(self, command: Command) -> partial[object]:
        return partial(self.app.action_command, command.id)  # type: ignore[attr-defined]


def _line(label: str, key: str) -> Content:
    return Content.assemble(label, (f"  {key}", "bold $text-primary"))


class PersonalPromptProvider(Provider):
    """Offers the prompts in the palette; choosing one begins its command."""

    def _found(self) -> Iterable[tuple[PersonalPrompt, partial[None]]]:
        commands = getattr(self.screen, "personal_prompts", None)
        if isinstance(commands, PersonalPromptCommands):
            for prompt in commands.all():
                yield prompt, partial(self._begin, prompt)

    def _begin(self, prompt: PersonalPrompt) -> None:
        field = self.screen.chat.prompt  # type: ignore[attr-defined]  # the main screen has one
        field.replace_all(f"/{prompt.name} ")
        field.focus()

    async def discover(self) -> Hits:
        """Yield all prompts."""
        for prompt, begin in self._found():
            yield DiscoveryHit(plain(f"/{prompt.name}"), begin, help=plain(prompt.description))

    async def search(self, query: str) -> Hits:
        """Yield the prompts that match, with their rank."""
        matcher = self.matcher(query)
        for prompt, begin in self._found():
            if (rank := matcher.match(f"{prompt.name} {prompt.description}")) > 0:
                yield Hit(rank, plain(f"/{prompt.name}"), begin, help=plain(prompt.description))
