"""Tokens/s through `spnl-chat serve` ÷ in-process.

    python -m benchmarks.serve MODEL.gguf [--rounds 5] [--tokens 256]

One engine answers both; they alternate. Through the server, curl streams the reply. Times are from the
request to its end. The processor time of this process, which other work on the machine hardly affects, shows
what serving costs.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from pathlib import Path

from spnl_tui.engine.backend import Backend, ChatRequest, ModelHandle, ReplyFinished
from spnl_tui.engine.mistralrs.handles import to_handle
from spnl_tui.models.files.local import resolve_local
from spnl_tui.models.request import Message, Sampling
from spnl_tui.paths import Paths
from spnl_tui.server.application import Api
from spnl_tui.server.models import ServedModels
from spnl_tui.server.options import ServerOptions
from spnl_tui.server.serving import HttpServer
from spnl_tui.services import make_engine
from spnl_tui.settings import EngineSettings, Settings

PROMPT = "Tell a long story about a lighthouse, number {}."


async def in_process(engine: Backend, model: ModelHandle, prompt: str, tokens: int) -> float:
    """Return the tokens/s of one reply."""
    began = time.perf_counter()
    request = ChatRequest(
        messages=[Message("user", prompt)], sampling=Sampling(temperature=0, max_tokens=tokens)
    )
    count = 0
    async for event in engine.generate(model, request):
        if isinstance(event, ReplyFinished):
            count = event.usage.completion_tokens
    return count / (time.perf_counter() - began)


async def through_server(url: str, prompt: str, tokens: int) -> float:
    """Return the tokens/s of one reply that curl streams."""
    body = {
        "messages": [{"role": "user", "content": prompt}],
        "temperature": 0,
        "max_tokens": tokens,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    began = time.perf_counter()
    curl = await asyncio.create_subprocess_exec(
        "curl", "-sN", f"{url}/chat/completions", "-d", json.dumps(body), stdout=asyncio.subprocess.PIPE
    )
    output, _ = await curl.communicate()
    seconds = time.perf_counter() - began
    usage = json.loads(output.split(b"\n\n")[-3].removeprefix(b"data: "))["usage"]
    return int(usage["completion_tokens"]) / seconds


async def measure(file: Path, rounds: int, tokens: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        engine = make_engine(Settings(engine=EngineSettings(resident="never")), Paths.below(Path(name)))
        model, options = to_handle(resolve_local(file)), ServerOptions(port=0)
        server = HttpServer(Api(engine, ServedModels({"m": model}), options, sampling=Sampling()), options)
        await server.start()
        try:
            await in_process(engine, model, "Hello.", 4)
            ratios, alone_s, served_s = [], [], []
            for number in range(rounds):
                at_first = time.process_time()
                first = await in_process(engine, model, PROMPT.format(2 * number), tokens)
                at_second = time.process_time()
                served = await through_server(server.url, PROMPT.format(2 * number + 1), tokens)
                alone_s.append(at_second - at_first)
                served_s.append(time.process_time() - at_second)
                after = await in_process(engine, model, PROMPT.format(2 * number + 100), tokens)
                ratios.append(2 * served / (first + after))
                print(
                    f"  in-process {first:.1f} and {after:.1f}, served {served:.1f}, ratio {ratios[-1]:.3f}"
                )
            costs = (1000 * statistics.median(each) / tokens for each in (alone_s, served_s))
            print("processor time of this process: {:.2f} ms a token, served {:.2f} ms".format(*costs))
            print(
                f"tokens/s through the server ÷ in-process: median {statistics.median(ratios):.3f} (aim 0.97)"
            )
        finally:
            await server.stop()
            await engine.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=256)
    options = parser.parse_args()
    asyncio.run(measure(options.model, options.rounds, options.tokens))


if __name__ == "__main__":
    main()
