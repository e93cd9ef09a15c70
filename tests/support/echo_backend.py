"""A backend without a model that echoes the last message word by word. It implements all of `Backend`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

from spnl_tui.engine.backend import (
    Capabilities,
    ChatRequest,
    Event,
    LoadedModel,
    ModelHandle,
    ModelLoaded,
    PrefillProgressed,
    ReplyChunk,
    ReplyFinished,
    Request,
    Timing,
    Usage,
)
from spnl_tui.engine.prefetch import Prefetch

CONTEXT = 4096
CAN = Capabilities(counts_tokens=True, reports_prefill=True, unloads=True, parallel=True)


class EchoBackend:
    """Answers with every model whose name begins with "echo". A token is a word."""

    id = "echo"
    needs_every_core = False

    def __init__(self) -> None:
        self.closed = False
        self._loaded: list[ModelHandle] = []

    async def find(self, reference: str) -> ModelHandle | None:
        handle = ModelHandle(name=reference, backend=self.id, capabilities=CAN, context_length=CONTEXT)
        return handle if reference.startswith("echo") else None

    async def generate(self, model: ModelHandle, request: Request) -> AsyncGenerator[Event, None]:
        async for event in self.load(model):
            yield event
        for candidate in range(request.n):
            if isinstance(request, ChatRequest):
                prompt = [word for each in request.messages for word in each.text.split()]
                words = request.messages[-1].text.split()
            else:
                prompt = words = request.inputs[candidate].split()
            yield PrefillProgressed(done=0, total=len(prompt))
            for count, word in enumerate(words[: request.sampling.max_tokens], 1):
                yield ReplyChunk(text=f" {word}" if count > 1 else word, tokens=count, candidate=candidate)
            usage = Usage(prompt_tokens=len(prompt), completion_tokens=len(words))
            timing = Timing(ttft_s=0.0, decode_tokens_per_s=100.0)
            yield ReplyFinished(finish_reason="stop", usage=usage, timing=timing, candidate=candidate)

    async def load(self, model: ModelHandle) -> AsyncGenerator[Event, None]:
        if model not in self._loaded:
            self._loaded.append(model)
            yield ModelLoaded(seconds=0.0, context_length=CONTEXT)

    def prefetch(self, model: ModelHandle, prefetch: Prefetch) -> None:
        prefetch.ended.set()

    async def count_tokens(self, model: ModelHandle, texts: Sequence[str]) -> tuple[int, ...] | None:
        return tuple(len(text.split()) for text in texts) if model in self._loaded else None

    def loaded(self) -> tuple[LoadedModel, ...]:
        return tuple(LoadedModel(model=each, state="idle", context_length=CONTEXT) for each in self._loaded)

    def idle_unloaded(self, model: ModelHandle) -> bool:
        return False

    async def unload(self, model: ModelHandle) -> None:
        self._loaded.remove(model)

    async def close(self) -> None:
        self.closed = True
