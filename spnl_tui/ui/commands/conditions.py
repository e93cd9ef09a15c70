"""Conditions that several commands need. The first one that fails gives the reason."""

from __future__ import annotations

from spnl_tui.text import plain
from spnl_tui.ui.commands.command import AVAILABLE, Availability, Condition, Unavailable
from spnl_tui.ui.commands.context import CommandContext


def unless(holds: bool, reason: str) -> Availability:
    """Return Available if this holds, else the reason."""
    return AVAILABLE if holds else Unavailable(reason)


def chat_is_shown(context: CommandContext) -> Availability:
    """The conversation is on the screen, not another pane."""
    return unless(
        context.panes.seen == "chat", "This is a command for the conversation. Press {view.chat} to show it."
    )


def list_is_not_focused(context: CommandContext) -> Availability:
    """The user is not in the list of conversations."""
    return unless(
        not context.chat.conversation_list.has_focus,
        "This command does not work in the list. Press {talks.leave} to leave the list.",
    )


def model_is_chosen(context: CommandContext) -> Availability:
    """There is a model to ask."""
    if context.model.model is None:
        return Unavailable(context.model_controller.why_none)
    gone = context.sessions.visible.unsettled_model
    why = f"This conversation was held with {plain(gone)}, which is not on this machine."
    return unless(not gone, f"{why} Send a prompt to let another model answer, or press {{view.models}}.")


def no_reply_in_progress(context: CommandContext) -> Availability:
    """The conversation on the screen is not being replied to."""
    return unless(not context.replying, "A reply is in progress. Press {chat.stop} to stop it.")


def conversations_are_saved(context: CommandContext) -> Availability:
    """There is a store of conversations."""
    return unless(context.store.keeps, "Conversations are not saved.")


def conversation_has_turns(context: CommandContext) -> Availability:
    """Something was said in the conversation on the screen."""
    return unless(len(context.conversation) > 0, "This conversation is still empty.")


def cursor_is_on_turn(context: CommandContext) -> Availability:
    """The cursor is on a turn."""
    return unless(
        context.turns.under_cursor() is not None, "No turn is selected. Press {turn.up} to select one."
    )


IN_CHAT: tuple[Condition, ...] = (chat_is_shown, list_is_not_focused)
"""For commands on the conversation or the prompt."""
WITH_TURNS: tuple[Condition, ...] = (*IN_CHAT, conversation_has_turns)
"""For commands on what was said."""
AT_REST: tuple[Condition, ...] = (*IN_CHAT, no_reply_in_progress, conversation_has_turns)
"""For commands that change what was said."""
