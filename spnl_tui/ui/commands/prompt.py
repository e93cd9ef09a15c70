"""Commands for writing a prompt. Most are keys of the prompt itself, run in the order typed."""

from __future__ import annotations

from spnl_tui.ui.commands.command import Availability, Command, Worker
from spnl_tui.ui.commands.conditions import IN_CHAT, unless
from spnl_tui.ui.commands.context import CommandContext

_GROUP = "Prompt"


def _list_is_open(context: CommandContext) -> Availability:
    return unless(context.prompt.completing, "There is nothing to complete.")


def _is_typing(context: CommandContext) -> Availability:
    typing = bool(context.prompt.text) and context.turns.under_cursor() is None
    return unless(typing, "Nothing is typed.")


def _delete_or_leave(context: CommandContext) -> None:
    """Ctrl+D is a habit from shells: it ends the input, and deletes where there is any."""
    if context.prompt.text:
        context.prompt.action_delete_right()
    else:
        context.program.ask_to_quit()


def _attach(context: CommandContext) -> None:
    """Add the mention of a file at the end of the prompt, or begin one for the user to complete."""
    prompt, path = context.prompt, context.argument
    quoted = f'"{path}"' if " " in path else path
    space = "" if not prompt.text or prompt.text[-1].isspace() else " "
    prompt.move_cursor(prompt.document.end)
    prompt.insert(f"{space}@{quoted}{' ' if path else ''}")
    prompt.focus()


COMMANDS = (
    Command(
        id="chat.send",
        keys="enter",
        run=lambda c: c.prompt.submit(),
        label="Send",
        help="Send the prompt.",
        group=_GROUP,
        place="prompt",
        palette=False,
    ),
    Command(
        id="chat.newline",
        keys="ctrl+j,shift+enter,alt+enter",
        run=lambda c: c.prompt.insert_newline(),
        label="New line",
        help="Start a new line in the prompt.",
        group=_GROUP,
        place="prompt",
        palette=False,
    ),
    Command(
        id="chat.earlier",
        keys="up",
        run=lambda c: c.prompt.go_up(),
        label="Earlier prompt",
        help="Bring back an earlier prompt (on the first line).",
        group=_GROUP,
        place="prompt",
        palette=False,
    ),
    Command(
        id="chat.later",
        keys="down",
        run=lambda c: c.prompt.go_down(),
        label="Later prompt",
        help="Go to a later prompt (on the last line).",
        group=_GROUP,
        place="prompt",
        palette=False,
    ),
    Command(
        id="chat.complete",
        keys="tab",
        run=lambda c: c.prompt.complete(),
        needs=(_list_is_open,),
        label="Complete",
        help="Insert the highlighted suggestion from the list above the prompt.",
        group=_GROUP,
        place="prompt",
        palette=False,
    ),
    Command(
        id="chat.close_list",
        keys="escape",
        run=lambda c: c.prompt.close_completions(),
        needs=(*IN_CHAT, _list_is_open),
        label="Close",
        help="Close the list of suggestions above the prompt.",
        group=_GROUP,
        palette=False,
    ),
    Command(
        id="find.close",
        keys="escape",
        run=lambda c: c.find.close(),
        needs=(*IN_CHAT, lambda c: unless(c.find.looking, "The search line is not open.")),
        worker=Worker(group="find", exclusive=True),
        label="Close",
        help="Close the search line and remove the highlights.",
        group=_GROUP,
        palette=False,
    ),
    Command(
        id="chat.line_end",
        keys="ctrl+e",
        run=lambda c: c.prompt.action_cursor_line_end(),
        needs=(_is_typing,),
        label="End of line",
        help="Move to the end of the line (while something is typed and no turn is selected).",
        group=_GROUP,
        place="prompt",
        palette=False,
    ),
    Command(
        id="chat.end_of_input",
        keys="ctrl+d",
        run=_delete_or_leave,
        label="Delete, or leave",
        help="Delete the character to the right; on an empty prompt, quit.",
        group=_GROUP,
        place="prompt",
        palette=False,
    ),
    Command(
        id="chat.delete_word",
        keys="alt+d",
        run=lambda c: c.prompt.action_delete_word_right(),
        label="Delete word",
        help="Delete the word to the right.",
        group=_GROUP,
        place="prompt",
        palette=False,
    ),
    Command(
        id="chat.attach",
        keys="",
        run=_attach,
        needs=IN_CHAT,
        label="Attach a file",
        help="Attach a file to the prompt: type @ and its path.",
        synonyms="attach upload add file document image @",
        group=_GROUP,
        slash="attach",
        argument="FILE",
    ),
    Command(
        id="chat.editor",
        keys="alt+e",
        run=lambda c: c.prompts.edit(),
        needs=IN_CHAT,
        worker=Worker(group="editor"),
        label="Editor",
        help="Edit the prompt in the editor set by $VISUAL or $EDITOR.",
        group=_GROUP,
        slash="edit",
    ),
)
