"""Commands for the last reply (stop, regenerate, copy, show the reasoning) and for the tools in replies."""

from __future__ import annotations

from spnl_tui.ui.commands.command import AVAILABLE, Availability, Command, Unavailable, Worker
from spnl_tui.ui.commands.conditions import (
    IN_CHAT,
    WITH_TURNS,
    conversation_has_turns,
    model_is_chosen,
    no_reply_in_progress,
    unless,
)
from spnl_tui.ui.commands.context import CommandContext

_GROUP = "Reply"
_TOOLS = "Tools"
_ASKS_MODEL = (*IN_CHAT, model_is_chosen, no_reply_in_progress, conversation_has_turns)


def _is_replying(context: CommandContext) -> Availability:
    return unless(context.replying, "No reply is in progress.")


def _has_reply(context: CommandContext) -> Availability:
    return unless(context.reply.turn() is not None, "The last turn is not a reply.")


def _has_reasoning(context: CommandContext) -> Availability:
    last = context.reply.turn()
    return unless(
        (last is not None and bool(last.reasoning)) or context.replying or context.chat.transcript.summarized,
        "The last reply has no reasoning, and nothing was summarized.",
    )


def _unless_missing(context: CommandContext, found: bool, reason: str) -> Availability:
    """Return Available if this was found, else why it is missing."""
    if found:
        return AVAILABLE
    for condition in (no_reply_in_progress, conversation_has_turns):
        if isinstance(answer := condition(context), Unavailable):
            return answer
    return Unavailable(reason)


def _has_text(context: CommandContext) -> Availability:
    turn = context.clipboard.target()
    found = len(context.conversation) > 0 if context.argument else turn is not None and bool(turn.text)
    return _unless_missing(context, found, "There is no reply to copy.")


def _has_code(context: CommandContext) -> Availability:
    turn = context.clipboard.target()
    found = turn is not None and ("```" in turn.text or "~~~" in turn.text)
    return _unless_missing(context, found, "The reply contains no code block.")


COMMANDS = (
    Command(
        id="chat.stop",
        keys="escape",
        run=lambda c: c.reply.stop(),
        needs=(*IN_CHAT, _is_replying),
        label="Stop",
        help="Stop the reply and keep the text so far.",
        synonyms="cancel interrupt abort",
        group=_GROUP,
        slash="stop",
    ),
    Command(
        id="chat.regenerate",
        keys="ctrl+r",
        run=lambda c: c.reply.regenerate(),
        needs=(*_ASKS_MODEL, _has_reply),
        label="Again",
        help="Ask for another reply to the last prompt.",
        synonyms="regenerate retry another reply",
        group=_GROUP,
        slash="retry",
        aliases=("regenerate",),
    ),
    Command(
        id="chat.copy",
        keys="ctrl+y",
        run=lambda c: c.clipboard.copy(c.argument),
        needs=(*IN_CHAT, _has_text),
        worker=Worker(group="dialog", exclusive=True),
        on_turn=True,
        label="Copy",
        help="Copy the last reply, or the selected turn.",
        synonyms="clipboard yank",
        group=_GROUP,
        slash="copy",
        argument="[all|code]",
    ),
    Command(
        id="chat.copy_code",
        keys="ctrl+b",
        run=lambda c: c.clipboard.code(),
        needs=(*IN_CHAT, _has_code),
        worker=Worker(group="dialog", exclusive=True),
        on_turn=True,
        label="Code",
        help="Copy a code block of the last reply, or of the selected turn.",
        group=_GROUP,
        slash="code",
    ),
    Command(
        id="chat.copy_all",
        keys="alt+y",
        run=lambda c: c.clipboard.conversation(),
        needs=WITH_TURNS,
        worker=Worker(group="dialog", exclusive=True),
        label="Copy all",
        help="Copy the conversation on the screen as Markdown.",
        group=_GROUP,
        slash="copy-all",
    ),
    Command(
        id="chat.thinking",
        keys="ctrl+t",
        run=lambda c: c.reply.toggle_thinking(),
        needs=(*WITH_TURNS, _has_reasoning),
        label="Thinking",
        help="Show or hide the model's reasoning and the summary of earlier turns.",
        synonyms="reasoning thoughts",
        group=_GROUP,
        slash="thinking",
    ),
    Command(
        id="tools.choose",
        keys="",
        run=lambda c: c.tools.choose(c.argument),
        needs=IN_CHAT,
        label="Tools",
        help="Choose the tools of this conversation, such as /tools files,time; /tools none turns them off.",
        group=_TOOLS,
        slash="tools",
        argument="NAMES",
    ),
    Command(
        id="tools.permissions",
        keys="",
        run=lambda c: c.tools.permissions(),
        needs=IN_CHAT,
        worker=Worker(group="permissions", exclusive=True),
        label="Permissions",
        help="List the calls that need no question, and revoke some.",
        group=_TOOLS,
        slash="permissions",
    ),
    Command(
        id="tools.answer",
        keys="alt+h",
        run=lambda c: c.tools.focus(),
        needs=(*IN_CHAT, lambda c: unless(c.tools.asking, "No call waits for your permission.")),
        label="Answer",
        help="Go to the question about a call.",
        group=_TOOLS,
    ),
    Command(
        id="tools.results",
        keys="alt+o",
        run=lambda c: c.reply.toggle_results(),
        needs=(*IN_CHAT, lambda c: unless(c.reply.has_calls(), "The last reply has called no tools.")),
        label="Results",
        help="Show or hide the results of the calls in the last reply.",
        group=_TOOLS,
    ),
)
