"""Which keys the footer shows: at most six, of the focused widget, the most useful first."""

from __future__ import annotations

from spnl_tui.ui.commands.context import CommandContext

MOST = 6
LAST = ("app.palette", "app.help")
"""The two keys at the end of the footer; they lead to all others."""

_REPLYING = ("chat.stop", "chat.new", "talks.list", "view.models")
_TURN = ("turn.edit", "chat.copy", "list.menu", "turn.leave")
_EDITING = ("chat.send", "chat.newline", "turn.leave")
_CANDIDATES = ("many.pick", "many.before", "many.after", "many.judge")
_COMPLETING = ("chat.complete", "chat.send", "chat.close_list")
_FINDING = ("find.earlier", "find.later", "find.close")
_WITH_TURNS = ("chat.send", "chat.regenerate", "chat.copy", "turn.up", "chat.new", "talks.list")
_EMPTY = ("chat.send", "chat.earlier", "talks.list", "view.models")


def chat_footer(context: CommandContext) -> tuple[str, ...]:
    """Return the ids of commands to show while the conversation has the focus, the most useful first.

    Those that are not available are left out. Empty: show what each command says of itself.
    """
    if context.panes.seen != "chat" or context.chat.conversation_list.has_focus:
        return ()
    visible = context.sessions.visible
    if context.find.looking:
        return _FINDING
    if context.prompt.completing:
        return _COMPLETING
    if context.replying:
        return _REPLYING
    if visible.selection.edited:
        return _EDITING
    if context.turns.under_cursor() is not None:
        return _TURN
    if context.candidates.shown is not None:
        return _CANDIDATES
    return _WITH_TURNS if len(context.conversation) else _EMPTY
