"""An engine without a model that replies with texts in the format of one family."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any

from spnl_tui.engine.backend import (
    Capabilities,
    ChatRequest,
    Event,
    LoadedModel,
    ModelHandle,
    Request,
)
from spnl_tui.engine.mistralrs import wire
from tests.support.tool_families import ToolFamily

MODEL = ModelHandle(
    name="scripted", backend="format", capabilities=Capabilities(tools=True), context_length=4096
)


@dataclass
class FormatEngine:
    """Each request takes the next text. What it was asked is kept as the prompt of the family's template."""

    family: ToolFamily
    texts: list[str] = field(default_factory=list)
    prompts: list[str] = field(default_factory=list)
    requests: list[ChatRequest] = field(default_factory=list)

    async def generate(self, model: ModelHandle, request: Request) -> AsyncGenerator[Event, None]:
        assert isinstance(request, ChatRequest)
        self.requests.append(request)
        command = wire.Chat(
            id=1,
            messages=tuple(request.messages),
            sampling=request.sampling,
            tools=request.tools,
            tool_choice=request.tool_choice,
        )
        chunks, finished, prompt = self.family.read(command, self.texts.pop(0))
        self.prompts.append(prompt)
        for chunk in chunks:
            yield chunk
        yield finished

    def loaded(self) -> tuple[LoadedModel, ...]:
        return ()

    def __getattr__(self, name: str) -> Any:
        raise NotImplementedError(name)
