"""Commands for the conversation on the screen, and for going to another one."""

from __future__ import annotations

from spnl_tui.ui.commands.command import Availability, Command, Worker
from spnl_tui.ui.commands.conditions import (
    IN_CHAT,
    WITH_TURNS,
    chat_is_shown,
    conversation_has_turns,
    conversations_are_saved,
    unless,
)
from spnl_tui.ui.commands.context import CommandContext

_GROUP = "Conversation"
_CONVERSATIONS = Worker(group="talk")
_FIND = Worker(group="find", exclusive=True)


def _has_begun(context: CommandContext) -> Availability:
    return unless(
        len(context.conversation) > 0 or context.replying or bool(context.sessions.visible.queue),
        "This conversation is still empty.",
    )


def _is_finding(context: CommandContext) -> Availability:
    return unless(context.find.looking, "The search line is not open.")


async def _begin_new(context: CommandContext) -> None:
    if context.typed:
        # At once: in the screen's queue, prompts that were typed after this could come before it.
        await context.view.begin_anew()
    else:
        # Through the screen's queue: a prompt typed right after the key must find the new conversation.
        context.view.request_new()


COMMANDS = (
    Command(
        id="chat.new",
        keys="ctrl+n",
        run=_begin_new,
        needs=(*IN_CHAT, _has_begun),
        label="New",
        help="Start a new conversation.",
        synonyms="clear reset start over",
        group=_GROUP,
        slash="new",
        aliases=("clear",),
    ),
    Command(
        id="chat.page_up",
        keys="pageup",
        run=lambda c: c.chat.page(-1),
        needs=IN_CHAT,
        label="Page up",
        help="Scroll the conversation up by a page.",
        group=_GROUP,
        palette=False,
    ),
    Command(
        id="chat.page_down",
        keys="pagedown",
        run=lambda c: c.chat.page(1),
        needs=IN_CHAT,
        label="Page down",
        help="Scroll the conversation down by a page.",
        group=_GROUP,
        palette=False,
    ),
    Command(
        id="chat.follow",
        keys="end,ctrl+end",
        run=lambda c: c.prompt.go_to_end(),
        label="Follow",
        help="Scroll to the end and follow the reply (at the end of a line).",
        group=_GROUP,
        place="prompt",
        palette=False,
    ),
    Command(
        id="chat.get_starter",
        keys="ctrl+g",
        run=lambda c: c.model.fetch_starter(),
        needs=(*IN_CHAT, lambda c: unless(c.model.model is None, "A model is already chosen.")),
        worker=Worker(group="model"),
        label="Get starter",
        help="Download the starter model (94 MB).",
        synonyms="download fetch model",
        group=_GROUP,
        slash="starter",
    ),
    Command(
        id="talks.list",
        keys="f5",
        run=lambda c: c.conversations.toggle_list(),
        needs=(chat_is_shown, conversations_are_saved),
        worker=_CONVERSATIONS,
        label="Chats",
        help="Show or hide the list of conversations.",
        synonyms="history conversations open resume load sessions",
        group=_GROUP,
        slash="chats",
    ),
    Command(
        id="talks.last",
        keys="ctrl+s",
        run=lambda c: c.conversations.open_last(),
        needs=(chat_is_shown, conversations_are_saved),
        worker=_CONVERSATIONS,
        label="Previous conversation",
        help="Open the conversation that you used before this one.",
        group=_GROUP,
        slash="last",
    ),
    Command(
        id="talks.search",
        keys="ctrl+f",
        run=lambda c: c.conversations.search(c.argument),
        needs=(chat_is_shown, conversations_are_saved),
        worker=_CONVERSATIONS,
        label="Search",
        help="Search all conversations.",
        synonyms="find grep history",
        group=_GROUP,
        slash="search",
        argument="WORDS",
    ),
    Command(
        id="find.open",
        keys="ctrl+slash,ctrl+underscore",
        run=lambda c: c.find.open(c.argument),
        needs=WITH_TURNS,
        worker=_FIND,
        label="Find",
        help="Find words in this conversation.",
        group=_GROUP,
        slash="find",
        argument="WORDS",
    ),
    Command(
        id="find.earlier",
        keys="up",
        run=lambda c: c.find.step(-1),
        needs=(*IN_CHAT, _is_finding),
        worker=_FIND,
        label="Earlier",
        help="Go to the previous match.",
        group=_GROUP,
        place="find",
        palette=False,
    ),
    Command(
        id="find.later",
        keys="down",
        run=lambda c: c.find.step(1),
        needs=(*IN_CHAT, _is_finding),
        worker=_FIND,
        label="Later",
        help="Go to the next match.",
        group=_GROUP,
        place="find",
        palette=False,
    ),
    Command(
        id="talks.persona",
        keys="alt+r",
        run=lambda c: c.personas.edit(),
        needs=(chat_is_shown,),
        worker=_CONVERSATIONS,
        label="Persona",
        help="Choose a persona, or edit this conversation's system prompt and sampling.",
        synonyms="temperature sampling system prompt top_p seed instructions role preset parameters settings",
        group=_GROUP,
        slash="persona",
    ),
    Command(
        id="talks.system",
        keys="",
        run=lambda c: c.personas.set_system_prompt(c.argument),
        needs=(chat_is_shown,),
        worker=_CONVERSATIONS,
        label="System prompt",
        help="Set the system prompt of this conversation; without a text, edit it.",
        synonyms="system prompt instructions role character",
        group=_GROUP,
        slash="system",
        argument="TEXT",
    ),
    Command(
        id="talks.export",
        keys="alt+s",
        run=lambda c: c.exports.markdown(c.argument),
        needs=(chat_is_shown, conversation_has_turns),
        worker=_CONVERSATIONS,
        label="Export",
        help="Write the conversation to a file as Markdown: in this directory, or where you say.",
        synonyms="save write file download markdown",
        group=_GROUP,
        slash="export",
        aliases=("save",),
        argument="FILE",
    ),
    Command(
        id="talks.export_json",
        keys="alt+j",
        run=lambda c: c.exports.json(),
        needs=(chat_is_shown, conversation_has_turns),
        worker=_CONVERSATIONS,
        label="Export JSON",
        help="Write the whole conversation, with all branches, to a JSON file in this directory.",
        synonyms="save write backup",
        group=_GROUP,
        slash="export-json",
    ),
    Command(
        id="talks.export_query",
        keys="alt+q",
        run=lambda c: c.exports.query(),
        needs=(chat_is_shown, conversation_has_turns),
        worker=_CONVERSATIONS,
        label="Export query",
        help="Write the conversation on the screen as a query that asks for its last reply again.",
        group=_GROUP,
        slash="export-query",
    ),
)
