"""The commands printed in README and docs have the names, options and arguments that they show."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from spnl_tui.cli.main import cli

ROOT = Path(__file__).parent.parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
_SHELL = re.compile(r"```(?:sh|console)\n(.*?)```", re.DOTALL)


def documented(page: Path) -> list[list[str]]:
    """Return the arguments of every `spnl-chat …` in the shell blocks of a page."""
    found = []
    for block in _SHELL.findall(page.read_text(encoding="utf-8")):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line.removeprefix("$ "), comments=True)
            for place, word in enumerate(words):
                if word == "spnl-chat":
                    rest = words[place + 1 :]
                    end = next((n for n, w in enumerate(rest) if w in ("|", "&&", ";", "<", ">", "&")), None)
                    found.append(rest[:end])
    return found


def parse(command: click.Command, name: str, arguments: list[str], parent: click.Context | None) -> None:
    context = command.make_context(name, list(arguments), parent=parent)
    rest = [*context._protected_args, *context.args]
    if isinstance(command, click.Group) and rest:
        inner_name, inner, inner_arguments = command.resolve_command(context, rest)
        assert inner is not None
        parse(inner, str(inner_name), inner_arguments, context)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_documented_commands_can_be_parsed(page: Path) -> None:
    for arguments in documented(page):
        if any(word.startswith(("-h", "--help", "--version")) for word in arguments) or "…" in arguments:
            continue
        try:
            parse(cli, "spnl-chat", arguments, None)
        except click.UsageError as error:
            raise AssertionError(f"spnl-chat {shlex.join(arguments)}: {error.format_message()}") from error


def test_the_pages_have_commands() -> None:
    assert sum(len(documented(page)) for page in PAGES) > 20
