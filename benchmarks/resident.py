"""The time of a `spnl-chat run` with the resident engine ÷ without one, from exec to exit.

    python -m benchmarks.resident MODEL.gguf [--rounds 5] [--tokens 16]

Runs with and without a resident alternate, so that other work on the machine affects both. Each round asks a
new question. TTFT is compared with that of a second request in one process. Then questions about one text of
about 2,000 tokens show that it is read once.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from spnl_tui.engine.backend import ChatRequest, ReplyFinished
from spnl_tui.engine.mistralrs.handles import to_handle
from spnl_tui.models.files.local import resolve_local
from spnl_tui.models.request import Message, Sampling
from spnl_tui.paths import Paths
from spnl_tui.services import make_engine
from spnl_tui.settings import EngineSettings, Settings

QUESTIONS = (
    "a colour",
    "a river",
    "a mountain",
    "a bird",
    "a tree",
    "a city",
    "a planet",
    "a metal",
    "a sport",
)
TEXT = " ".join(f"Item {number} is stored in box {number * 7 % 101}." for number in range(180))


def spnl(*arguments: str, stdin: str = "") -> tuple[float, str]:
    """Run the command and return its seconds and its output."""
    began = time.perf_counter()
    done = subprocess.run(
        (sys.executable, "-m", "spnl_tui", *arguments),
        input=stdin,
        capture_output=True,
        text=True,
        check=True,
    )
    return time.perf_counter() - began, done.stdout


def ask(model: Path, question: str, tokens: int, stdin: str = "") -> tuple[float, dict[str, Any]]:
    """Run one greedy request and return its seconds and its JSON."""
    options = ("-m", str(model), "-t", "0", "-l", str(tokens), "--json")
    seconds, output = spnl("run", *options, question, stdin=stdin)
    return seconds, json.loads(output)


async def warm_ttft(model: Path, folder: Path, count: int) -> float:
    """Return the median TTFT (seconds) of requests after the first in one process."""
    engine = make_engine(Settings(engine=EngineSettings(resident="never")), Paths.below(folder))
    handle, times = to_handle(resolve_local(model)), []
    try:
        for question in QUESTIONS[: count + 1]:
            prompt = [Message("user", f"Name {question}.")]
            request = ChatRequest(messages=prompt, sampling=Sampling(temperature=0, max_tokens=4))
            async for event in engine.generate(handle, request):
                if isinstance(event, ReplyFinished):
                    times.append(event.timing.ttft_s or 0.0)
    finally:
        await engine.close()
    return statistics.median(times[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=16)
    options = parser.parse_args()
    rounds = min(options.rounds, len(QUESTIONS) - 1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["HOME"] = name
        for variable in ("XDG_RUNTIME_DIR", "XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"):
            os.environ[variable] = name
        never = folder / "never.toml"
        never.write_text('[engine]\nresident = "never"\n')
        warm = asyncio.run(warm_ttft(options.model, folder / "warm", rounds))
        spnl("engine", "start")
        try:
            ask(options.model, "Hello.", 4)
            ratios, ttfts = [], []
            for question in QUESTIONS[:rounds]:
                prompt = f"Name {question}."
                arguments = ("-m", str(options.model), "-t", "0", "-l", str(options.tokens), "--json")
                cold, _ = spnl("--config", str(never), "run", *arguments, prompt)
                fast, reply = ask(options.model, prompt, options.tokens)
                ratios.append(fast / cold)
                ttfts.append(reply["timing"]["ttft_s"])
                print(f"  without {cold:.2f} s, with {fast:.2f} s, ratio {fast / cold:.3f}")
            print(f"exec to exit, with ÷ without: median {statistics.median(ratios):.3f} (aim 0.15)")
            ratio = statistics.median(ttfts) / warm
            print(f"TTFT ÷ that of a warm process: {ratio:.2f} ({warm * 1000:.0f} ms; aim 1.3)")
            times = [ask(options.model, f"Where is item {number}?", 4, TEXT)[1] for number in range(4)]
            prefills = [each["timing"]["prefill_s"] for each in times]
            tokens = times[0]["usage"]["prompt_tokens"]
            print(f"one text of {tokens:,} tokens: prefill {', '.join(f'{each:.2f}' for each in prefills)} s")
        finally:
            spnl("engine", "stop")


if __name__ == "__main__":
    main()
