"""The slash commands of the line mode. Names and effects are those of the interface, where it has them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from spnl_tui.errors import CommandError, ModelMissingError
from spnl_tui.line.dialogue import Dialogue
from spnl_tui.settings.nearest import did_you_mean
from spnl_tui.text import first_line

_LISTED = 20
"""Conversations or hits in one list."""


@dataclass(frozen=True, slots=True)
class LineCommand:
    """A command that the user types after a "/"."""

    names: tuple[str, ...]
    """The main name first, then aliases."""
    argument: str
    """The word that stands for the argument in the help; empty if there is none."""
    help: str
    run: Callable[[Dialogue, str], Awaitable[None]]


# ── the program and the model ────────────────────────────────────────────────────────────────────


async def _help(chat: Dialogue, argument: str) -> None:
    width = max(len(_usage(command)) for command in COMMANDS)
    for command in COMMANDS:
        chat.printer.line(f"{_usage(command):<{width}}  {command.help}")
    chat.printer.line(
        '@FILE in a prompt attaches a file. \\ at the end of a line continues it; """ encloses several lines.'
    )
    chat.printer.line("Ctrl+C stops a reply. Ctrl+D leaves.")


async def _exit(chat: Dialogue, argument: str) -> None:
    chat.leaving = True


async def _model(chat: Dialogue, argument: str) -> None:
    if not argument:
        current = chat.model.model
        listing = await chat.services.library.listing()
        for entry in listing.entries:
            chosen = current is not None and entry.name == current.name
            chat.printer.line(f"{'*' if chosen else ' '} {entry.name}")
        chat.printer.line("/model NAME switches to another model.")
        return
    if (found := await chat.services.find_model(argument)) is None:
        raise ModelMissingError(argument)
    await chat.use(found)
    chat.printer.note(f"{found.name} answers from now on")


async def _starter(chat: Dialogue, argument: str) -> None:
    if (model := chat.model.model) is not None:
        raise CommandError("A model is already chosen", f"It is {model.name}.", "/model switches.")
    await chat.fetch_starter()


async def _set(chat: Dialogue, argument: str) -> None:
    from spnl_tui.conversations.sampling_values import values, with_value

    name, _, value = argument.removeprefix("parameter ").strip().partition(" ")
    if not name:
        model, sampling = chat.model.model, chat.conversation.sampling
        used = chat.services.settings.sampling_for(model.recommended_sampling if model else (), sampling)
        for known, shown in values(sampling, used):
            chat.printer.line(f"{known} = {shown}")
        return
    chat.conversation.sampling = with_value(chat.conversation.sampling, name, value)
    await _save_persona(chat)
    new = getattr(chat.conversation.sampling, name)
    chat.printer.note(f"{name} = {new} in this conversation")


async def _system(chat: Dialogue, argument: str) -> None:
    if not argument:
        chat.printer.line(chat.conversation.system_prompt or "This conversation has no system prompt.")
        return
    chat.conversation.system_prompt = argument
    await _save_persona(chat)
    chat.printer.note("system prompt of this conversation set")


async def _save_persona(chat: Dialogue) -> None:
    store = await chat.store.open()
    if store is not None and len(chat.conversation):
        await store.save_persona(chat.conversation)


async def _info(chat: Dialogue, argument: str) -> None:
    from spnl_tui.conversations.statistics import statistics_lines

    model, conversation = chat.model.model, chat.conversation
    chat.printer.line(f"Model         {model.name if model else 'none'}")
    if model is not None and (length := chat.model.context_length(model)):
        chat.printer.line(f"Context       {length:,} tokens")
    chat.printer.line(
        f"Conversation  {first_line(conversation.title, 60) or 'Untitled'} ({conversation.id[:12]})"
    )
    for name, value in statistics_lines(conversation):
        chat.printer.line(f"{name:<14}{value}")
    if conversation.system_prompt:
        chat.printer.line(f"System        {first_line(conversation.system_prompt, 60)}")


# ── the reply ────────────────────────────────────────────────────────────────────────────────────


async def _regenerate(chat: Dialogue, argument: str) -> None:
    chat.needed_model()
    if chat.session.last_reply is None:
        raise CommandError("There is no reply yet", "Send a prompt first.")
    await chat.replied(chat.session.regenerate())


async def _continue(chat: Dialogue, argument: str) -> None:
    chat.needed_model()
    if chat.session.unfinished_reply is None:
        raise CommandError("Nothing to continue", "The last reply is complete.", "/regenerate asks again.")
    await chat.replied(chat.session.continue_reply())


async def _edit(chat: Dialogue, argument: str) -> None:
    from spnl_tui.conversations.attachments import as_typed

    prompts = [turn for turn in chat.conversation.path() if turn.role == "user"]
    if not prompts:
        raise CommandError("There is no prompt yet", "Send one first.")
    text = argument or await chat.ask("edit> ", as_typed(prompts[-1].text))
    if not text:
        chat.printer.note("nothing edited")
        return
    chat.session.selection.edit(prompts[-1], "")
    try:
        await chat.send(text)
    finally:
        await chat.session.selection.end_edit()


async def _branch(chat: Dialogue, argument: str) -> None:
    conversation = chat.conversation
    fork = conversation.last_fork()
    if fork is None:
        raise CommandError("There is only one branch", "", "/edit and /regenerate start another one.")
    siblings = conversation.siblings(fork.id)
    if not argument:
        for number, turn in enumerate(siblings, 1):
            mark = "*" if turn.id == fork.id else " "
            chat.printer.line(f"{mark} {number}  {chat.speaker(turn)}: {first_line(turn.text, 60)}")
        chat.printer.line("/branch NUMBER goes to another one.")
        return
    turn = siblings[_number(argument, len(siblings), "branch") - 1]
    conversation.select(turn.id)
    await chat.store.save_choice(conversation)
    chat.print_turns(tuple(conversation.path()[-2:]))


async def _candidates(chat: Dialogue, argument: str) -> None:
    from spnl_tui.chat.shared_request import SharedRequest, Variation

    count, _, text = argument.partition(" ")
    if not count.isdecimal():
        count, text = str(chat.services.settings.chat.candidates), argument
    number = int(count)
    if not 2 <= number <= 9:
        raise CommandError("Invalid number of candidates", f"Ask for 2 to 9, not {number}.")
    model = chat.needed_model()
    shared = SharedRequest(chat.services.engine, number)
    variations = [Variation(model=model, shared=shared, candidate=each) for each in range(number)]
    await chat.replied(chat.session.ask_candidates(text.strip(), variations))
    chat.printer.line("/pick NUMBER continues with one of them; your next prompt continues with the first.")


async def _pick(chat: Dialogue, argument: str) -> None:
    if (candidates := chat.session.candidates.open) is None:
        raise CommandError("Nothing to pick from", "No candidates are open.", "/n asks for several replies.")
    number = _number(argument, len(candidates.turns), "candidate")
    await chat.session.candidates.highlight(candidates.turns[number - 1])
    await chat.session.candidates.close()
    chat.printer.note(f"the conversation continues with candidate {number}")


# ── conversations ────────────────────────────────────────────────────────────────────────────────


async def _new(chat: Dialogue, argument: str) -> None:
    await chat.session.candidates.close()
    chat.sessions.show(chat.blank())
    chat.sessions.forget_idle()
    chat.printer.note("new conversation")


async def _chats(chat: Dialogue, argument: str) -> None:
    from spnl_tui.conversations.listing import list_lines
    from spnl_tui.conversations.storage.rows import ListFilter

    page = await chat.store.page(ListFilter(), limit=_LISTED)
    if page is None or not page.items:
        chat.printer.line("No conversation is stored.")
        return
    chat.listed = [item.id for item in page.items]
    for number, line in enumerate(list_lines(page.items), 1):
        chat.printer.line(f"{number:>3}  {line}")
    chat.printer.line("/open NUMBER opens one.")


async def _open(chat: Dialogue, argument: str) -> None:
    await chat.session.candidates.close()
    if argument.isdecimal() and 1 <= int(argument) <= len(chat.listed):
        argument = chat.listed[int(argument) - 1]
    await chat.open(argument)


async def _search(chat: Dialogue, argument: str) -> None:
    from spnl_tui.conversations.listing import search_lines

    if not argument:
        raise CommandError("Nothing to search for", "", "Type words after it: /search compost")
    if (store := await chat.store.open()) is None:
        return
    result = await store.search(argument, limit=_LISTED)
    if not result.hits:
        chat.printer.line("Nothing was found.")
        return
    chat.listed = list(dict.fromkeys(hit.conversation for hit in result.hits))
    for hit in result.hits:
        first, *rest = search_lines(replace(result, hits=(hit,), more=False))
        chat.printer.line(f"{chat.listed.index(hit.conversation) + 1:>3}  {first}")
        for line in rest:
            chat.printer.line(f"     {line}")
    chat.printer.line("/open NUMBER opens one.")


async def _show(chat: Dialogue, argument: str) -> None:
    chat.print_turns(tuple(chat.conversation.path()))


async def _rename(chat: Dialogue, argument: str) -> None:
    if not argument:
        raise CommandError("No title given", "", "Type it after the command: /rename TITLE")
    store = await chat.store.open()
    if store is None or not len(chat.conversation):
        raise CommandError("Nothing to rename", "Nothing was said in this conversation yet.")
    await store.rename(chat.conversation.id, argument)
    chat.conversation.title, chat.conversation.title_is_automatic = argument, False
    chat.printer.note(f"renamed to {argument}")


async def _export(chat: Dialogue, argument: str) -> None:
    from spnl_tui.conversations.exchange.export import to_json_text, to_markdown
    from spnl_tui.conversations.exchange.new_file import write_new_file

    if argument not in ("", "markdown", "json"):
        raise CommandError("No such format", f"{argument!r} is not known.", "Formats: markdown, json.")
    conversation = chat.conversation
    json = argument == "json"
    text = to_json_text([conversation]) if json else to_markdown(conversation)
    suffix = ".json" if json else ".md"
    file = await asyncio.to_thread(write_new_file, Path.cwd(), conversation.title, suffix, text)
    chat.printer.note(f"exported to {file}")


async def _delete(chat: Dialogue, argument: str) -> None:
    store = await chat.store.open()
    conversation = chat.conversation
    if store is None or not len(conversation):
        raise CommandError("Nothing to delete", "Nothing was said in this conversation yet.")
    await chat.session.candidates.close()
    await store.delete_conversation(conversation.id)
    chat.deleted.append(conversation)
    chat.sessions.show(chat.blank())
    chat.printer.note("conversation deleted. /undo restores it until you leave")


async def _undo(chat: Dialogue, argument: str) -> None:
    store = await chat.store.open()
    if store is None or not chat.deleted:
        raise CommandError("Nothing to undo", "Nothing was deleted since the start.")
    conversation = chat.deleted.pop()
    await store.restore_conversation(conversation.id)
    await chat.show(conversation)


def _number(text: str, most: int, kind: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= most:
        raise CommandError(f"No such {kind}", f"Give a number from 1 to {most}, not {text or 'nothing'}.")
    return int(text)


def _usage(command: LineCommand) -> str:
    return f"/{command.names[0]} {command.argument}".strip()


COMMANDS = (
    LineCommand(("help", "?"), "", "List the commands.", _help),
    LineCommand(("exit", "quit", "bye", "q"), "", "Leave.", _exit),
    LineCommand(("new", "clear"), "", "Start a new conversation.", _new),
    LineCommand(("regenerate", "retry"), "", "Ask for another reply to the last prompt.", _regenerate),
    LineCommand(("continue",), "", "Let the model continue a reply that was stopped or cut off.", _continue),
    LineCommand(("edit", "revise"), "TEXT", "Edit the last prompt. This starts a new branch.", _edit),
    LineCommand(("branch", "tree"), "NUMBER", "List the branches, or go to one.", _branch),
    LineCommand(("n",), "COUNT PROMPT", "Ask for several replies.", _candidates),
    LineCommand(("pick",), "NUMBER", "Continue with one of several replies.", _pick),
    LineCommand(("model",), "NAME", "List the models on this machine, or switch to one.", _model),
    LineCommand(("starter",), "", "Download the starter model (94 MB).", _starter),
    LineCommand(("system",), "TEXT", "Show or set the system prompt of this conversation.", _system),
    LineCommand(("set",), "NAME VALUE", "Show or set the sampling of this conversation.", _set),
    LineCommand(("info",), "", "Show the model and the conversation.", _info),
    LineCommand(("chats",), "", "List the conversations.", _chats),
    LineCommand(("open", "load", "resume"), "NUMBER", "Open a listed conversation, or the last one.", _open),
    LineCommand(("search",), "WORDS", "Search all conversations.", _search),
    LineCommand(("show",), "", "Print the whole conversation.", _show),
    LineCommand(("rename",), "TITLE", "Change the title of the conversation.", _rename),
    LineCommand(("export", "save"), "FORMAT", "Write the conversation to a file: markdown or json.", _export),
    LineCommand(("delete",), "", "Delete the conversation.", _delete),
    LineCommand(("undo",), "", "Restore the conversation that you deleted last.", _undo),
)


def names() -> Mapping[str, LineCommand]:
    """Return the commands by all of their names."""
    return {name: command for command in COMMANDS for name in command.names}


async def run_command(chat: Dialogue, name: str, argument: str) -> None:
    """Run a typed command.

    Raises:
        SpnlError: the command does not exist or cannot run now.
    """
    known = names()
    if (command := known.get(name)) is None:
        near = did_you_mean(f"/{name}", [f"/{each}" for each in known])
        raise CommandError("No such command", f"/{name} does not exist.", near or "/help lists the commands.")
    if argument and not command.argument:
        raise CommandError(
            f"/{name} takes no argument", "Type the command alone.", "To send it as text, start with //."
        )
    await command.run(chat, argument)
