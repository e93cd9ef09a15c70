"""One load of a model: the command for the runner, and the events that waiting requests follow."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator

from spnl_tui.engine.backend import ErrorKind, LoadEvent, ModelLoaded, RequestFailed
from spnl_tui.engine.mistralrs import wire
from spnl_tui.engine.mistralrs.load_plan import LoadPlan
from spnl_tui.models.files.local import LocalModel
from spnl_tui.models.prompts.templates import ChatTemplate

LOAD_ENDED = (ModelLoaded, RequestFailed)


class Load:
    """One load, whose events any number of requests can follow from the beginning."""

    def __init__(self) -> None:
        self._events: list[LoadEvent] = []
        self._changed = asyncio.Event()

    @property
    def ended(self) -> bool:
        """True if no more events follow."""
        return bool(self._events) and isinstance(self._events[-1], LOAD_ENDED)

    def stop(self, name: str) -> None:
        """Add a failure unless the load has ended, so that no request waits for ever."""
        if not self.ended:
            self.add(failure("load", "The load was stopped", f"{name}.", "Send again to load it."))

    def add(self, event: LoadEvent) -> None:
        """Add an event and wake all followers."""
        self._events.append(event)
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def follow(self) -> AsyncGenerator[LoadEvent, None]:
        """Yield all events from the beginning of the load to its end."""
        position = 0
        while True:
            for event in self._events[position:]:
                position += 1
                yield event
                if isinstance(event, LOAD_ENDED):
                    return
            if position == len(self._events):
                await self._changed.wait()


def load_command(
    command_id: int, model: LocalModel, plan: LoadPlan, discard: int, images: str = ""
) -> wire.Load:
    """Return the command that loads this model by this plan. `images` is the directory of stored images;
    `discard` is the number of sampled tokens to discard."""
    template = plan.template or ChatTemplate("")
    vision = plan.vision
    return wire.Load(
        id=command_id,
        format=model.format,
        directory=str(model.directory),
        files=model.files,
        in_situ_quantization=plan.in_situ_quantization,
        pad_rows=plan.pad_rows,
        dtype=plan.dtype,
        device=plan.device,
        max_sequences=plan.max_sequences,
        prefix_cache=plan.prefix_cache,
        window=plan.window,
        paged_attention=plan.paged_attention,
        context_limit=plan.context_limit,
        paged_tokens=plan.paged_tokens,
        chat_template=wire.RAW_TEMPLATE if plan.completion_only else _template(plan),
        stop=template.stop,
        obey_control_words=plan.obey_control_words,
        config=None if plan.config is None else json.dumps(plan.config),
        projector=None if vision is None or vision.projector is None else str(vision.projector),
        base=None if vision is None else str(vision.folder),
        images=images,
        discard=discard,
    )


def _template(plan: LoadPlan) -> str | None:
    """Return the chat template in use; None if there is none."""
    replacement = plan.template.text if plan.template is not None else ""
    return replacement or plan.chat_template


def failure(kind: ErrorKind, title: str, message: str, hint: str) -> RequestFailed:
    """Return the final event of a load or request that failed."""
    return RequestFailed(kind=kind, title=title, message=message, hint=hint)
