"""The command `endpoints`."""

from __future__ import annotations

import click

from spnl_tui.cli.common import TEXT, json_option, run_command


@click.command()
@click.argument("name", required=False, type=TEXT)
@json_option
@click.pass_context
def endpoints(ctx: click.Context, /, name: str | None, json_: bool) -> None:
    """List the servers that can answer, or the models of the one called NAME.

    Servers are those of [endpoints.NAME] in the configuration, and openai, gemini, ollama, llamacpp, lmstudio
    and vllm at their usual addresses. Chat with a model of one: spnl-chat -m NAME/MODEL.
    """
    from spnl_tui.headless.servers.endpoints import endpoints as command

    run_command(ctx, lambda s: command(s, name, json_=json_))
