"""Constructs the services of one run of the program, for the interface and for the commands alike.

The command line constructs them once and passes them on. Each service is imported and constructed on first
use: an engine without requests has no process.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import os
from collections.abc import Callable
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from spnl_tui.errors import ModelMissingError, SpnlError
from spnl_tui.log import start_log
from spnl_tui.paths import Paths
from spnl_tui.settings import DEFAULT_CONTEXT, Settings

if TYPE_CHECKING:
    from spnl_tui.conversations.storage.deferred import DeferredStore
    from spnl_tui.conversations.storage.store import Store
    from spnl_tui.engine.backend import Backend, ModelHandle
    from spnl_tui.engine.mistralrs.backend import Resolve
    from spnl_tui.engine.service import EngineService
    from spnl_tui.hub.access import HubAccess
    from spnl_tui.hub.catalog import Catalog
    from spnl_tui.hub.library.library import Library
    from spnl_tui.hub.library.programs.scan import OtherPrograms
    from spnl_tui.hub.offers import ModelOffers
    from spnl_tui.hub.pulls.pacing import PullOptions, RateLimit
    from spnl_tui.hub.pulls.queue import PullQueue
    from spnl_tui.hub.starter import Starter
    from spnl_tui.hub.verdicts import Conditions
    from spnl_tui.media.media_reader import MediaReader
    from spnl_tui.models.facts import ModelFacts
    from spnl_tui.models.files.local import LocalModel
    from spnl_tui.models.machine import Machine
    from spnl_tui.tools.mcp.servers import McpServers

_log = logging.getLogger(__name__)


class Services:
    """The services that commands and panes use. Close it, or use it as an asynchronous context."""

    def __init__(self, settings: Settings, paths: Paths, config_file: Path | None = None) -> None:
        """`config_file` is the file that the settings were read from, if it is not the usual one."""
        self.settings = settings
        self.paths = paths
        self.config_file = config_file or paths.config / "config.toml"
        self.mcp = lru_cache(maxsize=1)(partial(_make_servers, settings))
        """Returns the MCP servers of the settings. None runs until a conversation needs it."""

    @cached_property
    def engine(self) -> EngineService:
        """The engine service, which answers requests."""
        return make_engine(
            self.settings, self.paths, self._resolve, lambda model: self.library.mark_used(model)
        )

    @cached_property
    def hub(self) -> HubAccess:
        """The hub's address and the user's token."""
        from spnl_tui.hub.access import HubAccess

        return HubAccess(token=self.settings.hub.token)

    @cached_property
    def starter(self) -> Starter:
        """The model for a machine that has none."""
        from spnl_tui.hub.starter import Starter
        from spnl_tui.hub.starter_hub import HubSource
        from spnl_tui.hub.starter_wheel import WheelSource

        folder = self.paths.data / "models" / "starter"
        return Starter(folder, (HubSource(self.hub, rate=self.rate), WheelSource(folder)))

    @cached_property
    def catalog(self) -> Catalog:
        """The models on Hugging Face."""
        from spnl_tui.hub.catalog import Catalog

        return Catalog(self.hub, timeout=self.settings.hub.timeout_s)

    @cached_property
    def library(self) -> Library:
        """The models on this machine."""
        from spnl_tui.hub.library.cache_layout import default_cache
        from spnl_tui.hub.library.library import Library

        hub = self.settings.hub
        return Library(
            default_cache(),
            self.paths.data / "imported.json",
            model_cache_dir=hub.model_cache_dir,
            model_dirs=hub.model_dirs,
            starter=self.starter.locate,
            programs=self.other_programs if hub.other_programs else None,
        )

    @cached_property
    def other_programs(self) -> OtherPrograms:
        """The models of other programs."""
        from spnl_tui.hub.library.programs.scan import OtherPrograms

        return OtherPrograms(Path.home(), os.environ)

    async def model_offers(self) -> ModelOffers:
        """Return the models to offer at the start: those here, else good first ones. Asks no server.

        Raises:
            StoreError: the models on this machine cannot be listed.
        """
        from spnl_tui.hub.offers import model_offers

        return await model_offers(self.library, await self.conditions())

    @cached_property
    def rate(self) -> RateLimit:
        """The limit that all pulls share."""
        from spnl_tui.hub.pulls.pacing import RateLimit

        limit = self.settings.pulls.rate_limit_mb
        return RateLimit(None if limit is None else limit * 1e6, self._engine_needs_every_core)

    def _engine_needs_every_core(self) -> bool:
        return "engine" in self.__dict__ and self.engine.needs_every_core

    @cached_property
    def pull_options(self) -> PullOptions:
        """The options of pulls."""
        from spnl_tui.hub.pulls.pacing import PullOptions

        return PullOptions(
            connections=self.settings.pulls.connections,
            connect_s=self.settings.hub.timeout_s,
            # Constructs the library only if a disk is full.
            make_room=lambda place, missing: self.library.make_room(place, missing),
        )

    @cached_property
    def pull_queue(self) -> PullQueue:
        """The queue of pulls, which outlives the program.

        The first use takes 0.1 s of imports; it may be in a thread.
        """
        from spnl_tui.hub.pulls.queue import PullQueue

        return PullQueue(
            self.paths.state / "downloads.json",
            hub=self.hub,
            options=dataclasses.replace(self.pull_options, patience_s=None),
            rate=self.rate,
            limit=self.settings.pulls.side_by_side,
        )

    async def conditions(self, *, measure: bool = False) -> Conditions:
        """Return the conditions of verdicts: this machine as it is now, and the settings.

        `measure`: measure the machine if that was not done before, which takes half a minute of all cores.

        Raises:
            RunnerError: the machine could not be measured.
        """
        from spnl_tui.engine.mistralrs import calibration, load_plan
        from spnl_tui.hub.verdicts import Conditions
        from spnl_tui.load_planning import this_machine

        engine = self.settings.engine
        machine = await this_machine()
        file = self.paths.cache / "calibration.json"
        known = await asyncio.to_thread(calibration.kept_calibration, machine, file)
        if measure and known is None and machine.gpu is None:
            threads = load_plan.choose_threads(machine, engine.threads)
            environment = load_plan.runner_environment(threads)
            known = await calibration.calibration_for(machine, file, environment)
        return Conditions(
            machine=machine,
            context=self.settings.context.length or DEFAULT_CONTEXT,
            calibration=known,
            in_situ=None if engine.in_situ_quantization == "none" else engine.in_situ_quantization,
            pad_rows=engine.pad_rows,
        )

    def plan_in_words(self, facts: ModelFacts, machine: Machine) -> str:
        """Return a line that says how a model would be loaded."""
        from spnl_tui.engine.mistralrs.load_plan import plan_load
        from spnl_tui.load_planning import load_overrides

        return str(plan_load(facts, machine, load_overrides(self.settings)))

    @cached_property
    def _store(self) -> DeferredStore:
        from spnl_tui.conversations.storage.deferred import DeferredStore

        return DeferredStore(self.paths.data / "conversations.db")

    @cached_property
    def media(self) -> MediaReader:
        """The reader of images and documents for prompts."""
        from spnl_tui.media.image_store import ImageStore
        from spnl_tui.media.media_reader import MediaReader

        return MediaReader(ImageStore(self.paths.images, self.settings.chat.longest_image_side))

    async def store_to_read(self) -> Store:
        """Return the store for a command that only reads it; see `Store.open_to_read`."""
        return await self._store.open_to_read()

    async def store(self) -> Store:
        """Return the store of conversations, opened when it is first used."""
        return await self._store.open()

    def to_handle(self, model: LocalModel) -> ModelHandle:
        """Return the handle of a model on this disk, for the engine."""
        from spnl_tui.engine.mistralrs.handles import to_handle

        return to_handle(model)

    async def find_model(self, name: str | None = None) -> ModelHandle | None:
        """Return the model of this reference, else of the settings, else the starter; None if it is missing.

        Raises:
            ModelReferenceError: the text names no model, or several.
            ModelFileError: the path is not a model, or the model is broken.
        """
        return await self.engine.find(name or self.settings.model.default or "starter")

    async def _resolve(self, reference: str) -> LocalModel | None:
        from spnl_tui.models.reference import ModelReference

        model = await self.library.resolve(ModelReference.parse(reference))
        projector = self.settings.model.projector
        if model is None or projector is None or reference != self.settings.model.default:
            return model
        from spnl_tui.models.files.local import with_projector

        return await asyncio.to_thread(with_projector, model, Path(projector))

    async def wanted_model(self, name: str | None = None) -> ModelHandle | None:
        """Return the model as `find_model` does; None if the starter must be pulled.

        Raises:
            ModelMissingError: the requested model must be pulled first.
            SpnlError: as `find_model`.
        """
        from spnl_tui.models.reference import ModelReference

        if (model := await self.find_model(name)) is not None:
            return model
        wanted = name or self.settings.model.default
        if wanted is not None and not ModelReference.parse(wanted).is_starter:
            raise ModelMissingError(wanted)
        return None

    async def model_to_begin_with(self, name: str | None = None) -> ModelHandle | None:
        """Return the model as `wanted_model` does; by default, the model used last that is still here.

        Raises:
            SpnlError: as `wanted_model`.
        """
        if name is None and self.settings.model.default is None:
            for last in await self._models_used_last():
                try:
                    if (model := await self.find_model(last)) is not None:
                        return model
                except SpnlError as error:  # removed or changed since, or another program's
                    _log.info("%s, used before, cannot be used now: %s", last, error)
        return await self.wanted_model(name)

    async def _models_used_last(self) -> tuple[str, ...]:
        try:
            return await (await self.store()).models_used_last()
        except SpnlError as error:
            _log.warning("cannot read which model was used last: %s", error)
            return ()

    async def close(self) -> None:
        """Close the services that were used, within two seconds."""
        closing = [
            self.__dict__[name].close()
            for name in ("engine", "pull_queue", "catalog", "library", "_store")
            if name in self.__dict__  # constructed, because it was used
        ]
        if self.mcp.cache_info().currsize:
            closing.append(self.mcp().close())
        # Close each, even if another one cannot be closed.
        for outcome in await asyncio.gather(*closing, return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome

    async def __aenter__(self) -> Services:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()


def _make_servers(settings: Settings) -> McpServers:
    from spnl_tui.tools.mcp.servers import McpServers

    return McpServers(settings.mcp, settings.tools.workspace or Path.cwd())


async def models_that_see(services: Services) -> tuple[str, ...]:
    """Return the names of the models on this machine that read images."""
    from spnl_tui.models.files.local import sees

    entries = (await services.library.listing()).entries
    return await asyncio.to_thread(lambda: tuple(str(each.reference) for each in entries if sees(each.model)))


def make_services(settings: Settings, paths: Paths, config_file: Path | None = None) -> Services:
    """Return the services for these settings, and start the program's log."""
    start_log(paths.log_file)
    return Services(settings, paths, config_file)


def make_engine(
    settings: Settings,
    paths: Paths,
    resolve: Resolve | None = None,
    mark_used: Callable[[LocalModel], None] = lambda model: None,
) -> EngineService:
    """Return the engine for these settings. `resolve` finds the models on this disk.

    `mark_used` receives each model that was loaded; it blocks.
    """
    from spnl_tui.endpoints import ENDPOINT, make_endpoints
    from spnl_tui.engine.mistralrs import BACKEND
    from spnl_tui.engine.service import DeferredBackend, EngineService

    def make_local() -> Backend:
        return make_local_backend(settings, paths, resolve, mark_used)

    def make() -> Backend:
        if settings.engine.resident == "never":
            return make_local()
        from spnl_tui.resident import resident_backend

        return resident_backend(BACKEND, settings, paths, make_local)

    return EngineService(
        [
            DeferredBackend(ENDPOINT, lambda: make_endpoints(settings, paths, resolve)),
            DeferredBackend(BACKEND, make),
        ]
    )


def make_local_backend(
    settings: Settings,
    paths: Paths,
    resolve: Resolve | None,
    mark_used: Callable[[LocalModel], None],
) -> Backend:
    """Return the backend that loads models for this process; see `make_engine`."""
    from spnl_tui.engine.mistralrs.backend import MistralRsBackend
    from spnl_tui.load_planning import load_planner

    engine = settings.engine
    budget = engine.memory_budget_gb
    return MistralRsBackend(
        load_planner(settings),
        paths,
        max_concurrent=engine.max_concurrent,
        keep_warm_s=engine.keep_warm_minutes * 60,
        memory_budget=None if budget is None else int(budget * 1e9),
        resolve=resolve,
        on_loaded=lambda model: asyncio.to_thread(mark_used, model),
    )
