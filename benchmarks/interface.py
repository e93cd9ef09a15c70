"""The cost of the interface itself: processor time while a reply streams, and time to a focused prompt.

    python -m benchmarks.interface [--quick]

The reply is 3,000 tokens of Markdown with a 100-line fence and a 100-item list, at 80 tokens/s in 30 chunks a
second, as a runner sends them. Each program runs in its own pty of 100×40. "naive" appends every token to
Textual's Markdown; "Markdown stream" uses Textual's MarkdownStream.
"""

from __future__ import annotations

import argparse
import asyncio
import compileall
import json
import os
import pty
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from fcntl import ioctl
from pathlib import Path
from typing import Any

from tests.support.bare_backend import BareBackend

TOKENS_PER_S = 80.0
CHUNKS_PER_S = 30.0


def reply_tokens(count: int = 3000) -> list[str]:
    """Return about `tokens` tokens of Markdown. A token is four characters, as in English text."""
    sentence = "The engine reads the prompt, and **then** it writes `tokens`, one after the other. "
    paragraphs = [f"## Part {n}\n\n{sentence * 4}\n\n" for n in range(1, 7)]
    fence = "```python\n" + "".join(f"value_{n} = compute({n})  # line\n" for n in range(100)) + "```\n\n"
    items = "".join(f"{n}. **Item {n}** with a few words about it\n" for n in range(1, 101)) + "\n"
    text = (
        paragraphs[0]
        + paragraphs[1]
        + fence
        + paragraphs[2]
        + paragraphs[3]
        + items
        + "".join(paragraphs[4:])
    )
    while len(text) < 4 * count:
        text += f"{sentence * 3}\n\n"
    text = text[: 4 * count]
    return [text[start : start + 4] for start in range(0, len(text), 4)]


async def timed_tokens(tokens: list[str], per_s: float) -> AsyncIterator[str]:
    """Yield the tokens at their rate by the clock: a slow consumer gets several at once."""
    start = time.monotonic()
    for number, token in enumerate(tokens):
        late = start + number / per_s - time.monotonic()
        if late > 0:
            await asyncio.sleep(late)
        yield token


class Meter:
    """Processor time and elapsed time since the reply began, and how long keys would have waited."""

    def __init__(self, report: Path) -> None:
        self._report = report
        self._waits: list[float] = []

    def start(self) -> None:
        self._cpu, self._wall = time.process_time(), time.monotonic()
        self._task = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.01)
            self._waits.append(time.monotonic() - before - 0.01)

    def stop(self, **more: Any) -> None:
        self._task.cancel()
        wall = time.monotonic() - self._wall
        figures = {
            "wall_s": wall,
            "cpu_share": (time.process_time() - self._cpu) / wall,
            "longest_wait_s": max(self._waits),
            **more,
        }
        self._report.write_text(json.dumps(figures))


def run_ours(report: Path, tokens: list[str]) -> None:
    """Run the real interface with an engine that only follows the clock."""
    from spnl_tui.app import SpnlChat
    from spnl_tui.engine.backend import (
        Event,
        ModelHandle,
        ModelLoaded,
        PrefillProgressed,
        ReplyChunk,
        ReplyFinished,
        Request,
    )
    from spnl_tui.settings import Settings
    from spnl_tui.themes import builtin_directory, load_themes
    from spnl_tui.ui import messages
    from spnl_tui.ui.services import InterfaceServices

    meter = Meter(report)

    class TimedEngine(BareBackend):
        async def generate(self, model: ModelHandle, request: Request) -> AsyncGenerator[Event, None]:
            meter.start()
            per_chunk = TOKENS_PER_S / CHUNKS_PER_S
            yield PrefillProgressed(done=0, total=100)
            joined, sent = "", 0.0
            async for count, token in _enumerate(timed_tokens(tokens, TOKENS_PER_S)):
                joined += token
                if count >= sent + per_chunk or count == len(tokens):
                    yield ReplyChunk(text=joined, tokens=count)
                    joined, sent = "", count
            yield ReplyFinished(finish_reason="stop")

        async def load(self, model: ModelHandle) -> AsyncGenerator[Event, None]:
            yield ModelLoaded(seconds=0.0, context_length=8192)

    async def model() -> ModelHandle:
        return ModelHandle(name="model", backend="timed")

    class Measured(SpnlChat):
        async def on_reply_ended(self, message: messages.ReplyEnded) -> None:
            assert message.text == "".join(tokens)
            meter.stop()
            self.exit()

    themes, _ = load_themes(builtin_directory(), Path("/nonexistent"))
    app = Measured(Settings(), InterfaceServices(engine=TimedEngine(), first_model=model), themes=themes)
    app.call_later(_ask, app)
    app.run()


async def _ask(app: Any) -> None:
    await asyncio.sleep(0.5)
    app.screen.chat.prompt.text = "Go on."
    app.screen.chat.prompt.submit()


async def _enumerate(tokens: AsyncIterator[str]) -> AsyncIterator[tuple[int, str]]:
    count = 0
    async for token in tokens:
        count += 1
        yield count, token


def run_textual(report: Path, tokens: list[str], *, stream: bool) -> None:
    """Run Textual's Markdown alone: append every token, or let its MarkdownStream join them."""
    from textual.app import App, ComposeResult
    from textual.containers import VerticalScroll
    from textual.widgets import Markdown

    meter = Meter(report)

    class Bare(App[None]):
        def compose(self) -> ComposeResult:
            with VerticalScroll() as scroll:
                yield Markdown()
            scroll.anchor()

        async def on_mount(self) -> None:
            self.run_worker(self._reply())

        async def _reply(self) -> None:
            await asyncio.sleep(0.5)
            markdown = self.query_one(Markdown)
            meter.start()
            give_up_at = time.monotonic() + 1.5 * len(tokens) / TOKENS_PER_S
            writer = Markdown.get_stream(markdown) if stream else None
            async for token in timed_tokens(tokens, TOKENS_PER_S):
                await (writer.write(token) if writer else markdown.append(token))
                if time.monotonic() > give_up_at:
                    break  # it cannot keep up; its share so far is enough
            if writer:
                await writer.stop()
            meter.stop()
            self.exit()

    Bare().run()


def run_start(report: Path, *, bare: bool) -> None:
    """Start, and report when a focused input has been painted."""
    started = float(os.environ["BENCHMARK_STARTED"])

    def painted(app: Any) -> None:
        app.call_after_refresh(lambda: (report.write_text(str(time.time() - started)), app.exit()))

    if bare:
        from textual.app import App, ComposeResult
        from textual.widgets import TextArea

        class Bare(App[None]):
            def compose(self) -> ComposeResult:
                yield TextArea()

            def on_ready(self) -> None:
                painted(self)

        Bare().run()
        return
    from spnl_tui.app import SpnlChat
    from spnl_tui.settings import Settings
    from spnl_tui.themes import builtin_directory, wanted_theme
    from spnl_tui.ui.services import InterfaceServices

    class Engine:
        async def close(self) -> None:
            pass

    class Started(SpnlChat):
        def on_ready(self) -> None:
            assert self.focused is not None
            painted(self)

    # As run_app does: register the chosen theme now and the others after the first paint.
    wanted = wanted_theme(Settings().interface.theme, builtin_directory(), Path("/nonexistent"))
    assert wanted is not None
    Started(Settings(), InterfaceServices(engine=Engine()), themes=(wanted,)).run()  # type: ignore[arg-type]


def compile_all() -> None:
    """As an installation does: without it each start would compile our own modules, and none of Textual's."""
    root = Path(__file__).parents[1]
    for folder in (root / "spnl_tui", root / "benchmarks"):
        compileall.compile_dir(folder, quiet=1)


def in_terminal(
    what: str, *arguments: str, module: str = "benchmarks.interface", options: Sequence[str] = ()
) -> Any:
    """Run a benchmark module again in a pty, as `what`, and return its report."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        fd, child = pty.openpty()
        ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
        environment = {
            **os.environ,
            "TERM": "xterm-256color",
            "COLORTERM": "truecolor",
            "BENCHMARK_STARTED": str(time.time()),
        }
        process = subprocess.Popen(
            [sys.executable, "-m", module, *options, "--child", what, str(report), *arguments],
            stdin=child,
            stdout=child,
            stderr=child,
            env=environment,
            start_new_session=True,
        )
        os.close(child)
        output: list[bytes] = []
        drain = threading.Thread(target=_drain, args=(fd, output))
        drain.start()
        process.wait(timeout=600)
        drain.join(timeout=10)
        os.close(fd)
        if not report.exists():
            raise SystemExit(b"".join(output)[-3000:].decode(errors="replace"))
        return json.loads(report.read_text())


def _drain(fd: int, output: list[bytes]) -> None:
    while True:
        try:
            data = os.read(fd, 65536)
        except OSError:
            return
        output[:] = [*output[-5:], data]


def main() -> None:
    """Measure everything and print a table."""
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--quick", action="store_true", help="a reply of 1,000 tokens, and no naive run")
    arguments.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    options = arguments.parse_args()
    if options.child:
        what, report, *count = options.child
        tokens = reply_tokens(int(count[0]) if count else 3000)
        match what:
            case "ours":
                run_ours(Path(report), tokens)
            case "naive" | "stream":
                run_textual(Path(report), tokens, stream=what == "stream")
            case _:
                run_start(Path(report), bare=what == "start-bare")
        return

    compile_all()
    count = "1000" if options.quick else "3000"
    print(f"A reply of {count} tokens at {TOKENS_PER_S:g} tokens/s:")
    names = {"ours": "spnl-chat", "stream": "Markdown stream", "naive": "naive appending"}
    for what in ["ours"] if options.quick else names:
        figures = in_terminal(what, count)
        print(
            f"  {names[what]:<16} {figures['cpu_share']:6.1%} of a core, {figures['wall_s']:5.1f} s,"
            f" longest wait of a key {figures['longest_wait_s'] * 1000:4.0f} ms",
            flush=True,
        )
    print("Time to a focused prompt (median of 5):")
    ours = statistics.median(in_terminal("start-ours") for _ in range(5))
    bare = statistics.median(in_terminal("start-bare") for _ in range(5))
    print(f"  spnl-chat {ours:.3f} s, a bare Textual app {bare:.3f} s: {ours / bare:.2f} times")


if __name__ == "__main__":
    main()
