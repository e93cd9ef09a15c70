"""Which architectures and formats mistral.rs loads and streams: the tables of docs/models.md.

    python -m benchmarks.architectures

Build a small synthetic model of each architecture as GGUF and as safetensors, and the starter in each format
that the `gguf` package can write. Load each in a runner of its own by its plan; stream a greedy reply, then
two sampled replies in parallel where the plan allows that. "no" is followed by mistral.rs's own message. The
table points out verdicts (models/fit.py) that promised otherwise.
"""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import dataclass
from pathlib import Path

from spnl_tui.engine.backend import (
    LoadProgressed,
    ModelLoaded,
    PrefillProgressed,
    ReplyChunk,
    ReplyFinished,
    RequestFailed,
)
from spnl_tui.engine.mistralrs import wire
from spnl_tui.engine.mistralrs.load_plan import LoadOverrides, plan_load
from spnl_tui.engine.mistralrs.loading import load_command
from spnl_tui.engine.mistralrs.runner_process import RunnerProcess
from spnl_tui.models.files.local import read_local_facts, resolve_local
from spnl_tui.models.fit import assess
from spnl_tui.models.machine import read_machine
from spnl_tui.models.request import Message, Sampling

PROMPT = "Name the capital of France."
_LONGER = f"{PROMPT} Then name its rivers, its mountains, its oldest towns, its kings and its poets. " * 3
_LIMIT_S = 120


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of loading a model and requesting one reply."""

    verdict: str
    """The verdict before the load: "yes", "maybe" or "no"."""
    text: str = ""
    tokens: int = 0
    error: str | None = None

    @property
    def as_promised(self) -> bool:
        """Return True if the verdict was right; "maybe" always is."""
        return self.verdict == "maybe" or (self.verdict == "yes") == (self.error is None)

    def __str__(self) -> str:
        said = "streams" if self.error is None else f"no: {self.error}"
        return said if self.as_promised else f"{said} (the verdict says {self.verdict})"


async def try_model(path: Path, *, in_situ: str = "auto", tokens: int = 12) -> Outcome:
    """Load the model at this path by its plan, on one thread, and stream a greedy reply."""
    model = resolve_local(path)
    facts, machine = read_local_facts(model), read_machine()
    verdict = assess(facts, machine, 1024).runs.level
    wish = LoadOverrides(device="cpu", threads=1, in_situ_quantization=in_situ)
    plan = plan_load(facts, machine, wish)
    process = await RunnerProcess.spawn(plan.environment)
    try:
        async with asyncio.timeout(_LIMIT_S):
            events = process.subscribe(1)
            await process.send(load_command(1, model, plan, 0))
            while isinstance(event := await events.get(), LoadProgressed):
                pass
            if not isinstance(event, ModelLoaded):
                return Outcome(verdict, error=_why(event))
            events = process.subscribe(2)
            sampling = Sampling(temperature=0, max_tokens=tokens)
            await process.send(wire.Chat(id=2, messages=(Message("user", PROMPT),), sampling=sampling))
            text = ""
            while isinstance(event := await events.get(), PrefillProgressed | ReplyChunk):
                text += event.text if isinstance(event, ReplyChunk) else ""
            if not isinstance(event, ReplyFinished):
                return Outcome(verdict, text, error=_why(event))
            finished = event
            if error := await _again(process, tokens):
                return Outcome(verdict, text, error=f"asked again: {error}")
            return Outcome(verdict, text, finished.usage.completion_tokens)
    except TimeoutError:
        return Outcome(verdict, error=f"nothing within {_LIMIT_S} s")
    finally:
        await process.end()


async def _again(process: RunnerProcess, tokens: int) -> str | None:
    """Return why a repeated prompt failed, or None if both replies arrived."""
    sampling = Sampling(temperature=1, max_tokens=tokens)
    for id in (3, 4):
        events = process.subscribe(id)
        await process.send(wire.Chat(id=id, messages=(Message("user", _LONGER),), sampling=sampling))
        while isinstance(event := await events.get(), PrefillProgressed | ReplyChunk):
            pass
        if not isinstance(event, ReplyFinished):
            return _why(event)
    return None


def _why(event: wire.Event) -> str:
    match event:
        case RequestFailed(message=message, title=title):
            return message or title
        case wire.RunnerEnded(reason=reason):
            return reason
    return str(event)


async def _architectures(folder: Path) -> None:
    from tests.support import gguf_maker, safetensors_maker

    print("| Architecture | GGUF | safetensors |\n|---|---|---|")
    other_names = {"qwen3moe": "qwen3_moe", "phi2": "phi"}
    for name in gguf_maker.ARCHITECTURES:
        experts = 4 if name in gguf_maker.SPARSE else 0
        file = gguf_maker.make_gguf(folder / f"{name}.gguf", architecture=name, experts=experts)
        cells = [str(await try_model(file)), "not made"]
        other = other_names.get(name, name)
        if other in safetensors_maker.ARCHITECTURES:
            made = safetensors_maker.make_safetensors(folder / other, other)
            cells[1] = str(await try_model(made))
        print(f"| {name} | {' | '.join(cells)} |", flush=True)
    sharded = folder / "sharded"
    sharded.mkdir()
    gguf_maker.make_sharded_gguf(sharded, "m", 3)
    print(f"| llama, in three shards | {await try_model(sharded)} | not made |")


async def _formats(folder: Path) -> None:
    from tests.support.requantize import TYPES, requantize, to_safetensors
    from tests.support.starter import starter_file

    print("\n| SmolLM2-135M stored as | As stored | Greedy reply |\n|---|---|---|")
    for type in TYPES:
        outcome = await try_model(requantize(starter_file(), folder / f"{type}.gguf", type), in_situ="none")
        print(f"| {type} | {outcome} | {outcome.text.strip()} |", flush=True)
    outcome = await try_model(to_safetensors(starter_file(), folder / "safetensors"), in_situ="none")
    print(f"| safetensors, F16 | {outcome} | {outcome.text.strip()} |")


async def _main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        await _architectures(Path(folder))
        await _formats(Path(folder))


if __name__ == "__main__":
    asyncio.run(_main())
