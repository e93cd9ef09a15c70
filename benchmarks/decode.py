"""Tokens per second in the interface ÷ those of a bare mistralrs loop: what drawing costs the engine.

    python -m benchmarks.decode [--rounds N] [--tokens N]

Both run the real SmolLM2 with the same load plan, greedily, on the same prompt. The interface runs in a pty
of 100×40; its figure is the one that the runner measured and that is stored with the reply. Rounds alternate,
so that other work on the machine affects both.
"""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

from spnl_tui.engine.mistralrs.load_plan import LoadPlan, plan_load
from spnl_tui.models.files.local import LocalModel, read_local_facts, resolve_local
from spnl_tui.models.machine import read_machine
from tests.support.starter import starter_file
from tests.support.terminal import Terminal

PROMPT = "Write a long story about a ship, its crew and the islands that they find."

_BARE = """
import json, os, sys
out = os.dup(1)
os.dup2(2, 1)
import mistralrs
directory, file, isq, prompt, tokens = sys.argv[1:]
runner = mistralrs.Runner(
    mistralrs.Which.GGUF(quantized_model_id=directory, quantized_filename=file),
    in_situ_quant=isq or None, max_seqs=1,
)
request = mistralrs.ChatCompletionRequest(
    messages=[{"role": "user", "content": prompt}], model="default", stream=True, temperature=0.0,
    max_tokens=int(tokens),
)
import time
first = None
count = 0
for chunk in runner.send_chat_completion_request(request):
    count += 1
    if first is None:
        first = time.monotonic()
seconds = time.monotonic() - first
os.write(out, json.dumps((count - 1) / seconds).encode())
"""


def bare(model: LocalModel, plan: LoadPlan, tokens: int) -> float:
    """Return decoded tokens per second of mistralrs alone."""
    result = subprocess.run(
        [
            *(sys.executable, "-c", _BARE, str(model.directory), model.files[0]),
            *(plan.in_situ_quantization or "", PROMPT, str(tokens)),
        ],
        env={**os.environ, **plan.environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    return float(json.loads(result.stdout))


def interface(file: Path, tokens: int) -> float:
    """Return decoded tokens per second in the interface."""
    with tempfile.TemporaryDirectory() as home:
        config = Path(home, "config.toml")
        config.write_text(
            f'[model]\ndefault = "{file}"\n[sampling]\ntemperature = 0\nmax_tokens = {tokens}\n'
        )
        store = Path(home, "spnl-chat", "conversations.db")
        command = [sys.executable, "-m", "spnl_tui", "--config", str(config)]
        with Terminal(command, columns=100, rows=40, env={"HOME": home, "XDG_DATA_HOME": home}) as terminal:
            terminal.wait_for(lambda text: "ready" in text and "context" in text, 120)  # the model is loaded
            terminal.send(PROMPT + "\r")
            # Do not read the screen meanwhile: the terminal emulator of the tests is far slower than a
            # real one and would take processor time from the engine.
            terminal.skip_until(lambda: bool(_provenance(store)), 600)
            terminal.send("\x11")
            terminal.wait_end()
        return float(json.loads(_provenance(store)[0])["decode_tokens_per_s"])


def _provenance(store: Path) -> list[str]:
    """Return what is stored with the finished replies."""
    if not store.exists():
        return []
    with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as connection:
        rows = connection.execute(
            "SELECT provenance FROM turn WHERE role = 'assistant' AND finish_reason IS NOT NULL"
        )
        return [provenance for (provenance,) in rows]


def main() -> None:
    """Print each round and the ratio of medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=400)
    arguments = parser.parse_args()
    file = starter_file()
    model = resolve_local(file)
    plan = plan_load(read_local_facts(model), read_machine())
    print(f"plan: {plan}")
    bares, interfaces = [], []
    for number in range(1, arguments.rounds + 1):
        bares.append(bare(model, plan, arguments.tokens))
        interfaces.append(interface(file, arguments.tokens))
        ratio = interfaces[-1] / bares[-1]
        print(f"round {number}: bare {bares[-1]:.1f}, interface {interfaces[-1]:.1f} tokens/s: {ratio:.3f}")
    ratio = statistics.median(interfaces) / statistics.median(bares)
    print(f"interface ÷ bare (medians): {ratio:.3f}")


if __name__ == "__main__":
    main()
