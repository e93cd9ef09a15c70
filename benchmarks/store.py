"""The store of conversations at size: 10,000 conversations with 1,000,000 turns.

    python -m benchmarks.store [--conversations N] [--turns N] [--file PATH]

Create the store (some minutes; an existing PATH is reused), then measure it. Times are medians of several
runs: elapsed time, and processor time, which other programs do not change.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from benchmarks.interface import in_terminal
from spnl_tui.conversations.storage.database import connect
from spnl_tui.conversations.storage.rows import ListFilter
from spnl_tui.conversations.storage.search import SearchFilter
from spnl_tui.conversations.storage.store import Store
from spnl_tui.conversations.turn import new_id

YEAR_S = 365 * 86_400
INSERT_CONVERSATION = """
    INSERT INTO conversation
        (key, id, created_at, updated_at, pinned, archived, title_is_automatic, title, model,
         sampling, chosen, system_prompt)
    VALUES (?, ?, ?, ?, ?, 0, 1, ?, ?, '{}', '[]', '')
"""
INSERT_TURN = """
    INSERT INTO turn
        (key, id, conversation, parent, role, created_at, finish_reason, pinned, model, provenance,
         error, text, reasoning)
    VALUES (?, ?, ?, ?, ?, ?, ?, 0, ?, ?, '', ?, '')
"""
_STARTS = 7
"""Launches of the program per figure."""
LONG = 5_000
"""Turns of the longest conversation."""
MODELS = ("smollm2:135m", "qwen3:1.7b", "llama3.2:3b", "gemma3:4b")
PROVENANCE = (
    '{"model":"%s","file_sha256":"%064x","load_plan":"{\\"device\\":\\"cpu\\",\\"threads\\":8}",'
    '"sampling":{"temperature":0.7,"top_p":0.9},"prompt_tokens":900,"completion_tokens":200,"ttft_s":0.41,'
    '"itl_s":0.021,"decode_tokens_per_s":47.0,"started_at":1700000000.0}'
)


def make_words(chance: random.Random, count: int = 60_000) -> list[str]:
    """Return invented words, the most frequent ones first."""
    syllables = [c + v for c in "bcdfghklmnprstvwz" for v in "aeiou"] + ["an", "er", "in", "on", "st"]
    words: dict[str, None] = {}
    while len(words) < count:
        length = min(1 + len(words) // 60, chance.choice((2, 3, 3, 4)))
        words["".join(chance.choices(syllables, k=length))] = None
    return list(words)


def make_text(chance: random.Random, words: list[str], count: int = 2_000_000) -> str:
    """Return a long text in which the n-th word occurs about 1/n as often as the first (Zipf's law)."""
    weights = [1 / rank for rank in range(1, len(words) + 1)]
    return " ".join(chance.choices(words, weights, k=count))


def make_store(path: Path, conversations: int, turns: int) -> None:
    """Fill a new store in chronological order, as a user would over three years."""
    chance = random.Random(1)
    text = make_text(chance, make_words(chance))
    now = time.time()
    starts = sorted(now - chance.random() * 3 * YEAR_S for _ in range(conversations))
    average = max(2, (turns - LONG) // (conversations - 1))
    rows = []
    connection = connect(path)
    connection.execute("BEGIN")
    made = 0
    for number, start in enumerate(starts, 1):
        length = LONG if number == conversations // 2 else min(average, turns - made)
        model = chance.choice(MODELS)
        where = chance.randrange(len(text) - 100)
        title = text[where : where + 40].partition(" ")[2]
        connection.execute(
            INSERT_CONVERSATION,
            (number, new_id(), start, start + 30 * length, int(number % 500 == 0), title, model),
        )
        if number % 10 == 0:
            connection.execute("INSERT INTO tag VALUES (?, 0, ?)", (number, f"tag{number % 7}"))
        parent: str | None = None
        for index in range(length):
            reply = index % 2
            where, size = chance.randrange(len(text) - 2000), chance.randrange(100, 1000 if reply else 200)
            id = new_id()
            created_at = start + 30 * index
            rows.append(
                (
                    id,
                    number,
                    parent,
                    "assistant" if reply else "user",
                    created_at,
                    "stop" if reply else None,
                    model,
                    PROVENANCE % (model, number) if reply else None,
                    text[where : where + size],
                    created_at * 1000,
                )
            )
            parent = id
        made += length
    rows.sort(key=lambda row: row[-1])
    last = 0
    for start_row in range(0, len(rows), 5_000):
        batch = []
        for row in rows[start_row : start_row + 5_000]:
            last = max(last + 1, int(row[-1]))
            batch.append((last, *row[:-1]))
        connection.executemany(INSERT_TURN, batch)
        connection.execute("COMMIT")
        connection.execute("BEGIN")
        print(f"\r{start_row + len(batch):>9,} of {len(rows):,} turns", end="", file=sys.stderr)
    connection.execute("COMMIT")
    connection.close()
    print(file=sys.stderr)


async def timed(name: str, work: Callable[[], Awaitable[object]], runs: int = 7) -> float:
    """Print how long `work` takes. Return its processor time in seconds."""
    times, cpu_times = [], []
    result = None
    for _ in range(runs):
        began, cpu_began = time.perf_counter(), time.process_time()
        result = await work()
        times.append(time.perf_counter() - began)
        cpu_times.append(time.process_time() - cpu_began)
    median, cpu = statistics.median(times), statistics.median(cpu_times)
    print(f"{name:<50} {1000 * median:8.1f} ms  cpu {1000 * cpu:6.1f} ms  {_size(result)}", flush=True)
    return cpu


def _size(result: object) -> str:
    for name in ("hits", "items"):
        if hasattr(result, name):
            return f"{len(getattr(result, name))}{'+' if getattr(result, 'more', False) else ''} {name}"
    return f"{len(result)} turns" if hasattr(result, "__len__") else ""


def find_longest(path: Path) -> str:
    """Return the id of the conversation with the most turns."""
    connection = connect(path)
    (id,) = connection.execute(
        """
        SELECT c.id FROM turn AS t JOIN conversation AS c ON c.key = t.conversation
        GROUP BY t.conversation ORDER BY count(*) DESC LIMIT 1
        """
    ).fetchone()
    connection.close()
    return str(id)


async def measure(path: Path) -> None:
    """Print the figures of this store."""

    with tempfile.TemporaryDirectory() as folder:
        empty = Path(folder) / "empty.db"
        await open_and_close(empty)
        fresh = await timed("open and close an empty store", lambda: open_and_close(empty), 21)
    full = await timed("open and close this store", lambda: open_and_close(path), 21)
    print(f"{'this ÷ empty':<50} {full / fresh:8.2f}")

    store = await Store.open(path)
    longest = find_longest(path)
    await timed("first page of the list", store.list)
    await timed("first page of one tag", lambda: store.list(ListFilter(tag="tag3")))
    await timed("first page of one model", lambda: store.list(ListFilter(model=MODELS[1])))
    await timed("load the longest conversation", lambda: store.load(longest))

    chance = random.Random(1)
    words = make_words(chance)
    old = SearchFilter(until=time.time() - 2 * YEAR_S)
    for name, typed, where in (
        ("the most frequent word", words[0], None),
        ("a frequent word", words[20], None),
        ("a word of every thousandth turn", words[3_000], None),
        ("a rare word", words[50_000], None),
        ("two frequent words", f"{words[0]} {words[1]}", None),
        ("a frequent and a rare word", f"{words[0]} {words[50_000]}", None),
        ("five frequent words", " ".join(words[5:10]), None),
        ("a phrase that hardly stands anywhere", f'"{words[9]} {words[700]} {words[3]}"', None),
        ("a phrase of frequent words", f'"{words[0]} {words[1]} {words[2]}"', None),
        ("a beginning of two letters", words[500][:2], None),
        ("a beginning of three letters", words[500][:3], None),
        ("a beginning of four letters", words[500][:4], None),
        ("a frequent word but not another", f"{words[0]} -{words[1]}", None),
        ("no such word", "xyzzyx", None),
        ("a frequent word, one model", words[0], SearchFilter(model=MODELS[1])),
        ("a frequent word, no such model", words[0], SearchFilter(model="nobody")),
        ("a frequent word, one tag", words[0], SearchFilter(tag="tag3")),
        ("a frequent word, no such tag", words[0], SearchFilter(tag="nobody")),
        ("a frequent word, two years ago", words[0], old),
        ("a rare word, two years ago", words[50_000], old),
    ):
        await timed(f"search: {name}", lambda typed=typed, where=where: store.search(typed, where))  # type: ignore[misc]
    await store.close()
    # Kilobytes on Linux, bytes on macOS.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (
        1024**2 if sys.platform == "darwin" else 1024
    )
    print(f"{'peak memory of this process':<50} {peak:8.0f} MB")


def measure_program(path: Path) -> None:
    """Print the program's own times with this store: its start, and opening the longest conversation."""
    longest = find_longest(path)
    with tempfile.TemporaryDirectory() as folder:
        empty = Path(folder) / "empty.db"
        asyncio.run(open_and_close(empty))
        starts: dict[Path, list[float]] = {empty: [], path: []}
        for _ in range(_STARTS):  # alternate, because the machine varies from minute to minute
            for file, times in starts.items():
                times.append(_in_terminal("start", str(file)))
    fresh, full = (statistics.median(times) for times in starts.values())
    print(f"{'start, to a focused prompt and an open store: empty':<50} {1000 * fresh:8.0f} ms")
    print(f"{'the same with this store':<50} {1000 * full:8.0f} ms")
    print(f"{'this ÷ empty':<50} {full / fresh:8.2f}")
    shown = statistics.median(_in_terminal("open", str(path), longest) for _ in range(_STARTS))
    print(f"{'open the longest conversation, to a usable screen':<50} {1000 * shown:8.0f} ms")


def _in_terminal(what: str, *arguments: str) -> float:
    return float(in_terminal(what, *arguments, module="benchmarks.store"))


def run_program(what: str, report: Path, file: Path, conversation: str = "") -> None:
    """Run the interface on this store until its first paint ("start") or a shown conversation ("open")."""
    from spnl_tui.app import SpnlChat
    from spnl_tui.settings import Settings
    from spnl_tui.themes import builtin_directory, wanted_theme
    from spnl_tui.ui.main_screen import MainScreen
    from spnl_tui.ui.messages import ConversationRequested
    from spnl_tui.ui.services import InterfaceServices

    started = float(os.environ["BENCHMARK_STARTED"])
    opening: list[asyncio.Task[Store]] = []

    async def store() -> Store:
        opening[:] = opening or [asyncio.create_task(Store.open(file))]
        return await asyncio.shield(opening[0])

    class Engine:
        async def close(self) -> None:
            pass

    class Program(SpnlChat):
        def on_ready(self) -> None:
            super().on_ready()
            self.run_worker(self.measure())

        async def measure(self) -> None:
            screen = self.screen
            assert isinstance(screen, MainScreen)
            while not (opening and opening[0].done()):  # noqa: ASYNC110 - not ours to signal
                await asyncio.sleep(0.001)
            await (await store()).prompts()  # as the interface does; its earlier requests are answered, too
            painted = asyncio.Event()
            self.call_after_refresh(painted.set)
            await painted.wait()
            seconds = time.time() - started
            if what == "open":
                await asyncio.sleep(1)  # the user looks for it in the list
                began = time.perf_counter()
                screen.post_message(ConversationRequested(conversation))
                while screen.conversation.id != conversation:  # noqa: ASYNC110
                    await asyncio.sleep(0.001)
                # Usable: the turns are painted, and a key typed now is accepted.
                for _ in range(3):
                    painted.clear()
                    self.call_after_refresh(painted.set)
                    await painted.wait()
                assert screen.chat.transcript.last_reply() is not None
                seconds = time.perf_counter() - began
            report.write_text(str(seconds))  # noqa: ASYNC240 - the measuring is over
            self.exit()

    wanted = wanted_theme(Settings().interface.theme, builtin_directory(), Path("/nonexistent"))
    assert wanted is not None
    services = InterfaceServices(engine=Engine(), store=store)  # type: ignore[arg-type]  # it is never asked
    Program(Settings(), services, themes=(wanted,)).run()


async def open_and_close(path: Path) -> None:
    """Open or create the store in this file, and close it."""
    await (await Store.open(path)).close()


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--conversations", type=int, default=10_000)
    parser.add_argument("--turns", type=int, default=1_000_000)
    parser.add_argument("--file", type=Path)
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child is not None:
        what, report, *arguments = options.child
        run_program(what, Path(report), Path(arguments[0]), *arguments[1:])
        return
    with tempfile.TemporaryDirectory() as folder:
        path = options.file or Path(folder) / "conversations.db"
        if not path.exists():
            began = time.perf_counter()
            asyncio.run(open_and_close(path))
            make_store(path, options.conversations, options.turns)
            print(f"made in {time.perf_counter() - began:.0f} s, {path.stat().st_size / 1e6:.0f} MB")
        asyncio.run(measure(path))
        measure_program(path)


if __name__ == "__main__":
    main()
