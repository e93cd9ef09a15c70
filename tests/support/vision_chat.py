"""Ask a model at a path about images, in a runner of its own."""

from __future__ import annotations

import asyncio
import hashlib
import io
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from spnl_tui.engine.backend import LoadProgressed, ModelLoaded, PrefillProgressed, ReplyChunk, ReplyFinished
from spnl_tui.engine.mistralrs import wire
from spnl_tui.engine.mistralrs.load_plan import LoadOverrides, plan_load
from spnl_tui.engine.mistralrs.loading import load_command
from spnl_tui.engine.mistralrs.runner_process import RunnerProcess
from spnl_tui.models.files.local import read_local_facts, resolve_local
from spnl_tui.models.machine import read_machine
from spnl_tui.models.parts import ImagePart
from spnl_tui.models.request import Message, Sampling


def store_image(folder: Path, width: int, height: int, colour: str) -> ImagePart:
    """Store a PNG of one colour as the runner expects it."""
    from PIL import Image

    stream = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(stream, "png")
    data = stream.getvalue()
    sha256 = hashlib.sha256(data).hexdigest()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / sha256).write_bytes(data)
    return ImagePart(sha256, "image/png", len(data), f"{colour}.png", width, height)


class VisionChat:
    """A loaded model."""

    def __init__(self, process: RunnerProcess, loaded: ModelLoaded) -> None:
        self._process = process
        self.template_tokens = loaded.template_tokens or 0

    async def ask(self, *messages: Message, tokens: int = 4) -> tuple[str, int]:
        """Return the greedy reply and the prompt's tokens.

        Raises:
            AssertionError: the request failed; its words are the reason.
        """
        command = wire.Chat(
            id=self._process.next_id(), messages=messages, sampling=Sampling(temperature=0, max_tokens=tokens)
        )
        events = self._process.subscribe(command.id)
        await self._process.send(command)
        text = ""
        async with asyncio.timeout(120):
            while isinstance(event := await events.get(), PrefillProgressed | ReplyChunk):
                text += event.text if isinstance(event, ReplyChunk) else ""
        assert isinstance(event, ReplyFinished), event
        return text, event.usage.prompt_tokens

    async def count(self, *messages: Message) -> int:
        """Return the tokens of the messages as the meter counts them, without the template's."""
        command = wire.Tokenize(
            id=self._process.next_id(), texts=tuple(message.model_text for message in messages)
        )
        events = self._process.subscribe(command.id)
        await self._process.send(command)
        event = await events.get()
        assert isinstance(event, wire.Tokenized), event
        return sum(event.counts)


@asynccontextmanager
async def vision_chat(path: Path, images: Path) -> AsyncGenerator[VisionChat]:
    """Load the model at this path by its plan, on one thread."""
    model = resolve_local(path)
    plan = plan_load(read_local_facts(model), read_machine(), LoadOverrides(device="cpu", threads=1))
    process = await RunnerProcess.spawn(plan.environment)
    try:
        events = process.subscribe(1)
        process.next_id()
        await process.send(load_command(1, model, plan, 1, str(images)))
        async with asyncio.timeout(120):
            while isinstance(event := await events.get(), LoadProgressed):
                pass
        assert isinstance(event, ModelLoaded), event
        yield VisionChat(process, event)
    finally:
        await process.end()
