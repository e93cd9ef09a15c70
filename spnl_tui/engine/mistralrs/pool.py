"""Decides which models stay in memory, and which are unloaded to make room for another."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from spnl_tui.engine.backend import LoadedModel
from spnl_tui.engine.mistralrs.devices import find_gpus
from spnl_tui.engine.mistralrs.handles import plan_as_json
from spnl_tui.engine.mistralrs.load_plan import LoadPlan
from spnl_tui.engine.mistralrs.pooled_model import PooledModel
from spnl_tui.engine.mistralrs.runner_process import RunnerProcess
from spnl_tui.engine.mistralrs.seeds import LaunchCounter
from spnl_tui.errors import SpnlError
from spnl_tui.models.files.local import LocalModel
from spnl_tui.models.machine import read_machine

log = logging.getLogger(__name__)


class Planner(Protocol):
    """Plans loads from the model's header and the state of this machine."""

    async def __call__(self, model: LocalModel, context: int | None = None) -> LoadPlan:
        """Plan a load with this many tokens of context; None for the settings' value. Raises SpnlError."""


_HOUSEKEEPING_S = 15.0


class Pool:
    """The requested models, each with its load plan and, while loaded, its process."""

    def __init__(
        self,
        planner: Planner,
        launches: LaunchCounter,
        *,
        keep_warm_s: float,
        memory_budget: int | None,
        available_memory: Callable[[], int] | None,
        runner_command: Sequence[str],
        images: str = "",
    ) -> None:
        self._images = images
        self._planner = planner
        self._launches = launches
        self._keep_warm_s = keep_warm_s
        self._memory_budget = memory_budget
        self._available_memory = available_memory or _available_memory
        self._runner_command = runner_command
        self._models: dict[LocalModel, PooledModel] = {}
        self._door = asyncio.Lock()
        """Held while a load is planned, so that requests keep their order."""

    @property
    def models(self) -> tuple[PooledModel, ...]:
        """The models in the pool, loaded or not. Thread-safe."""
        return tuple(self._models.values())

    def get(self, model: LocalModel) -> PooledModel | None:
        """Return the model if it was requested before, else None."""
        return self._models.get(model)

    def loaded(self) -> tuple[LoadedModel, ...]:
        """Return the models that are loaded or being loaded, most recently used first."""
        now = time.monotonic()
        pooled = sorted(self.models, key=lambda p: p.last_used, reverse=True)
        return tuple(
            LoadedModel(
                model=p.handle,
                state=state,
                context_length=p.context_length,
                template_tokens=p.template_tokens,
                memory_bytes=p.memory_bytes(),
                idle_s=now - p.last_used if state == "idle" else None,
                pid=p.pid,
                load_details=plan_as_json(p.plan),
            )
            for p in pooled
            if (state := p.state) != "unloaded"
        )

    async def take_in(self, model: LocalModel, context: int | None = None) -> PooledModel:
        """Return the model in the pool. Plan its load on the first request, or for another context length.

        Raises:
            SpnlError: the load cannot be planned.
        """
        async with self._door:
            if (pooled := self._models.get(model)) is None:
                plan = await self._planner(model, context)
                pooled = PooledModel(model, plan, self._spawn, self._launches.next, self._images)
                self._models[model] = pooled
            elif context is not None and context != pooled.wanted_context:
                pooled.replan(await self._planner(model, context))
            if context is not None:
                pooled.wanted_context = context
        return pooled

    async def make_room(self, wanted: PooledModel) -> None:
        """Unload idle models, the least recently used first, until this one fits.

        Then unload models that are loading without a waiting request: the user has chosen another one.

        Raises:
            SpnlError: the model still does not fit.
        """
        need = wanted.plan.memory.peak
        while need > (free := await self._free_memory(wanted)):
            others = [p for p in self.models if p is not wanted and not p.serving]
            idle = [p for p in others if p.state == "idle"] or [p for p in others if p.state == "loading"]
            if not idle:
                busy = [p.model.name for p in self.models if p is not wanted and p.pid is not None]
                raise SpnlError(
                    "Not enough memory for this model",
                    f"{wanted.model.name} needs about {_gigabytes(need)}; {_gigabytes(free)} is free.",
                    f"Wait for {', '.join(busy)} to finish."
                    if busy
                    else "Choose a smaller quantization, or close other programs.",
                )
            await min(idle, key=lambda p: p.last_used).end()

    async def keep_house(self) -> None:
        """Unload idle models when their time is up. Runs until cancelled."""
        while True:
            await asyncio.sleep(_HOUSEKEEPING_S)
            for pooled in self.models:
                if pooled.state == "idle" and time.monotonic() - pooled.last_used > self._keep_warm_s:
                    log.info("unloading %s: not used for a while", pooled.model.name)
                    pooled.idle_unloaded = self._keep_warm_s > 0
                    await pooled.end()

    async def _free_memory(self, wanted: PooledModel) -> int:
        # A loading model will still take the rest of its planned memory.
        coming = sum(
            max(0, p.plan.memory.peak - p.memory_bytes())
            for p in self.models
            if p is not wanted and p.state == "loading"
        )
        free = self._available_memory() if wanted.plan.device == "cpu" else await _available_on_gpu()
        if self._memory_budget is not None:
            used = sum(p.memory_bytes() for p in self.models)
            free = min(free, self._memory_budget - used)
        return free - coming

    async def _spawn(self, environment: dict[str, str]) -> RunnerProcess:
        return await RunnerProcess.spawn(environment, self._runner_command)


def _available_memory() -> int:
    return read_machine().memory_available


async def _available_on_gpu() -> int:
    gpu = read_machine(await find_gpus()).gpu
    # If the card's memory is unknown, mistral.rs reports whether the model fits.
    return sys.maxsize if gpu is None else gpu.memory_available


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB"
