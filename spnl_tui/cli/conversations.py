"""The commands on conversations: `spnl-chat history …`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from spnl_tui.cli.common import TEXT, completes, json_option, run_command


@click.group()
def history() -> None:
    """The conversations: list, search, show, export, import, replay, rm."""


@history.command("list")
@click.option("--limit", type=click.IntRange(1, 1_000_000), default=50, help="How many to show.")
@click.option("--archived", is_flag=True, help="Those in the archive.")
@click.option("--tag", type=TEXT, help="Those with this tag.")
@click.option("-m", "--model", shell_complete=completes("models"), type=TEXT, help="Those with this model.")
@json_option
@click.pass_context
def history_list(ctx: click.Context, /, json_: bool, **where: Any) -> None:
    """List conversations, the last changed first."""
    from spnl_tui.headless import conversations as commands

    run_command(ctx, lambda s: commands.list_conversations(s, json_=json_, **where))


@history.command("search")
@click.argument("words", nargs=-1, required=True, type=TEXT)
@click.option("--limit", type=click.IntRange(1, 1_000_000), default=20, help="How many to show.")
@click.option("-m", "--model", shell_complete=completes("models"), type=TEXT, help="Replies of this model.")
@json_option
@click.pass_context
def history_search(
    ctx: click.Context, /, words: tuple[str, ...], limit: int, model: str | None, json_: bool
) -> None:
    """Find the turns that hold all WORDS."""
    from spnl_tui.headless import conversations as commands

    run_command(ctx, lambda s: commands.search(s, " ".join(words), limit=limit, model=model, json_=json_))


@history.command("show")
@click.argument("id", shell_complete=completes("conversations"))
@json_option
@click.pass_context
def history_show(ctx: click.Context, /, id: str, json_: bool) -> None:
    """Show the conversation whose id begins with ID."""
    from spnl_tui.headless import conversations as commands

    run_command(ctx, lambda s: commands.show(s, id, json_=json_))


@history.command("export")
@click.argument("ids", shell_complete=completes("conversations"), nargs=-1, metavar="[ID]...")
@click.option(
    "--format",
    "format_",
    type=click.Choice(["json", "markdown", "html", "openai", "sharegpt", "query"]),
    default="json",
)
@click.option("--tag", type=TEXT, help="Only those with this tag.")
@click.option("--search", "words", type=TEXT, help="Only those with a turn that holds these words.")
@click.option("--branch", help='"active", "all", or the id of the turn at which the branch ends.')
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write to this file.")
@click.pass_context
def history_export(
    ctx: click.Context,
    /,
    ids: tuple[str, ...],
    format_: Any,
    tag: str | None,
    words: str | None,
    branch: str | None,
    output: Path | None,
) -> None:
    """Export conversations, by id, tag or words, or all of them.

    json loses nothing; markdown and html are to read; openai (JSON lines) and sharegpt are for other
    programs; query makes a span query of one conversation.
    """
    from spnl_tui.headless.history import exporting

    selection = exporting.Selection(ids=ids, tag=tag, words=words, branch=branch)
    run_command(ctx, lambda s: exporting.export(s, selection, format=format_, output=output))


@history.command("import")
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path), metavar="[PATH]...")
@click.option(
    "--from",
    "program",
    type=click.Choice(["aichat", "llm", "lm-studio", "ollama", "open-webui", "oterm", "parllama"]),
    help="Read what this program keeps on this disk.",
)
@click.option("--dry-run", is_flag=True, help="Show what would be imported, and save nothing.")
@json_option
@click.pass_context
def history_import(
    ctx: click.Context, /, paths: tuple[Path, ...], program: str | None, dry_run: bool, json_: bool
) -> None:
    """Import conversations of other programs from files, folders, ZIP files and databases.

    Exports of spnl-chat, ChatGPT, Claude, Gemini (Takeout), Open WebUI, LM Studio, oterm, parllama, aichat
    and llm; OpenAI messages, ShareGPT and Markdown. Importing again updates.
    """
    from spnl_tui.headless import import_conversations

    if not paths and program is None:
        raise click.UsageError("Name a file or a folder, or give --from PROGRAM.")
    run_command(
        ctx,
        lambda s: import_conversations.import_files(s, paths, program=program, dry_run=dry_run, json_=json_),
    )


@history.command("replay")
@click.argument("id", shell_complete=completes("conversations"))
@json_option
@click.pass_context
def history_replay(ctx: click.Context, /, id: str, json_: bool) -> None:
    """Run the replies of a conversation again, and show where they differ."""
    from spnl_tui.headless import conversations as commands

    run_command(ctx, lambda s: commands.replay_replies(s, id, json_=json_))


@history.command("check")
@json_option
@click.pass_context
def history_check(ctx: click.Context, /, json_: bool) -> None:
    """Read the whole store and report damage."""
    from spnl_tui.headless.history import keeping

    run_command(ctx, lambda s: keeping.check_store(s, json_=json_))


@history.command("backup")
@click.argument("path", required=False, type=click.Path(path_type=Path), metavar="[FILE]")
@click.option("--daily", is_flag=True, help="Only if there is none of today; delete the oldest.")
@click.pass_context
def history_backup(ctx: click.Context, /, path: Path | None, daily: bool) -> None:
    """Copy the store to FILE, or to the backups in the data directory. Other programs may use it."""
    from spnl_tui.headless.history import keeping

    run_command(ctx, lambda s: keeping.back_up_store(s, path, daily=daily))


@history.command("restore")
@click.argument("path", required=False, type=click.Path(path_type=Path), metavar="[FILE]")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.pass_context
def history_restore(ctx: click.Context, /, path: Path | None, yes: bool) -> None:
    """Put a backup into the place of the store, which is kept beside it. Without FILE, list the backups."""
    from spnl_tui.headless.history import keeping

    def confirm(question: str) -> bool:
        return yes or click.confirm(question, err=True)

    run_command(ctx, lambda s: keeping.restore_store(s, path, confirm=confirm))


@history.command("merge")
@click.argument("path", type=click.Path(path_type=Path), metavar="FILE")
@click.option("--dry-run", is_flag=True, help="Show what would be merged, and save nothing.")
@json_option
@click.pass_context
def history_merge(ctx: click.Context, /, path: Path, dry_run: bool, json_: bool) -> None:
    """Add the conversations of another machine's store: its conversations.db, or a backup of it."""
    from spnl_tui.headless.history import keeping

    run_command(ctx, lambda s: keeping.merge_store(s, path, dry_run=dry_run, json_=json_))


@history.command("rm")
@click.argument("ids", shell_complete=completes("conversations"), nargs=-1, required=True, metavar="ID...")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.pass_context
def history_rm(ctx: click.Context, /, ids: tuple[str, ...], yes: bool) -> None:
    """Delete conversations for good."""
    from spnl_tui.headless import conversations as commands

    run_command(
        ctx,
        lambda s: commands.remove(s, ids, confirm=lambda question: yes or click.confirm(question, err=True)),
    )
