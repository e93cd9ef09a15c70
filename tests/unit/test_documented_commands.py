"""The commands printed in README and docs have the names, options and arguments that they show."""

from __future__ import annotations

import shlex
from pathlib import Path

import click
import pytest

from spnl_tui.cli.main import cli
from tests.support.documented import PAGES, documented


def parse(command: click.Command, name: str, arguments: list[str], parent: click.Context | None) -> None:
    context = command.make_context(name, list(arguments), parent=parent)
    rest = [*context._protected_args, *context.args]
    if isinstance(command, click.Group) and rest:
        inner_name, inner, inner_arguments = command.resolve_command(context, rest)
        assert inner is not None
        parse(inner, str(inner_name), inner_arguments, context)


def check(arguments: list[str]) -> None:
    """Parse the arguments. A text may name a command without its arguments, such as `spnl-chat pull`."""
    try:
        parse(cli, "spnl-chat", arguments, None)
    except click.exceptions.Exit:  # --help or --version
        pass
    except (click.MissingParameter, click.exceptions.NoArgsIsHelpError) as error:
        if any(word.startswith("-") for word in arguments) or len(arguments) > 2:
            raise AssertionError(f"spnl-chat {shlex.join(arguments)}: {error.format_message()}") from error
    except click.UsageError as error:
        raise AssertionError(f"spnl-chat {shlex.join(arguments)}: {error.format_message()}") from error


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_documented_commands_can_be_parsed(page: Path) -> None:
    for arguments in documented(page):
        check(arguments)


@pytest.mark.parametrize(
    "wrong", ["run --no-such-option Hi", "no-such-command", "history export --format none", "list --limit x"]
)
def test_wrong_command_in_a_page_is_found(wrong: str, tmp_path: Path) -> None:
    for text in (f"Type `spnl-chat {wrong}`.\n", f"```sh\nspnl-chat {wrong}\n```\n"):
        page = tmp_path / "page.md"
        page.write_text(text)
        (arguments,) = documented(page)
        with pytest.raises(AssertionError, match="spnl-chat"):
            check(arguments)


def test_the_pages_have_commands() -> None:
    assert sum(len(documented(page)) for page in PAGES) > 80
