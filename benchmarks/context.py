"""Drive a conversation past its context under each policy, with the real model.

    python -m benchmarks.context [--length TOKENS] [--prompts N] [--policy NAME] [--floats]

Check after each reply that the marker stands at the first turn that was sent and that the store holds every
turn, and compare the meter with the engine's own count. --floats runs the starter's weights as F16: on a
processor without VNNI this reads prompts five times as fast and replies at half the speed.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from pathlib import Path

from spnl_tui.conversations.storage.store import Store
from spnl_tui.engine.mistralrs.handles import to_handle
from spnl_tui.models.files.local import resolve_local
from spnl_tui.paths import Paths
from spnl_tui.services import make_engine
from spnl_tui.settings import ContextSettings, EngineSettings, Settings
from tests.support.full_context import drive
from tests.support.requantize import requantize
from tests.support.starter import starter_file

POLICIES = ("drop_oldest", "summarize", "ask")


async def measure(policy: str, length: int, prompts: int, file: Path, in_situ: str) -> None:
    """Run one policy and print its results."""
    settings = Settings(
        context=ContextSettings(policy=policy),  # type: ignore[arg-type]
        engine=EngineSettings(in_situ_quantization=in_situ),  # type: ignore[arg-type]
    )
    began = time.monotonic()
    replies = []
    with tempfile.TemporaryDirectory() as folder:
        engine = make_engine(settings, Paths.below(Path(folder)))
        store = await Store.open(Path(folder, "c.db"))
        try:
            model = to_handle(resolve_local(file, "starter"))
            # Two thirds of the prompts fill the context.
            tokens = length * 3 // (2 * prompts)
            async for reply in drive(
                engine, model, settings, store, context=length, prompts=prompts, tokens=tokens
            ):
                replies.append(reply)
                print(f"  {reply}", flush=True)
        finally:
            await engine.close()
            await store.close()
    off = [abs(reply.counted - reply.used) for reply in replies]
    print(
        f"{policy}: {len(replies)} replies, {sum(r.left_out > 0 for r in replies)} of them "
        f"with turns left out, at most {replies[-1].left_out}; "
        f"{sum(r.summarized for r in replies)} with a summary, asked {sum(r.asked for r in replies)} times; "
        f"meter off by {statistics.mean(off):.1f} tokens, after two replies by {max(off[2:])} at most; "
        f"the longest prompt {max(r.used for r in replies):,} tokens; {time.monotonic() - began:.0f} s",
        flush=True,
    )


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--length", type=int, default=8192)
    parser.add_argument("--prompts", type=int, default=12)
    parser.add_argument("--policy", choices=POLICIES)
    parser.add_argument("--floats", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file, in_situ = starter_file(), "auto"
        if options.floats:
            file, in_situ = requantize(file, Path(folder, "starter-F16.gguf"), "F16"), "none"
        for policy in (options.policy,) if options.policy else POLICIES:
            asyncio.run(measure(policy, options.length, options.prompts, file, in_situ))


if __name__ == "__main__":
    main()
