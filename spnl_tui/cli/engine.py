"""The commands on the resident engine: `engine`, `ps` and `unload`."""

from __future__ import annotations

import click

from spnl_tui.cli.common import json_option, run_command

_ITSELF = {"engine.resident": "never"}


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def engine() -> None:
    """Keep models loaded for all programs, in one process in the background."""


@engine.command()
@click.pass_context
def start(ctx: click.Context, /) -> None:
    """Start the resident engine."""
    from spnl_tui.headless.servers import engine as command

    run_command(ctx, command.start)


@engine.command()
@click.pass_context
def stop(ctx: click.Context, /) -> None:
    """Stop the resident engine and unload its models."""
    from spnl_tui.headless.servers import engine as command

    run_command(ctx, command.stop)


@engine.command()
@json_option
@click.pass_context
def status(ctx: click.Context, /, json_: bool) -> None:
    """Show whether the resident engine runs, and for whom."""
    from spnl_tui.headless.servers import engine as command

    run_command(ctx, lambda services: command.status(services, json_=json_))


@engine.command()
@click.option("-f", "--follow", is_flag=True, help="Continue with what is added, until Ctrl+C.")
@click.pass_context
def logs(ctx: click.Context, /, follow: bool) -> None:
    """Print the end of the log of the resident engine."""
    from spnl_tui.headless.servers import engine as command

    run_command(ctx, lambda services: command.logs(services, follow=follow))


@engine.command()
@click.pass_context
def run(ctx: click.Context, /) -> None:
    """Be the resident engine, in the foreground, for systemd and launchd."""
    from spnl_tui.headless.servers import engine as command

    run_command(ctx, command.run, _ITSELF)


@click.command()
@json_option
@click.pass_context
def ps(ctx: click.Context, /, json_: bool) -> None:
    """List the models that are loaded, for whom, and until when."""
    from spnl_tui.headless.servers import engine as command

    run_command(ctx, lambda services: command.ps(services, json_=json_))


@click.command()
@click.argument("model")
@click.pass_context
def unload(ctx: click.Context, /, model: str) -> None:
    """Unload MODEL from the resident engine."""
    from spnl_tui.headless.servers import engine as command

    run_command(ctx, lambda services: command.unload(services, model))
