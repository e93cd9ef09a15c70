"""Shell completions and the man page, both generated from the commands themselves."""

from __future__ import annotations

import click

_PROGRAM = "spnl-chat"
_VARIABLE = "_SPNL_CHAT_COMPLETE"


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completions(ctx: click.Context, /, shell: str) -> None:
    """Print the completion script for SHELL.

    \b
    bash: eval "$(spnl-chat completions bash)" in ~/.bashrc
    zsh:  eval "$(spnl-chat completions zsh)" in ~/.zshrc, after compinit
    fish: spnl-chat completions fish > ~/.config/fish/completions/spnl-chat.fish
    """
    from click.shell_completion import BashComplete, FishComplete, ZshComplete

    group = ctx.find_root().command
    complete = {"bash": BashComplete, "zsh": ZshComplete, "fish": FishComplete}[shell](
        group, {}, _PROGRAM, _VARIABLE
    )
    # Not source(): it would start bash to learn its version.
    click.echo(complete.source_template % complete.source_vars())
    if shell == "bash":
        # A colon is a part of a model's name, and no end of a word.
        click.echo("COMP_WORDBREAKS=${COMP_WORDBREAKS//:}")


@click.command()
@click.pass_context
def man(ctx: click.Context, /) -> None:
    """Print the man page: spnl-chat man > spnl-chat.1"""
    root = ctx.find_root()
    group = root.command
    lines = [
        f'.TH SPNL-CHAT 1 "" "{_PROGRAM}" "User Commands"',
        ".SH NAME",
        f"{_PROGRAM} \\- {_roff('chat with language models that run on this machine')}",
    ]
    context = click.Context(group, info_name=_PROGRAM)
    lines += [".SH SYNOPSIS", f".B {_roff(_PROGRAM)}", _roff(" ".join(group.collect_usage_pieces(context)))]
    lines += [".SH DESCRIPTION", *_paragraphs(group)]
    lines += [".SH OPTIONS", *_options(group, context), ".SH COMMANDS"]
    for inner, command in _commands(context):
        pieces = " ".join(command.collect_usage_pieces(inner))
        lines += [f".SS {_roff(f'{inner.command_path} {pieces}')}", *_paragraphs(command)]
        lines += _options(command, inner)
    click.echo("\n".join(lines))


def _commands(context: click.Context) -> list[tuple[click.Context, click.Command]]:
    """Return every command below this one with its context, groups before their commands."""
    found: list[tuple[click.Context, click.Command]] = []
    if not isinstance(context.command, click.Group):
        return found
    for name in context.command.list_commands(context):
        command = context.command.get_command(context, name)
        assert command is not None
        inner = click.Context(command, info_name=name, parent=context)
        found += [(inner, command), *_commands(inner)]
    return found


def _paragraphs(command: click.Command) -> list[str]:
    text = (command.help or "").replace("\b\n", "")
    lines: list[str] = []
    for paragraph in text.split("\n\n"):
        lines += [".PP", *(_roff(line.strip()) for line in paragraph.splitlines())]
    return lines


def _options(command: click.Command, context: click.Context) -> list[str]:
    lines: list[str] = []
    for parameter in command.get_params(context):
        if (record := parameter.get_help_record(context)) is not None:
            names, text = record
            lines += [".TP", f".B {_roff(names)}", _roff(text)]
    return lines


def _roff(text: str) -> str:
    """Return the text on one line with everything escaped that roff would interpret."""
    escaped = " ".join(text.split()).replace("\\", "\\e").replace("-", "\\-")
    escaped = "".join(each if each.isascii() else f"\\[u{ord(each):04X}]" for each in escaped)
    return f"\\&{escaped}" if escaped[:1] in (".", "'") else escaped
