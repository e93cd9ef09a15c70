"""`spnl-chat --line`: read a line, answer it, and so on, without the alternate screen."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from spnl_tui.conversations.slash_text import looks_like_command, split_command, without_escape
from spnl_tui.errors import SpnlError
from spnl_tui.headless.broken_pipe import BROKEN_PIPE, discard_output
from spnl_tui.headless.output import OK
from spnl_tui.line.commands import names, run_command
from spnl_tui.line.dialogue import Dialogue
from spnl_tui.line.interrupts import Interrupts
from spnl_tui.line.reading import EditingReader, LineReader, PlainReader

if TYPE_CHECKING:
    from spnl_tui.services import Services

_PROMPT = "you"


def chat_in_lines(services: Services, *, resume: str | None = None) -> int:
    """Chat in lines until the user leaves, and return the exit code.

    `resume` is the id, or its beginning, of the conversation to open; empty opens the last one.
    """
    try:
        return asyncio.run(_chat(services, resume))
    except BrokenPipeError:
        discard_output()
        return BROKEN_PIPE


async def _chat(services: Services, resume: str | None) -> int:
    dialogue = asyncio.ensure_future(asyncio.sleep(0))
    interrupts = Interrupts(lambda: dialogue.cancel())
    reader = make_reader()
    chat = Dialogue(services, reader, interrupts)
    with interrupts.caught():
        dialogue = asyncio.ensure_future(_dialogue(chat, resume))
        try:
            await dialogue
        except asyncio.CancelledError:
            if interrupts.signal is None:
                raise
            return 128 + interrupts.signal
        finally:
            await chat.background.close()
            await services.close()
    return OK


async def _dialogue(chat: Dialogue, resume: str | None) -> None:
    await _begin(chat, resume)
    while not chat.leaving:
        await _turn(chat)


def make_reader() -> LineReader:
    """Return the reader that suits the terminal. A dumb one, a pipe and a file get plain lines."""
    if (
        sys.stdin.isatty()
        and sys.stdout.isatty()
        and os.environ.get("TERM", "dumb") not in ("dumb", "unknown")
    ):
        return EditingReader(complete)
    return PlainReader()


def complete(before: str) -> Sequence[tuple[str, int, str]]:
    """Return the completions of a command or of a mentioned file before the cursor."""
    if before.startswith("/") and " " not in before:
        return [
            (f"/{name}", -len(before), command.help)
            for name, command in names().items()
            if f"/{name}".startswith(before)
        ]
    word = before.split()[-1] if before and not before[-1].isspace() else ""
    if not word.startswith("@"):
        return []
    from pathlib import Path

    folder, _, start = word[1:].rpartition("/")
    try:
        entries = sorted(
            os.scandir(Path(folder or ("/" if word.startswith("@/") else ".")).expanduser()),
            key=lambda e: e.name,
        )
    except OSError:  # nothing to offer
        return []
    base = f"@{folder}/" if "/" in word else "@"
    return [
        (f"{base}{entry.name}{'/' if entry.is_dir() else ''}", -len(word), "")
        for entry in entries
        if entry.name.startswith(start) and (start or not entry.name.startswith("."))
    ]


async def _begin(chat: Dialogue, resume: str | None) -> None:
    from spnl_tui.conversations.attachments import as_typed

    await chat.model.find()
    if (model := chat.model.model) is not None:
        chat.conversation.model = model.name
        chat.background.start("load", chat.model.load)
        chat.printer.line(f"{model.name}. /help lists commands, /exit leaves.")
    elif chat.model.refused is None:
        chat.printer.line(
            "No model is on this machine. /starter downloads a small one (94 MB), /help lists commands."
        )
    chat.reader.remember(as_typed(text) for text in await chat.store.prompts())
    if resume is not None:
        try:
            await chat.open(resume)
        except SpnlError as error:
            chat.printer.error(error)


async def _turn(chat: Dialogue) -> None:
    """Read one prompt or command, and do it."""
    try:
        text = await chat.ask(chat.printer.label(_PROMPT))
    except KeyboardInterrupt:
        chat.printer.line()
        chat.printer.note("Ctrl+D or /exit leaves")
        return
    if text is None:
        chat.printer.line()
        chat.leaving = True
        return
    if not text:
        return
    try:
        if looks_like_command(text) and (parts := split_command(text)) is not None:
            await run_command(chat, *parts)
        else:
            await chat.send(without_escape(text))
    except SpnlError as error:
        chat.printer.error(error)
