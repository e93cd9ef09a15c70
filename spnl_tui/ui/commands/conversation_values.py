"""Commands for what a conversation is set to, and for its figures."""

from __future__ import annotations

from spnl_tui.errors import CommandError
from spnl_tui.ui.commands.command import Command, Worker
from spnl_tui.ui.commands.conditions import chat_is_shown, conversations_are_saved
from spnl_tui.ui.commands.context import CommandContext

_GROUP = "Conversation"
_CONVERSATIONS = Worker(group="talk")


async def _set(context: CommandContext) -> None:
    """Set a value as in Ollama: "temperature 0.5", "parameter temperature 0.5" or "system TEXT"."""
    name, _, value = context.argument.removeprefix("parameter ").strip().partition(" ")
    if not name:
        await context.personas.edit()
    elif name == "system":
        await context.personas.set_system_prompt(value.strip().strip('"'))
    elif not value:
        raise CommandError(
            "A value is missing", f"Type /set {name} and its value.", "/info shows the values."
        )
    else:
        await context.personas.set_value(name, value)


COMMANDS = (
    Command(
        id="talks.set",
        keys="",
        run=_set,
        needs=(chat_is_shown,),
        worker=_CONVERSATIONS,
        label="Set a value",
        help="Set a value of this conversation, such as temperature 0.5; without a name, edit them all.",
        synonyms="temperature top_p top_k seed max_tokens parameter sampling",
        group=_GROUP,
        slash="set",
        argument="NAME VALUE",
    ),
    Command(
        id="talks.info",
        keys="",
        run=lambda c: c.conversations.show_info(c.model),
        needs=(chat_is_shown,),
        worker=Worker(group="dialog", exclusive=True),
        label="Figures",
        help="Show this conversation's model, system prompt, values, tokens and times.",
        synonyms="info show statistics stats usage tokens context speed model",
        group=_GROUP,
        slash="info",
        aliases=("show", "stats", "usage"),
    ),
    Command(
        id="talks.load",
        keys="",
        run=lambda c: c.conversations.find_in_list(c.argument),
        needs=(chat_is_shown, conversations_are_saved),
        worker=_CONVERSATIONS,
        label="Open by title",
        help="Open the conversation with these words in its title; if there are several, list them.",
        synonyms="resume open",
        group=_GROUP,
        slash="load",
        aliases=("resume",),
        argument="TITLE",
    ),
)
