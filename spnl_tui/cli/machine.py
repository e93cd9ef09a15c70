"""The commands on this machine: `bench` and `doctor`."""

from __future__ import annotations

import click

from spnl_tui.cli.common import completes, json_option, run_command


@click.command()
@click.argument("model", required=False, shell_complete=completes("models"))
@click.option("--against", type=click.Choice(["llama.cpp"]), help="Measure this beside it.")
@json_option
@click.pass_context
def bench(ctx: click.Context, /, model: str | None, against: str | None, json_: bool) -> None:
    """Measure how fast MODEL is here, as planned and as stored. Do not use the machine meanwhile."""
    from spnl_tui.headless import bench as command

    # Its own process measures: a resident engine has its own threads, and other clients.
    flags = {"model.default": model, "engine.resident": "never"}
    run_command(ctx, lambda s: command.bench(s, against=against, json_=json_), flags)


@click.command()
@json_option
@click.pass_context
def doctor(ctx: click.Context, /, json_: bool) -> None:
    """Check this machine and this installation, and say how to fix what is wrong."""
    from spnl_tui.headless import doctor as command

    run_command(ctx, lambda s: command.doctor(s, json_=json_))
