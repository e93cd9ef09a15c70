"""Maps: one prompt for each line of a text, resumable after an interruption."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

from spnl_tui.engine.backend import Backend, ModelHandle
from spnl_tui.errors import QueryError
from spnl_tui.models.request import Message, Sampling
from spnl_tui.queries.events import NodeFailed, NodeFinished, QueryEvent
from spnl_tui.queries.journal import Journal, JournalWriteError, map_key, open_journal
from spnl_tui.queries.node_replies import ask
from spnl_tui.queries.run import DEFAULT_PARALLEL, PARALLEL_ON_SERVERS

SLOT = "{}"
"""Marks the place of the line in a template."""


@dataclass(frozen=True, slots=True)
class LineFinished:
    """The reply to one line."""

    index: int
    """Line number, from 0."""
    line: str
    reply: NodeFinished
    resumed: bool
    """True if it comes from the journal of an earlier, interrupted run."""


@dataclass(frozen=True, slots=True)
class LineFailed:
    """A line without a reply. A resumed map asks it again."""

    index: int
    line: str
    error: NodeFailed


@dataclass(frozen=True, slots=True)
class JournalFailed:
    """The replies from here on are not kept for a resumed run. Reported once."""

    error: JournalWriteError


LineEvent: TypeAlias = LineFinished | LineFailed
MapEvent: TypeAlias = LineEvent | JournalFailed


def fill_template(template: str, line: str) -> str:
    """Return the prompt for a line. Other braces stay as they are.

    Raises:
        QueryError: the template has no place for the line.
    """
    if SLOT not in template:
        raise QueryError(
            "The template has no place for the line",
            f"There is no {SLOT} in it.",
            f"For example 'Summarize: {SLOT}'.",
        )
    return template.replace(SLOT, line)


async def map_lines(
    template: str,
    lines: Iterable[str] | AsyncIterator[str],
    engine: Backend,
    model: ModelHandle,
    *,
    sampling: Sampling | None = None,
    journal: Path | None = None,
    ordered: bool = True,
    parallel: int = DEFAULT_PARALLEL,
) -> AsyncGenerator[MapEvent, None]:
    """Ask about each line, as one user message, and yield one event for each line.

    Events come in the order of the lines if `ordered`, else as replies finish. Lines are read as they are
    needed, without their line ends, and at most `parallel` are asked at once, or more of a model that answers
    many. An iterable must not block.

    Every reply is first kept in the file `journal`. A run after an interruption does not ask again what the
    file holds. When every line has a reply, the file is removed. If the file cannot be written, JournalFailed
    reports it and the map continues.

    Raises:
        QueryError: the template has no place for the line, or the journal is in use or damaged.
    """
    fill_template(template, "")
    sampling = sampling or Sampling()
    if model.capabilities.parallel:
        parallel = max(parallel, PARALLEL_ON_SERVERS)
    async with contextlib.AsyncExitStack() as stack:
        job = _Job(template, engine, model, sampling)
        if journal:
            try:
                job.journal = stack.enter_context(
                    open_journal(journal, map_key(template, model.name, sampling))
                )
            except JournalWriteError as error:
                job.failure = JournalFailed(error)
        each = await stack.enter_async_context(contextlib.aclosing(_each(lines)))
        events = await stack.enter_async_context(contextlib.aclosing(_window(job, each, ordered, parallel)))
        complete = True
        reported = False
        async for event in events:
            if job.failure and not reported:
                reported = True
                yield job.failure
            complete = complete and isinstance(event, LineFinished)
            yield event
        if job.journal and complete:
            job.journal.remove()


@dataclass(slots=True)
class _Job:
    template: str
    engine: Backend
    model: ModelHandle
    sampling: Sampling
    journal: Journal | None = None
    failure: JournalFailed | None = None

    async def line(self, index: int, line: str) -> LineEvent:
        """Return the event of one line: its reply from the journal, or a new one, which the journal keeps."""
        if self.journal and (known := self.journal.take(line)):
            return LineFinished(index, line, known, resumed=True)
        failures: list[NodeFailed] = []

        def emit(event: QueryEvent) -> None:
            if isinstance(event, NodeFailed):
                failures.append(event)

        prompt = Message("user", fill_template(self.template, line))
        sampling = self.sampling
        if sampling.seed is not None:
            sampling = replace(
                sampling, seed=sampling.seed + index
            )  # equal lines may differ in their replies
        [reply] = await ask(self.engine, self.model, (prompt,), sampling, emit, candidate=index)
        if reply is None:
            return LineFailed(index, line, failures[0])
        if self.journal:
            # Not in a thread: a cancellation must not come between a reply and its journal entry.
            try:
                self.journal.add(line, reply)
            except JournalWriteError as error:
                self.journal, self.failure = None, JournalFailed(error)
        return LineFinished(index, line, reply, resumed=False)


async def _window(
    job: _Job, lines: AsyncIterator[str], ordered: bool, parallel: int
) -> AsyncGenerator[LineEvent, None]:
    """Yield the events of the lines, with at most `parallel` lines asked at once."""
    tasks: deque[asyncio.Task[LineEvent]] = deque()
    reading: asyncio.Task[str | None] | None = None
    index, more = 0, True
    try:
        while more or tasks:
            if more and not reading and len(tasks) < parallel:
                reading = asyncio.create_task(_next(lines))
            awaited = [*([tasks[0]] if ordered and tasks else tasks), *([reading] if reading else [])]
            await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)
            if reading and reading.done():
                line, reading = reading.result(), None
                if line is None:
                    more = False
                else:
                    tasks.append(asyncio.create_task(job.line(index, line)))
                    index += 1
            for task in [task for task in tasks if task.done()]:
                if ordered and task is not tasks[0]:
                    break
                tasks.remove(task)
                yield task.result()
    finally:
        left = [*tasks, *([reading] if reading else [])]
        for unfinished in left:
            unfinished.cancel()
        if left:
            await asyncio.wait(left)


async def _next(lines: AsyncIterator[str]) -> str | None:
    return await anext(lines, None)


async def _each(lines: Iterable[str] | AsyncIterator[str]) -> AsyncGenerator[str, None]:
    """Yield the lines without their ends."""
    if isinstance(lines, Iterable):
        for line in lines:
            yield line.rstrip("\r\n")
    else:
        async for line in lines:
            yield line.rstrip("\r\n")
