"""Plans how this machine loads a model on this disk, following the settings."""

from __future__ import annotations

import asyncio
import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from spnl_tui.errors import ModelFileError
from spnl_tui.settings import Settings

if TYPE_CHECKING:
    from spnl_tui.engine.backend import ModelHandle
    from spnl_tui.engine.mistralrs.load_plan import LoadOverrides
    from spnl_tui.engine.mistralrs.pool import Planner
    from spnl_tui.models.files.local import LocalModel
    from spnl_tui.models.machine import Machine


def load_planner(settings: Settings) -> Planner:
    """Return a planner that uses the model's header, the state of this machine and the settings."""
    from spnl_tui.engine.mistralrs.load_plan import LoadPlan, plan_load
    from spnl_tui.models.files.local import read_local_facts
    from spnl_tui.models.fit import load_problem

    overrides = load_overrides(settings)

    async def plan(model: LocalModel, context: int | None = None) -> LoadPlan:
        return await asyncio.to_thread(_plan, model, await this_machine(), context)

    def _plan(model: LocalModel, machine: Machine, context: int | None) -> LoadPlan:
        facts = read_local_facts(model)
        if (problem := load_problem(facts)) is not None:
            raise ModelFileError(
                "The model cannot be loaded", f"{model.name}: {problem}.", "Choose another model."
            )
        return plan_load(facts, machine, dataclasses.replace(overrides, context=context or overrides.context))

    return plan


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadSummary:
    """The load of a model on this disk, for commands that describe it."""

    text: str
    """One line, with the reasons."""
    converts: bool
    """True if the weights are quantized or padded while loading."""
    completion_only: bool
    """True if the model continues texts and cannot chat."""
    threads: int
    context: int
    """Tokens."""
    gguf: Path | None
    """The model's first file if it is a GGUF."""


async def summarize_load(settings: Settings, model: ModelHandle) -> LoadSummary:
    """Plan how this machine would load the model now.

    Raises:
        ModelFileError: the model cannot be read.
    """
    from spnl_tui.engine.mistralrs.handles import to_local

    local = to_local(model)
    plan = await load_planner(settings)(local)
    return LoadSummary(
        text=str(plan),
        converts=plan.in_situ_quantization is not None or plan.pad_rows,
        completion_only=plan.completion_only,
        threads=plan.threads,
        context=plan.context,
        gguf=local.directory / local.files[0] if local.format == "gguf" else None,
    )


async def this_machine() -> Machine:
    """Return this machine as it is now, with the graphics processors that the engine computes on."""
    from spnl_tui.engine.mistralrs.devices import find_gpus
    from spnl_tui.models.machine import read_machine

    return await asyncio.to_thread(read_machine, await find_gpus())


async def advise_engine_build() -> str | None:
    """Return, in a sentence, the engine build that uses this machine's graphics card; None without a card."""
    from spnl_tui.engine.mistralrs.devices import advise_build

    return await advise_build()


def engine_threads(settings: Settings, machine: Machine) -> int:
    """Return how many threads the engine computes with."""
    from spnl_tui.engine.mistralrs.load_plan import choose_threads

    return choose_threads(machine, settings.engine.threads)


def load_overrides(settings: Settings) -> LoadOverrides:
    """Return the part of a load plan that the settings decide.

    Raises:
        ModelFileError: the chat template does not exist.
    """
    from spnl_tui.engine.mistralrs.load_plan import LoadOverrides
    from spnl_tui.models.prompts.templates import find_template

    engine, template = settings.engine, settings.model.template
    return LoadOverrides(
        device=engine.device,
        dtype=engine.dtype,
        in_situ_quantization=engine.in_situ_quantization,
        pad_rows=engine.pad_rows,
        threads=engine.threads,
        prefix_cache=engine.prefix_cache,
        paged_attention=engine.paged_attention,
        flash_attention=engine.flash_attention,
        max_concurrent=engine.max_concurrent,
        context=settings.context.length,
        obey_control_words=engine.control_words,
        template=None if template is None else find_template(template),
    )
