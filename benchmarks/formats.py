"""Speed by stored format of the same files: as planned, as stored, with bare mistralrs and with llama.cpp.

    python -m benchmarks.formats [--llama PYTHON] [--threads N] [--quick|--made] [TYPE…]

Models: SmolLM2 in each format that the `gguf` package writes, and for the K-quants a synthetic model of 94
million weights whose rows are multiples of 256. PYTHON is an interpreter with llama-cpp-python. Build one
with:

    python -m venv llama && llama/bin/pip install --no-binary llama-cpp-python llama-cpp-python

Run nothing else on the machine. Aims: planned ÷ as stored at least 2.5 for Q4_1 and Q5_0, and no format
slower as planned than as stored.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from spnl_tui.engine.mistralrs.handles import to_handle
from spnl_tui.headless import bench
from spnl_tui.headless.bench import Figures, measured
from spnl_tui.headless.output import Transient
from spnl_tui.models.files.local import resolve_local
from spnl_tui.paths import Paths
from spnl_tui.settings import EngineSettings, Settings
from tests.support.gguf_maker import make_gguf
from tests.support.requantize import requantize
from tests.support.starter import starter_file

STARTER = ("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "F16")
MADE = ("Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "Q8_0", "Q4_0", "Q4_1", "Q5_0")
_SHAPE: dict[str, Any] = {
    "layers": 4, "width": 1024, "feed_forward": 4096, "heads": 8, "kv_heads": 2, "vocabulary": 32768,
    "embedding": "Q6_K", "output": "Q6_K", "context": 4096,
    "metadata": {"tokenizer.ggml.eos_token_id": 32767, "llama.vocab_size": 32768},
}  # fmt: skip


def _files(folder: Path, types: list[str], *, starter: bool, made: bool) -> Iterator[tuple[str, Path]]:
    for type in STARTER if starter else ():
        if not types or type in types:
            yield f"SmolLM2, {type}", requantize(starter_file(), folder / f"SmolLM2-{type}.gguf", type)
    for type in MADE if made else ():
        if not types or type in types:
            yield f"made, {type}", make_gguf(folder / f"made-{type}.gguf", matrix=type, **_SHAPE)


def _row(name: str, figures: Figures, stored: Figures | None) -> str:
    prefill = "/".join(f"{speed:.0f}" for speed in figures.prefill_tokens_per_s.values())
    ratio = f"{figures.decode_tokens_per_s / stored.decode_tokens_per_s:.2f}" if stored else ""
    return (
        f"| {name} | {figures.name} | {figures.load_s:.1f} | {figures.ttft_cold_s:.2f} | {prefill} | "
        f"{figures.decode_tokens_per_s:.0f} | {ratio} | {figures.memory_bytes / 1e6:,.0f} |"
    )


def _bare(file: Path, prefills: Sequence[int]) -> Figures:
    """Measure mistralrs with its defaults."""
    wish = {
        "path": str(file),
        "story": bench._STORY,
        "go_on": bench._GO_ON,
        "tokens": bench._DECODE_TOKENS,
        "prompts": [bench._words(tokens) for tokens in prefills],
    }
    command = [sys.executable, "-m", "benchmarks.bare_mistralrs", json.dumps(wish)]
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
    return Figures(name="bare mistralrs", plan="", **json.loads(result.stdout))


async def _main(arguments: argparse.Namespace) -> None:
    engine = EngineSettings(threads=arguments.threads, device="cpu")
    settings = dataclasses.replace(Settings(), engine=engine)
    prefills = (128,) if arguments.quick else (128, 512)
    print(f"Prefill of {' and '.join(map(str, prefills))} tokens.\n")
    print("| Model | | Load, s | TTFT, s | Prefill, tokens/s | Decode, tokens/s | ÷ as stored | Memory, MB |")
    print("|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for title, file in _files(
            folder, arguments.types, starter=not arguments.made, made=not arguments.quick
        ):
            model = resolve_local(file, title)
            ways = [
                figures
                async for figures in measured(
                    settings, Paths.below(folder), to_handle(model), Transient(), arguments.llama, prefills
                )
            ]
            ways.append(_bare(file, prefills))
            stored = next((figures for figures in ways if figures.name == "as stored"), ways[0])
            for figures in ways:
                print(_row(title, figures, stored), flush=True)
            file.unlink()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("types", nargs="*", help="only these formats")
    parser.add_argument("--llama", help="an interpreter that has llama-cpp-python")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--made", action="store_true", help="the synthetic model only")
    parser.add_argument("--quick", action="store_true", help="SmolLM2 and short prompts only")
    asyncio.run(_main(parser.parse_args()))


if __name__ == "__main__":
    main()
