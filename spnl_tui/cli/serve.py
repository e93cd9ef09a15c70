"""The command `serve`."""

from __future__ import annotations

import click

from spnl_tui.cli.common import run_command


@click.command()
@click.option(
    "-m", "--model", "models", multiple=True,
    help="Serve this model only; may be repeated. Without it, all models of this machine are served.",
)  # fmt: skip
@click.option("--host", help="The address to listen on. All but those of this machine need a key.")
@click.option("--port", type=int, help="The port to listen on; 0 takes a free one.")
@click.option("--api-key-env", metavar="NAME", help="The environment variable that holds the key of clients.")
@click.pass_context
def serve(
    ctx: click.Context,
    /,
    models: tuple[str, ...],
    host: str | None,
    port: int | None,
    api_key_env: str | None,
) -> None:
    """Serve models to other programs, through OpenAI's API.

    Editors, agents and scripts use the address that is printed as their base URL. Ctrl+C ends it.
    """
    from spnl_tui.headless.servers import serve as command

    flags = {"server.host": host, "server.port": port, "server.api_key_env": api_key_env}
    run_command(ctx, lambda services: command.serve(services, models), flags)
