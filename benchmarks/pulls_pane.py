"""The cost of displaying pulls: processor time of the program while four of them run.

    python -m benchmarks.pulls_pane [--seconds 10]

Each pull sends its figures ten times a second. The program runs in its own pty of 100×40: with the pane open,
with the chat open (which shows pulls in a corner only), and without pulls.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

from benchmarks.interface import Meter, in_terminal

PULLS = 4


class SimulatedQueue:
    """Pulls that progress by the clock, without a network: the cost of the interface alone."""

    notice = ""
    under_way = 0
    items = ()

    def restore(self) -> tuple[()]:
        return ()

    async def events(self) -> AsyncGenerator[Any, None]:
        from spnl_tui.hub.pulls.pull import PullRequest
        from spnl_tui.hub.pulls.queued_pull import PullsChanged, QueuedPull

        total, speed = 5_000_000_000, 12_345_678.0
        for tick in range(1_000_000):
            done = int(tick * speed / 10)
            yield PullsChanged(
                pulls=tuple(
                    QueuedPull(
                        id=str(number),
                        name=f"qwen3:{number}b:Q4_K_M",
                        request=PullRequest(f"acme/m{number}", ("m.gguf",)),
                        state="pulling",
                        words="pulling",
                        done=done + number,
                        total=total,
                        bytes_per_s=speed + 40_000 * (tick % 7),
                        eta_s=(total - done) / speed,
                    )
                    for number in range(PULLS)
                )
            )
            await asyncio.sleep(0.1)

    async def close(self) -> None:
        pass


def run(report: Path, what: str, seconds: float) -> None:
    """Run the real interface in this terminal for `seconds`."""
    from spnl_tui.app import SpnlChat
    from spnl_tui.engine.backend import ModelHandle
    from spnl_tui.settings import Settings
    from spnl_tui.themes import builtin_directory, load_themes
    from spnl_tui.ui.services import InterfaceServices

    class IdleEngine:
        async def load(self, model: ModelHandle) -> AsyncGenerator[Any, None]:
            return
            yield

        def loaded(self) -> tuple[()]:
            return ()

        async def count_tokens(self, *_: Any) -> None:
            return None

        def idle_unloaded(self, *_: Any) -> bool:
            return False

        def prefetch(self, *_: Any) -> None:
            pass

        async def close(self) -> None:
            pass

    async def model() -> ModelHandle:
        return ModelHandle(name="model", backend="timed")

    meter = Meter(report)

    class Measured(SpnlChat):
        async def watch_pulls(self) -> None:
            await asyncio.sleep(1.5)
            if what == "pane":
                await self.run_action("command('view.pulls')")
                await asyncio.sleep(0.5)
            meter.start()
            await asyncio.sleep(seconds)
            meter.stop()
            self.exit()

        def on_ready(self) -> None:
            super().on_ready()
            self.run_worker(self.watch_pulls())

    themes, _ = load_themes(builtin_directory(), Path("/nonexistent"))
    queue: Any = None if what == "none" else SimulatedQueue
    Measured(
        Settings(),
        InterfaceServices(engine=IdleEngine(), first_model=model, pull_queue=queue),  # type: ignore[arg-type]
        themes=themes,
    ).run()


def main() -> None:
    """Measure everything and print a table."""
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--seconds", type=float, default=10.0)
    arguments.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = arguments.parse_args()
    if options.child:
        what, report = options.child
        run(Path(report), what, options.seconds)
        return
    names = {"pane": "the pane", "chat": "the chat", "none": "no pulls"}
    print(f"{PULLS} pulls, ten updates a second:")
    for what, name in names.items():
        figures = in_terminal(
            what, module="benchmarks.pulls_pane", options=["--seconds", str(options.seconds)]
        )
        print(
            f"  {name:<10} {figures['cpu_share']:6.1%} of a core,"
            f" longest wait of a key {figures['longest_wait_s'] * 1000:4.0f} ms",
            flush=True,
        )


if __name__ == "__main__":
    main()
