"""The clipboard of this machine, if a program that sets it is installed.

Terminals can set the clipboard themselves (OSC 52), which also works over SSH, but not all of them do.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import Mapping, Sequence

from spnl_tui.errors import ClipboardError, cause_of

_PATIENCE_S = 5.0


def clipboard_program(env: Mapping[str, str], platform: str = sys.platform) -> Sequence[str] | None:
    """Return the command line of the program that sets the clipboard to its input; None if none is installed.

    Programs for a display count only if there is one, which is rare over SSH.
    """
    candidates: list[tuple[str, ...]] = []
    if platform == "darwin":
        candidates.append(("pbcopy",))
    if env.get("WAYLAND_DISPLAY"):
        candidates.append(("wl-copy",))
    if env.get("DISPLAY"):
        candidates += [("xclip", "-selection", "clipboard", "-in"), ("xsel", "--clipboard", "--input")]
    candidates += [("termux-clipboard-set",), ("clip.exe",)]
    return next((each for each in candidates if shutil.which(each[0], path=env.get("PATH"))), None)


async def read_clipboard_image() -> bytes | None:
    """Return the image in the clipboard as PNG; None if there is none, or no program that reads it."""
    candidates: list[tuple[str, ...]] = []
    if sys.platform == "darwin":
        candidates.append(("pngpaste", "-"))
    if os.environ.get("WAYLAND_DISPLAY"):
        candidates.append(("wl-paste", "--type", "image/png"))
    if os.environ.get("DISPLAY"):
        candidates.append(("xclip", "-selection", "clipboard", "-target", "image/png", "-out"))
    for command in candidates:
        if shutil.which(command[0]) is None:
            continue
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(_PATIENCE_S):
                data, _ = await process.communicate()
        except TimeoutError:
            process.kill()
            await process.wait()
            continue
        if process.returncode == 0 and data:
            return data
    return None


async def set_clipboard(text: str) -> bool:
    """Set the clipboard of this machine. Return False if no program for that is installed.

    Raises:
        ClipboardError: the program failed.
    """
    command = clipboard_program(os.environ)
    if command is None:
        return False
    title = f"{command[0]} has not copied it"
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            # Some keep running in the background while they own the clipboard, and would keep pipes open.
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError as error:
        raise ClipboardError(title, f"{cause_of(error)}.") from error
    # clip.exe reads input without a byte order mark in the code page of the machine.
    data = text.encode("utf-16" if command[0] == "clip.exe" else "utf-8")
    try:
        async with asyncio.timeout(_PATIENCE_S):
            await process.communicate(data)
    except TimeoutError as error:
        process.kill()
        await process.wait()
        raise ClipboardError(title, f"It took longer than {_PATIENCE_S:.0f} seconds.") from error
    if process.returncode != 0:
        raise ClipboardError(title, f"It ended with status {process.returncode}.")
    return True
