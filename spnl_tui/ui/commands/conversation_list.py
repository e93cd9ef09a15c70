"""Commands for one conversation: the highlighted one in the list, else the one on the screen."""

from __future__ import annotations

from spnl_tui.ui.commands.command import Availability, Command, Condition, Worker
from spnl_tui.ui.commands.conditions import chat_is_shown, conversations_are_saved, unless
from spnl_tui.ui.commands.context import CommandContext

_GROUP = "List of conversations"
_CONVERSATIONS = Worker(group="talk")


def _has_target(context: CommandContext) -> Availability:
    return unless(context.conversations.target() is not None, "This conversation is still empty.")


def _list_is_shown(context: CommandContext) -> Availability:
    return unless(
        context.chat.conversation_list.display, "The list is hidden. Press {talks.list} to show it."
    )


def _one_is_highlighted(context: CommandContext) -> Availability:
    return unless(context.chat.conversation_list.chosen is not None, "No conversation is highlighted.")


_ON_TARGET: tuple[Condition, ...] = (chat_is_shown, conversations_are_saved, _has_target)

COMMANDS = (
    Command(
        id="talks.open",
        keys="enter",
        run=lambda c: c.conversations.open_highlighted(),
        needs=(chat_is_shown, _one_is_highlighted),
        worker=_CONVERSATIONS,
        label="Open",
        help="Open the highlighted conversation.",
        group=_GROUP,
        place="talks",
        footer=True,
        palette=False,
    ),
    Command(
        id="talks.rename",
        keys="f6",
        run=lambda c: c.conversations.rename(c.argument),
        needs=_ON_TARGET,
        worker=_CONVERSATIONS,
        label="Rename",
        help="Change the title of the conversation.",
        group=_GROUP,
        slash="rename",
        argument="TITLE",
        place="talks",
        footer=True,
    ),
    Command(
        id="talks.pin",
        keys="alt+p",
        run=lambda c: c.conversations.pin(),
        needs=_ON_TARGET,
        worker=_CONVERSATIONS,
        label="Pin",
        help="Pin the conversation to the top of the list, or unpin it.",
        group=_GROUP,
        slash="pin",
        place="talks",
    ),
    Command(
        id="talks.tags",
        keys="alt+t",
        run=lambda c: c.conversations.tag(),
        needs=_ON_TARGET,
        worker=_CONVERSATIONS,
        label="Tags",
        help="Edit the tags of the conversation. The search can filter by tag.",
        group=_GROUP,
        place="talks",
    ),
    Command(
        id="talks.archive",
        keys="alt+a",
        run=lambda c: c.conversations.archive(),
        needs=_ON_TARGET,
        worker=_CONVERSATIONS,
        label="Archive",
        help="Move the conversation to the archive, or back.",
        group=_GROUP,
        slash="archive",
        place="talks",
    ),
    Command(
        id="talks.archived",
        keys="alt+v",
        run=lambda c: c.conversations.toggle_archived(),
        needs=(chat_is_shown, _list_is_shown),
        worker=_CONVERSATIONS,
        label="Show archive",
        help="Switch the list between the archive and the other conversations.",
        group=_GROUP,
        place="talks",
    ),
    Command(
        id="talks.delete",
        keys="delete",
        run=lambda c: c.conversations.delete(),
        needs=_ON_TARGET,
        worker=_CONVERSATIONS,
        label="Delete",
        help="Delete the conversation (you can undo this until you quit).",
        group=_GROUP,
        slash="delete",
        place="talks",
        footer=True,
    ),
    Command(
        id="talks.leave",
        keys="escape",
        run=lambda c: c.conversations.leave_list(),
        needs=(chat_is_shown, conversations_are_saved),
        worker=_CONVERSATIONS,
        label="Leave",
        help="Go back to the prompt.",
        group=_GROUP,
        place="talks",
        in_menu=False,
        palette=False,
    ),
)
