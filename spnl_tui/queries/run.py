"""Run span queries. Independent requests are sent at once; the engine admits them in its own order."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from spnl_tui.engine.backend import Backend, ModelHandle
from spnl_tui.models.request import Message as ChatMessage
from spnl_tui.models.request import Sampling
from spnl_tui.queries.events import (
    NodeFailed,
    NodeFinished,
    NodePrinted,
    NodeStarted,
    QueryEvent,
    QueryFinished,
)
from spnl_tui.queries.files import read_files
from spnl_tui.queries.node_replies import Resolve, ask
from spnl_tui.queries.prefixes import by_prefix
from spnl_tui.queries.source import QuerySyntaxError
from spnl_tui.queries.tree import (
    Cross,
    Generate,
    Map,
    Message,
    NodePath,
    Parallel,
    Plus,
    Print,
    Query,
    Repeat,
    Sequence,
    models,
    walk,
)

if TYPE_CHECKING:
    from spnl_tui.tools.agent import Agent

DEFAULT_PARALLEL = 16
PARALLEL_ON_SERVERS = 256
"""Requests at once to models that answer many; the backend lets as many through as its server takes."""
"""How many requests of a query may be at the engine at once. The engine decides how many of them run."""


async def run_query(
    query: Query,
    engine: Backend,
    resolve: Resolve,
    *,
    defaults: Sampling | None = None,
    directory: Path | None = None,
    parallel: int = DEFAULT_PARALLEL,
    stop: asyncio.Event | None = None,
) -> AsyncGenerator[QueryEvent, None]:
    """Run the query. Yield its events, and at the end one QueryFinished.

    A Generate is sent once its input is complete: messages as they are, and inner replies as assistant
    messages in written order. Where parts may run at once, those with a common prefix start one after the
    other, so that the engine's prefix cache serves them. A failed part ends only the parts that need its
    reply.

    `defaults` supplies missing values; its seed, increased by one for each request in written order, gives
    every request its own. Paths in the query are relative to `directory` (by default the current one).
    Setting `stop` ends the query in order: running requests are cancelled and yield NodeFinished
    ("cancelled"), then QueryFinished follows. Leaving the iterator (`aclosing`) ends it at once. Either way
    nothing keeps running.

    Raises:
        QuerySyntaxError: the query is not valid, or a file of it cannot be read.
        SpnlError: `resolve` does not know a model of the query. In both cases nothing was run.
    """
    started = time.monotonic()
    query = await read_files(query, directory or Path())
    run = await _Run.prepare(query, engine, resolve, defaults or Sampling(), parallel)
    work = asyncio.create_task(run.evaluate(query, ()))
    work.add_done_callback(lambda _: run.events.put_nowait(None))
    stopper = asyncio.create_task(_cancel_at(stop, work)) if stop else None
    finished: dict[tuple[NodePath, int], NodeFinished] = {}
    failures: list[NodeFailed] = []
    surface = _surface(query)
    try:
        while (event := await run.events.get()) is not None:
            if (
                isinstance(event, NodeFinished)
                and event.path in surface
                and event.finish_reason != "cancelled"
            ):
                finished[event.path, event.candidate] = event
            if isinstance(event, NodeFailed):
                failures.append(event)
            yield event
        yield QueryFinished(
            replies=tuple(finished[key] for key in sorted(finished)),
            failures=tuple(failures),
            complete=not work.cancelled() and work.result().complete,
            seconds=time.monotonic() - started,
        )
    finally:
        tasks = [task for task in (work, stopper) if task]
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def _cancel_at(stop: asyncio.Event, work: asyncio.Task[_Outcome]) -> None:
    await stop.wait()
    work.cancel()


def _surface(query: Query) -> frozenset[NodePath]:
    """Return the paths of the nodes whose replies are results, not input of another request."""
    asking = [path for path, node in walk(query) if isinstance(node, (Generate, Repeat, Map))]
    surface: set[NodePath] = set()
    for path in asking:  # outer before inner
        if not any(path[:length] in surface for length in range(len(path))):
            surface.add(path)
    return frozenset(surface)


def _speaks(node: Query) -> bool:
    """Return True if a message comes from this very node."""
    match node:
        case Message():
            return node.content != ""
        case Map():
            return bool(node.inputs)
        case _:
            return isinstance(node, (Generate, Repeat))


def _seed_offsets(query: Query) -> dict[NodePath, int]:
    """Return the number to add to the seed of each requesting node, in written order."""
    offsets: dict[NodePath, int] = {}
    offset = 0
    for path, node in walk(query):
        if isinstance(node, (Generate, Repeat, Map)):
            offsets[path] = offset
            offset += len(node.inputs) if isinstance(node, Map) else 1
    return offsets


@dataclass(frozen=True, slots=True)
class _Outcome:
    """The messages that a node contributes to the request around it."""

    messages: tuple[ChatMessage, ...] = ()
    complete: bool = True


@dataclass(frozen=True, slots=True)
class _Run:
    """One run of one query."""

    engine: Backend
    models: dict[str, ModelHandle]
    defaults: Sampling
    seed_offsets: dict[NodePath, int]
    admission: asyncio.Semaphore
    events: asyncio.Queue[QueryEvent | None] = field(default_factory=asyncio.Queue)
    """Not bounded: it holds at most the text that the engine generates while the reader is busy."""

    @classmethod
    async def prepare(
        cls, query: Query, engine: Backend, resolve: Resolve, defaults: Sampling, parallel: int
    ) -> _Run:
        """Do everything that can fail before the first request."""
        local = {name: await resolve(name) for name in models(query)}
        for _, node in walk(query):
            generate = node.generate if isinstance(node, Repeat) else node
            match generate:
                case Generate(model=model, input=given):
                    silent = not any(_speaks(part) for _, part in walk(given))
                case Map(model=model, inputs=inputs):
                    silent = "" in inputs
                case _:
                    continue
            if silent:
                raise QuerySyntaxError(
                    f"found nothing to ask {model}; expected a message that is not empty",
                    generate.place,
                    'Give it a text, such as (user "Hello").',
                )
        if local and all(model.capabilities.parallel for model in local.values()):
            parallel = max(parallel, PARALLEL_ON_SERVERS)
        return cls(engine, local, defaults, _seed_offsets(query), asyncio.Semaphore(parallel))

    def emit(self, event: QueryEvent) -> None:
        self.events.put_nowait(event)

    async def evaluate(self, node: Query, path: NodePath) -> _Outcome:
        """Run the node and the nodes that it needs."""
        match node:
            case Message(role, str(content)):
                return _Outcome((ChatMessage(role, content),))
            case Print(text):
                self.emit(NodePrinted(path=path, text=text))
                return _Outcome()
            case Cross() | Sequence():
                return await self.in_order(node, path)
            case Plus() | Parallel():
                return await self.at_once(node, path)
            case Generate():
                return await self.generate(node, 1, path)
            case Repeat():
                return await self.generate(node.generate, node.n, path)
            case Map():
                return await self.map(node, path)
        raise AssertionError(node)

    async def in_order(self, node: Cross | Sequence, path: NodePath) -> _Outcome:
        messages: list[ChatMessage] = []
        for index, child in enumerate(node.children):
            outcome = await self.evaluate(child, (*path, index))
            messages.extend(outcome.messages)
            if not outcome.complete:
                return _Outcome(tuple(messages), complete=False)
        return _Outcome(tuple(messages))

    async def at_once(self, node: Plus | Parallel, path: NodePath) -> _Outcome:
        async with asyncio.TaskGroup() as group:
            # Tasks start in the order of their creation.
            tasks = {
                index: group.create_task(self.evaluate(node.children[index], (*path, index)))
                for index in by_prefix(node.children)
            }
        return _joined([tasks[index].result() for index in range(len(node.children))])

    async def generate(self, node: Generate, n: int, path: NodePath) -> _Outcome:
        given = await self.evaluate(node.input, (*path, 0))
        messages = tuple(message for message in given.messages if message.content)
        if not given.complete or not messages:
            message = (
                "There is nothing to ask: every message is empty."
                if given.complete
                else "A part of its input has failed."
            )
            for candidate in range(n):
                self.emit(NodeFailed(path=path, candidate=candidate, title="Not asked", message=message))
            return _Outcome(complete=False)
        return await self.ask(node, messages, path, n=n)

    async def map(self, node: Map, path: NodePath) -> _Outcome:
        self.emit(NodeStarted(path=path, model=node.model, candidates=len(node.inputs)))
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(self.ask(node, (ChatMessage("user", text),), path, candidate=index))
                for index, text in enumerate(node.inputs)
            ]
        return _joined([task.result() for task in tasks])

    async def ask(
        self,
        node: Generate | Map,
        messages: tuple[ChatMessage, ...],
        path: NodePath,
        *,
        n: int = 1,
        candidate: int = 0,
    ) -> _Outcome:
        sampling = sampling_of(node, self.defaults)
        if sampling.seed is not None:
            # Requests with the same seed would have the same reply. The offset depends on the query, not on
            # timing.
            sampling = replace(sampling, seed=sampling.seed + self.seed_offsets[path] + candidate)
        async with self.admission:
            if isinstance(node, Generate):
                self.emit(NodeStarted(path=path, model=node.model, candidates=n))
            tools = node.tools if isinstance(node, Generate) else ()
            replies = await ask(
                _with_tools(self.engine, tools) if tools else self.engine,
                self.models[node.model],
                messages,
                sampling,
                self.emit,
                path=path,
                n=n,
                candidate=candidate,
            )
        return _Outcome(
            tuple(ChatMessage("assistant", reply.text) for reply in replies if reply),
            complete=all(replies),
        )


def sampling_of(node: Generate | Map, defaults: Sampling) -> Sampling:
    """Return the sampling of a node: its own values, and the defaults for missing ones."""
    return replace(
        defaults,
        temperature=defaults.temperature if node.temperature is None else node.temperature,
        max_tokens=defaults.max_tokens if node.max_tokens is None else node.max_tokens,
    )


def _joined(outcomes: list[_Outcome]) -> _Outcome:
    return _Outcome(
        tuple(message for outcome in outcomes for message in outcome.messages),
        all(outcome.complete for outcome in outcomes),
    )


def _with_tools(engine: Backend, tools: tuple[str, ...]) -> Agent:
    """Return an agent that may call these tools, which only read, in the current folder."""
    from spnl_tui.tools.agent import Agent
    from spnl_tui.tools.permissions import Permissions
    from spnl_tui.tools.toolbox import Toolbox, built_in_tools

    return Agent(engine, Toolbox(built_in_tools(tools, Path.cwd())), Permissions(tools))
