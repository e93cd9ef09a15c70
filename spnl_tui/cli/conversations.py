"""The commands on conversations: `spnl-chat history …`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from spnl_tui.cli.common import TEXT, json_option, run_command


@click.group()
def history() -> None:
    """The conversations: list, search, show, export, import, replay, rm."""


@history.command("list")
@click.option("--limit", type=click.IntRange(1, 1_000_000), default=50, help="How many to show.")
@click.option("--archived", is_flag=True, help="Those in the archive.")
@click.option("--tag", type=TEXT, help="Those with this tag.")
@click.option("-m", "--model", type=TEXT, help="Those with this model.")
@json_option
@click.pass_context
def history_list(ctx: click.Context, /, json_: bool, **where: Any) -> None:
    """List conversations, the last changed first."""
    from spnl_tui.headless import conversations as commands

    run_command(ctx, lambda s: commands.list_conversations(s, json_=json_, **where))


@history.command("search")
@click.argument("words", nargs=-1, required=True, type=TEXT)
@click.option("--limit", type=click.IntRange(1, 1_000_000), default=20, help="How many to show.")
@click.option("-m", "--model", type=TEXT, help="Replies of this model.")
@json_option
@click.pass_context
def history_search(
    ctx: click.Context, /, words: tuple[str, ...], limit: int, model: str | None, json_: bool
) -> None:
    """Find the turns that hold all WORDS."""
    from spnl_tui.headless import conversations as commands

    run_command(ctx, lambda s: commands.search(s, " ".join(words), limit=limit, model=model, json_=json_))


@history.command("show")
@click.argument("id")
@json_option
@click.pass_context
def history_show(ctx: click.Context, /, id: str, json_: bool) -> None:
    """Show the conversation whose id begins with ID."""
    from spnl_tui.headless import conversations as commands

    run_command(ctx, lambda s: commands.show(s, id, json_=json_))


@history.command("export")
@click.argument("ids", nargs=-1, metavar="[ID]...")
@click.option("--format", "format_", type=click.Choice(["json", "markdown", "query"]), default="json")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write to this file.")
@click.pass_context
def history_export(ctx: click.Context, /, ids: tuple[str, ...], format_: Any, output: Path | None) -> None:
    """Export conversations, or all of them, as lossless JSON or as Markdown; or one as a query."""
    from spnl_tui.headless import conversations as commands

    run_command(ctx, lambda s: commands.export(s, ids, format=format_, output=output))


@history.command("import")
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE...")
@json_option
@click.pass_context
def history_import(ctx: click.Context, /, paths: tuple[Path, ...], json_: bool) -> None:
    """Import exports of spnl-chat, ChatGPT (conversations.json) or oterm."""
    from spnl_tui.headless import import_conversations

    run_command(ctx, lambda s: import_conversations.import_files(s, paths, json_=json_))


@history.command("replay")
@click.argument("id")
@json_option
@click.pass_context
def history_replay(ctx: click.Context, /, id: str, json_: bool) -> None:
    """Run the replies of a conversation again, and show where they differ."""
    from spnl_tui.headless import conversations as commands

    run_command(ctx, lambda s: commands.replay_replies(s, id, json_=json_))


@history.command("rm")
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.pass_context
def history_rm(ctx: click.Context, /, ids: tuple[str, ...], yes: bool) -> None:
    """Delete conversations for good."""
    from spnl_tui.headless import conversations as commands

    run_command(
        ctx,
        lambda s: commands.remove(s, ids, confirm=lambda question: yes or click.confirm(question, err=True)),
    )
