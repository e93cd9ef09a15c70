"""Options that commands share, and the services that they run on."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from spnl_tui.cli.start import open_services

if TYPE_CHECKING:
    from spnl_tui.services import Services

_Command = TypeVar("_Command", bound=Callable[..., Any])


class _Text(click.types.StringParamType):
    """A text in UTF-8. Model names do not use this type: they may be paths, which keep their bytes."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        from spnl_tui.headless.streams import in_utf8

        name = param.human_readable_name if isinstance(param, click.Argument) else param and param.opts[-1]
        return in_utf8(value, name or "The text")


TEXT = _Text()


def completes(what: str) -> Callable[[click.Context, click.Parameter, str], list[Any]]:
    """Return the completion of this name in completing.py, which is imported when the shell asks."""

    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
        from spnl_tui.cli import completing

        found: list[Any] = getattr(completing, f"complete_{what}")(ctx, param, incomplete)
        return found

    return complete


json_option = click.option("--json", "json_", is_flag=True, help="Print JSON.")


def sampling_options(command: _Command) -> _Command:
    for option in (
        click.option("-t", "--temperature", type=float, help="0 is greedy; up to 2."),
        click.option("-l", "--max-tokens", type=int, help="The longest reply, in tokens."),
        click.option("--top-p", type=float, help="Nucleus sampling, in (0, 1]."),
        click.option("--top-k", type=int, help="Keep this many of the likeliest tokens."),
        click.option("--min-p", type=float, help="Drop tokens less likely than this share of the best."),
        click.option("--repetition-penalty", type=float, help="In (0, 2]; 1 does nothing."),
        click.option("--frequency-penalty", type=float, help="In [-2, 2]."),
        click.option(
            "--stop", multiple=True, type=TEXT, help="End the reply before this text; may be repeated."
        ),
        click.option("--seed", type=int, help="Make a sampled reply repeatable."),
    ):
        command = option(command)
    return command


def names_in(text: str) -> tuple[str, ...]:
    """Return the names in a list separated by commas; commas in parentheses belong to a name."""
    return tuple(name.strip() for name in re.split(r",(?![^()]*\))", text) if name.strip())


def run_command(
    ctx: click.Context,
    command: Callable[[Services], Coroutine[None, None, int]],
    flags: dict[str, Any] | None = None,
) -> NoReturn:
    """Run a command on the services, close them, and exit with its code."""
    from spnl_tui.headless import output

    services = services_for(ctx, flags)

    async def main() -> int:
        async with services:
            return await command(services)

    ctx.exit(output.run(main()))


def services_for(ctx: click.Context, flags: dict[str, Any] | None = None) -> Services:
    """Return the services for the options of the group, and these flags of the command."""
    given = {name: value for name, value in (flags or {}).items() if value is not None}
    return open_services(ctx.obj["config"], ctx.obj["persona"], {**ctx.obj["flags"], **given})
