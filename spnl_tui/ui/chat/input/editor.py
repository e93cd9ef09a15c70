"""Editing a text in the user's own editor while the program continues."""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from textual.app import App, SuspendNotSupported

from spnl_tui.errors import EditorError, cause_of
from spnl_tui.text import without_controls

_USUAL = ("nano", "vim", "vi")
"""The editors to look for, in this order, if the user has named none."""


def editor_command(env: Mapping[str, str]) -> list[str]:
    """Return the editor's command line: `VISUAL`, else `EDITOR`, else a common editor.

    Raises:
        EditorError: there is none.
    """
    for name in ("VISUAL", "EDITOR"):
        try:
            command = shlex.split(env.get(name, ""))
        except ValueError as error:
            raise EditorError(f"${name} cannot be read", f"{env[name]}: {error}.") from error
        if command:
            return command
    for usual in _USUAL:
        if shutil.which(usual, path=env.get("PATH")):
            return [usual]
    raise EditorError("There is no editor", "", "Set $VISUAL or $EDITOR to the one that you like.")


async def edit(app: App[Any], text: str) -> str:
    """Let the user edit this text in the editor, and return the edited text.

    The event loop goes on meanwhile: replies stream and are saved, but nothing is drawn.

    Raises:
        EditorError: there is no editor or no terminal, or the editor failed: the text is as it was.
    """
    command = editor_command(os.environ)
    if sys.__stdin__ is None or not sys.__stdin__.isatty():
        raise EditorError("There is no terminal for an editor", "The program's input is no terminal.")
    try:
        with tempfile.TemporaryDirectory(prefix="spnl-chat-") as folder:  # for the user alone
            file = Path(folder) / "prompt.md"
            file.write_text(f"{text}\n", encoding="utf-8")
            with _terminal_free(app):
                status = await _run([*command, str(file)])
            if status != 0:
                raise EditorError(
                    "The prompt is as it was", f"{Path(command[0]).name} ended with {_in_words(status)}."
                )
            return without_controls(file.read_text(encoding="utf-8-sig")).removesuffix("\n")
    except SuspendNotSupported as error:
        raise EditorError("There is no terminal for an editor", str(error)) from error
    except UnicodeDecodeError as error:
        raise EditorError("The prompt is as it was", "What the editor wrote is not UTF-8.") from error
    except OSError as error:
        hint = "Set $VISUAL or $EDITOR to an editor that is there."
        raise EditorError("The editor cannot be used", f"{command[0]}: {cause_of(error)}.", hint) from error


@contextmanager
def _terminal_free(app: App[Any]) -> Iterator[None]:
    """Give the terminal to another program for this context."""
    failure: BaseException | None = None
    # Do not draw meanwhile: Textual would write into a queue without a reader, and block once it is full.
    with app.suspend(), app.batch_update():
        # Ctrl+C is for the editor. Use a handler, because a new program inherits ignored signals.
        before = signal.signal(signal.SIGINT, lambda *_: None)
        try:
            yield
        except BaseException as error:
            failure = error  # after an exception `suspend` would not take the terminal back
        finally:
            signal.signal(signal.SIGINT, before)
    app.refresh(layout=True)
    if failure is not None:
        raise failure


async def _run(command: list[str]) -> int:
    process = await asyncio.create_subprocess_exec(*command)
    try:
        return await process.wait()
    finally:
        if process.returncode is None:
            process.terminate()


def _in_words(status: int) -> str:
    return f"status {status}" if status > 0 else f"signal {-status}"
