"""The command group `spnl-chat`, which opens the interface if no command is given."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from spnl_tui.cli.common import TEXT, completes, names_in, services_for
from spnl_tui.cli.start import has_terminal, open_interface
from spnl_tui.errors import SpnlError

_COMMANDS = {
    "run": "run.run",
    "map": "run.map_",
    "pull": "models.pull",
    "pulls": "models.pulls",
    "search": "models.search",
    "show": "models.show",
    "list": "models.list_",
    "rm": "models.rm",
    "import": "models.import_",
    "history": "conversations.history",
    "bench": "machine.bench",
    "doctor": "machine.doctor",
    "endpoints": "endpoints.endpoints",
    "serve": "serve.serve",
    "engine": "engine.engine",
    "ps": "engine.ps",
    "unload": "engine.unload",
    "completions": "shell.completions",
    "man": "shell.man",
}
"""Each command as its module in `spnl_tui.cli` and its name there. The interface starts without them."""


class _Cli(click.Group):
    """A group that imports a command when it is used, and shows a SpnlError as title, message and hint."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, _, name = _COMMANDS[cmd_name].partition(".")
        command: click.Command = getattr(import_module(f"spnl_tui.cli.{module}"), name)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except SpnlError as error:
            from spnl_tui.headless.output import FAILED, show_error

            show_error(error)
            ctx.exit(FAILED)


@click.group(cls=_Cli, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="spnl-chat", prog_name="spnl-chat")
@click.option("--config", type=click.Path(path_type=Path), help="Read this configuration file.")
@click.option(
    "-m",
    "--model",
    shell_complete=completes("models"),
    help='The model to talk to: "starter", a name, or a path.',
)
@click.option("--projector", help="The projector (mmproj) of the model, if it is not beside it.")
@click.option("-p", "--persona", help="Take system prompt, model and sampling from this persona.")
@click.option("--tools", help="Tools that the model may call: files,command,web,time,math or their names.")
@click.option(
    "--workspace",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The folder of file tools and commands.",
)
@click.option("--theme", help="The theme of the interface.")
@click.option(
    "--resume",
    shell_complete=completes("conversations"),
    is_flag=False,
    flag_value="",
    metavar="[ID]",
    type=TEXT,
    help="Continue the last conversation, or the one whose id begins with ID.",
)
@click.option("--query", type=click.Path(path_type=Path), help="Open the query in this file as a chat.")
@click.option(
    "--line", is_flag=True, help="Chat in plain lines, without a screen. The default with TERM=dumb."
)
@click.pass_context
def cli(
    ctx: click.Context,
    config: Path | None,
    model: str | None,
    projector: str | None,
    persona: str | None,
    tools: str | None,
    workspace: Path | None,
    theme: str | None,
    resume: str | None,
    query: Path | None,
    line: bool,
) -> None:
    """Chat with language models that run on this machine.

    Without a command the interface opens. Settings come from the configuration file, then the environment,
    then these flags.
    """
    flags = {
        "model.default": model,
        "model.projector": projector,
        "interface.theme": theme,
        "tools.enabled": None if tools is None else names_in(tools),
        "tools.workspace": workspace,
    }
    ctx.obj = {"config": config, "persona": persona, "flags": flags}
    if ctx.invoked_subcommand is None:
        if line or (os.environ.get("TERM") == "dumb" and sys.stdin.isatty()):
            if query is not None:
                raise click.UsageError("--query needs the interface, without --line.")
            _chat_in_lines(ctx, resume)
        if not has_terminal():
            raise click.UsageError('The interface needs a terminal. Scripts use: spnl-chat run "…"')
        services = services_for(ctx)
        opened = None
        if query is not None:
            import asyncio

            from spnl_tui.headless.run_query import QuerySource, open_as_chat

            opened = asyncio.run(open_as_chat(services, QuerySource.from_file(query), model))
        ctx.exit(open_interface(services, resume=resume, opened=opened))


def _chat_in_lines(ctx: click.Context, resume: str | None) -> None:
    from spnl_tui.line.repl import chat_in_lines

    ctx.exit(chat_in_lines(services_for(ctx), resume=resume))
