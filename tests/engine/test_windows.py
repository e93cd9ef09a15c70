"""Conversations longer than the window of a model's layers."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest

from spnl_tui.engine.backend import ReplyChunk, ReplyFinished
from spnl_tui.engine.mistralrs import wire
from spnl_tui.engine.mistralrs.load_plan import plan_load
from spnl_tui.engine.mistralrs.pooled_model import PooledModel
from spnl_tui.engine.mistralrs.request import RunnerRequest
from spnl_tui.engine.mistralrs.runner_process import RunnerProcess
from spnl_tui.models.files.gguf import read_file_facts
from spnl_tui.models.files.gguf_noise import write_gguf
from spnl_tui.models.files.local import LocalModel, read_local_facts, resolve_local
from spnl_tui.models.machine import read_machine
from spnl_tui.models.request import Grammar, Message, Sampling
from tests.support.gguf_maker import CHATML, GgufSpec, metadata_of, tensors_of
from tests.support.logprobs import ask_for_logprobs

pytestmark = pytest.mark.alone

TEXT = "".join(chr(97 + n * n % 23) for n in range(600))
"""One token for each letter."""
WINDOW = 32


def make(path: Path, *, window: int, template: str | None) -> Path:
    """A model like Gemma 3. Were its norms not so large, the embedding alone would foretell every token."""
    spec = GgufSpec(
        architecture="gemma3",
        layers=6,
        sliding_window=window,
        matrix="F32",
        embedding="F32",
        template=template,
    )
    behind = ("post_attention_norm.weight", "post_ffw_norm.weight")
    tensors = [
        dataclasses.replace(tensor, fill=3.0) if tensor.name.endswith(behind) else tensor
        for tensor in tensors_of(spec)
    ]
    write_gguf(path, metadata_of(spec), tensors, 0)
    return path


@pytest.mark.parametrize(
    "before",
    [(TEXT[:20],), (TEXT[:20], TEXT[:30]), ("z" + TEXT[1:160],), (TEXT[:100] + "z" + TEXT[101:160],)],
    ids=["within", "twice within", "other from the first", "other beyond the window"],
)
async def test_mistral_rs_handles_windows_correctly_without_reuse(
    before: tuple[str, ...], tmp_path: Path
) -> None:
    """It continues from the window, and reads everything if the prompt begins with less."""
    path = make(tmp_path / "m.gguf", window=WINDOW, template=None)
    load = {
        "format": "gguf",
        "directory": str(tmp_path),
        "files": [path.name],
        "chat_template": wire.RAW_TEMPLATE,
    }
    alone = await ask_for_logprobs(load, TEXT[:200])
    assert min(alone) < -1
    assert await ask_for_logprobs(load, *before, TEXT[:200]) == pytest.approx(alone, abs=1e-3)


async def test_base_model_with_a_window_reads_each_prompt_anew(tmp_path: Path) -> None:
    path = make(tmp_path / "m.gguf", window=WINDOW, template=None)
    load = {
        "format": "gguf",
        "directory": str(tmp_path),
        "files": [path.name],
        "prefix_cache": plan_load(read_file_facts(path), read_machine()).prefix_cache,
        "chat_template": wire.RAW_TEMPLATE,
    }
    alone = await ask_for_logprobs(load, TEXT[:200])
    before = TEXT[:80], TEXT[:140]
    assert await ask_for_logprobs(load, *before, TEXT[:200]) == pytest.approx(alone, abs=1e-3)


async def test_conversation_beyond_the_window_is_answered_as_if_read_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MISTRALRS_CPU_KV_F32", "1")  # in 16 bits it may say something else for another reason
    model = resolve_local(make(tmp_path / "m.gguf", window=256, template=CHATML))
    async with loaded(model) as pooled:
        messages: list[Message] = []
        for number in range(7):
            messages.append(Message("user", TEXT[60 * number : 60 * (number + 1)]))
            messages.append(Message("assistant", await reply(pooled, messages)))
    for turn in (3, 4, 5, 6):  # the third ends beyond the window
        async with loaded(model) as pooled:
            assert await reply(pooled, messages[: 2 * turn + 1]) == messages[2 * turn + 1].text


@asynccontextmanager
async def loaded(model: LocalModel) -> AsyncIterator[PooledModel]:
    """Yield the model in a runner of its own."""
    plan = plan_load(read_local_facts(model), read_machine())
    assert plan.window == 256
    pooled = PooledModel(model, plan, RunnerProcess.spawn, lambda: 0)
    try:
        async for _ in pooled.load():
            pass
        yield pooled
    finally:
        await pooled.end()


async def reply(pooled: PooledModel, messages: list[Message]) -> str:
    """Return the greedy reply."""
    text = ""
    command = wire.Chat(
        id=0,
        messages=tuple(messages),
        sampling=Sampling(temperature=0, max_tokens=12),
        # Noise makes bytes that are no text: read again, they would be other tokens than those in the cache.
        grammar=Grammar("regex", "[a-w]{12}"),
    )
    async with aclosing(RunnerRequest(pooled, command).follow()) as events:
        async for event in events:
            if isinstance(event, ReplyChunk):
                text += event.text
    assert isinstance(event, ReplyFinished), event
    return text
