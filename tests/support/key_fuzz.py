"""Random keys, pastes, mouse events and sizes through the real application over a backend that echoes.

    python -m tests.support.key_fuzz [--sequences 20000] [--seed 1]

prints its seed, and that of a session that fails, to repeat it alone: `--sequences 1 --seed N`. The
terminal's bytes go through the program's own parser. An unforeseen exception, a session that no longer
accepts a prompt, or a process that keeps growing ends the run.
"""

from __future__ import annotations

import argparse
import asyncio
import faulthandler
import gc
import os
import random
import string
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from textual.widgets import Input

from spnl_tui.conversations.drafts import DraftFile
from spnl_tui.hub.access import HubAccess
from spnl_tui.hub.pulls.queue import PullQueue
from spnl_tui.ui.commands.registry import COMMANDS
from spnl_tui.ui.textual_patches.terminal_input import TerminalInput
from tests.support.echo_backend import EchoBackend
from tests.support.hub import LoopbackHub
from tests.support.idle import prompt_pilot
from tests.support.pulls import QUICK
from tests.support.waiting import wait_until
from tests.ui.models_support import fill, make_browser
from tests.ui.support import Chat, ScriptedStarter, TempStore, make_app

SEQUENCES_PER_SESSION = 100
_HANG_S = 240.0
_GROWTH_BYTES = 50_000_000
"""More than the process may grow in the second half of a session; caches take some. From session to session
it grows, because a test process keeps each of its applications."""
_WORDS = (
    "word", "two words", "# Title", "- item", "| a | b |\n|--|--|", "```py\nx = 1\n```", "@", "@a.txt",
    "/", "//", "漢字", "e\u0301", "👩\u200d👩\u200d👧", "\u202eabc", "שלום", "a" * 300, "\t",
    "<think>x</think>", "$x^2$", "[b]x[/b]",
)  # fmt: skip
_ARGUMENTS = (
    "", " 3", " x", " 3 What?", " a.md", " echo", " echo/b", " /nonexistent/x", " \u202e", " 999999999999",
)  # fmt: skip
_PASTES = (
    "short", "two\nlines", "x\n" * 60, "y" * 5_000, "\x1b[31mred\x1b[0m", "\x00\x01\x07", "", "\r\n\r\n",
    "@a.txt /help", "漢字\n" * 50, "/clear\n", "\u202e\u2066",
)  # fmt: skip
_SIZES = ((80, 24), (120, 40), (200, 60), (40, 12), (20, 6), (5, 2), (1, 1), (300, 100), (80, 3))


def _special_keys() -> list[str]:
    """Return the terminal's sequences for all keys that are not characters, with all modifiers."""
    keys = [f"\x1b[{letter}" for letter in "ABCDEFHZ"] + [f"\x1bO{letter}" for letter in "ABCDHFPQRS"]
    for modifiers in range(2, 9):
        keys += [f"\x1b[1;{modifiers}{letter}" for letter in "ABCDHFPQRS"]
        keys += [f"\x1b[{number};{modifiers}~" for number in (2, 3, 5, 6, *range(11, 25))]
        keys += [
            f"\x1b[{code};{modifiers}u" for code in (9, 13, 27, 32, 127, *map(ord, string.ascii_lowercase))
        ]
    keys += [f"\x1b[{number}~" for number in (1, 2, 3, 4, 5, 6, *range(11, 25))]
    keys += [f"\x1b{character}" for character in map(chr, range(0x21, 0x7F)) if character not in "[O]P^_X"]
    return keys + [chr(code) for code in (*range(0x1B), 0x1C, 0x1D, 0x1E, 0x1F, 0x7F)]


_SPECIAL = _special_keys()
_SLASH = [f"/{name}" for command in COMMANDS for name in (command.slash, *command.aliases) if name]


def random_bytes(chance: random.Random) -> bytes:
    """Return what a terminal sends for one key, or for a few that belong together."""
    kind = chance.random()
    if kind < 0.30:
        text = chance.choice(_SPECIAL)
    elif kind < 0.45:
        text = chance.choice(string.printable)
    elif kind < 0.60:
        text = chance.choice(_WORDS) + chance.choice(("", "\r", "\r"))
    elif kind < 0.72:
        text = f"\x1b[200~{chance.choice(_PASTES)}\x1b[201~"
    elif kind < 0.82:
        text = chance.choice(_SLASH) + chance.choice(_ARGUMENTS) + chance.choice(("", "\r", "\r"))
    elif kind < 0.90:
        text = chance.choice(("\x1b", "\r", "\t", "\x1b[A", "\x1b[B", " ", "y", "n"))
    elif kind < 0.97:
        button, x, y = chance.choice((0, 1, 2, 32, 35, 64, 65)), chance.randint(1, 90), chance.randint(1, 30)
        text = f"\x1b[<{button};{x};{y}M\x1b[<{button};{x};{y}m"
    else:
        text = chance.choice(
            ("\x1b[I", "\x1b[O", "\x1b[?1u", "\x1b[1;1R", "\x1b]0;x\x07", "\x1b[", "\x9b", "\x1bP")
        )
    data = text.encode("utf-8", "surrogatepass")
    return data if chance.random() > 0.01 else data + bytes([chance.randrange(256)])


class KeyFuzz:
    """Sessions of the application in one folder, each with random keys that follow from its seed."""

    def __init__(self, hub: LoopbackHub, folder: Path) -> None:
        self._hub = hub
        self._folder = folder

    async def session(self, seed: int, sequences: int = SEQUENCES_PER_SESSION) -> int:
        """Run the application once, and return how many sequences it took.

        It must accept a prompt at the end, unless the keys have quit it.
        """
        chance = random.Random(seed)
        folder = self._folder / str(seed)
        folder.mkdir(parents=True)
        store = TempStore(folder / "conversations.db")
        engine = EchoBackend()
        starter = ScriptedStarter()
        starter.go_on.set()
        access = HubAccess(self._hub.endpoint, False)
        browser = make_browser(self._hub.endpoint, folder)
        echo = await engine.find("echo")
        app = make_app(
            engine,
            model=echo if chance.random() < 0.9 else None,
            models={name: found for name in ("echo", "echo/b") if (found := await engine.find(name))},
            starter=starter,
            store=store,
            browser=browser,
            pull_queue=PullQueue(folder / "pulls.json", hub=access, options=QUICK, cache=folder / "hub"),
            drafts=DraftFile(folder / "drafts"),
            keep_persona=lambda name, persona: None,
        )
        async with app.run_test(size=chance.choice(_SIZES[:3]), notifications=True) as pilot:
            it = Chat(pilot, app, engine, [])
            await wait_until(lambda: app.focused is it.prompt)
            reader = TerminalInput()
            done, early = 0, 0
            while it.app.is_running and done < sequences:
                await self._sequence(it, reader, chance)
                done += 1
                if done == sequences // 2:
                    early = _memory()
            if early:
                grown = _memory() - early
                assert grown < _GROWTH_BYTES, f"grown by {grown / 1e6:.0f} MB in half a session"
            if it.app.is_running:
                await self._probe(it)
        await browser._catalog.close()
        await browser._library.close()
        await store.close()
        return done

    async def _sequence(self, it: Chat, reader: TerminalInput, chance: random.Random) -> None:
        driver = it.app._driver
        assert driver is not None
        for _ in range(chance.randint(1, 12)):
            if chance.random() < 0.04:
                await it.pilot.resize_terminal(*chance.choice(_SIZES))
            data = random_bytes(chance)
            cut = chance.randrange(len(data) + 1) if chance.random() < 0.1 else len(data)
            for message in (*reader.take(data[:cut]), *reader.take(data[cut:])):
                driver.send_message(message)
            if chance.random() < 0.7:
                for message in reader._parser.settle():
                    driver.send_message(message)
            if chance.random() < 0.3:
                await asyncio.sleep(0)
        if chance.random() < 0.3:
            await it.pilot.pause()

    async def _probe(self, it: Chat) -> None:
        """Check that the program still accepts a prompt."""
        await it.pilot.resize_terminal(100, 30)
        for _ in range(20):
            if len(it.app.screen_stack) == 1:
                break
            await it.press("escape")
        assert len(it.app.screen_stack) == 1, f"{it.app.screen_stack} cannot be left"
        for _ in range(4):
            await it.press("escape")
        await it.press("f2")
        await wait_until(lambda: it.screen.panes.seen == "chat")
        if isinstance(it.app.focused, Input):
            await it.press("escape")
        it.prompt.focus()
        await wait_until(lambda: not it.screen.replying and not it.screen.sessions.visible.busy)
        it.prompt.replace_all("")
        await it.pilot.pause()
        await it.press("z")
        await wait_until(lambda: "z" in it.prompt.text)


def _memory() -> int:
    """Return the resident bytes of this process without its garbage."""
    gc.unfreeze()  # the application freezes its objects
    gc.collect()
    return psutil.Process().memory_info().rss


@contextmanager
def own_machine(folder: Path) -> Iterator[None]:
    """Within the context, HOME, the working directory and the editor are harmless."""
    before, names = (
        Path.cwd(),
        ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "HF_HOME", "EDITOR", "VISUAL"),
    )
    old = {name: os.environ.pop(name, None) for name in names}
    os.environ.update(HOME=str(folder), EDITOR="true", HF_HOME=str(folder / "hf"))
    (folder / "a.txt").write_text("attached\n", encoding="utf-8")
    os.chdir(folder)
    try:
        with prompt_pilot():
            yield
    finally:
        os.chdir(before)
        for name, value in old.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def fuzz_keys(seed: int, sequences: int, *, keep_going: bool = False) -> int:
    """Run that many sequences in sessions with rising seeds, and return how many sessions have failed.

    Raises:
        BaseException: whatever ended a session, unless `keep_going`; its seed is printed.
    """
    with tempfile.TemporaryDirectory() as name, LoopbackHub() as hub, own_machine(Path(name)):
        fill(hub, Path(name) / "made")
        fuzz = KeyFuzz(hub, Path(name) / "sessions")
        done, told, failures, began = 0, 0, 0, time.monotonic()
        while done < sequences:
            faulthandler.dump_traceback_later(_HANG_S, exit=False)
            try:
                done += asyncio.run(fuzz.session(seed))
            except Exception:
                print(f"failed with seed {seed}", file=sys.stderr, flush=True)
                if not keep_going:
                    raise
                traceback.print_exc(limit=-6)
                failures += 1
                done += 1
            finally:
                faulthandler.cancel_dump_traceback_later()
            seed += 1
            if done >= told + 500:
                told = done
                print(
                    f"{done} sequences, {time.monotonic() - began:.0f} s, {_memory() / 1e6:.0f} MB",
                    flush=True,
                )
    return failures


def main() -> int:
    """Read the arguments, and print the seed first."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sequences", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--keep-going", action="store_true", help="continue after a failed session")
    given = parser.parse_args()
    print(f"seed {given.seed}", flush=True)
    failures = fuzz_keys(given.seed, given.sequences, keep_going=given.keep_going)
    print(f"{failures} sessions failed")
    return bool(failures)


if __name__ == "__main__":
    sys.exit(main())
