"""Map mode: one prompt for each line of a text, resumable after an interruption."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from spnl_tui.errors import QueryError
from spnl_tui.models.local import LocalModel
from spnl_tui.models.request import Message, Sampling
from spnl_tui.queries.asking import ChatEngine, ask
from spnl_tui.queries.events import NodeFailed, NodeFinished, QueryEvent
from spnl_tui.queries.journal import Journal, map_key, open_journal
from spnl_tui.queries.run import DEFAULT_PARALLEL

SLOT = "{}"
"""Where the line goes in a template."""


@dataclass(frozen=True, slots=True)
class LineFinished:
    """The reply to one line."""

    index: int
    """The number of the line, from 0."""
    line: str
    reply: NodeFinished
    resumed: bool
    """It comes from the journal of an earlier, interrupted run."""


@dataclass(frozen=True, slots=True)
class LineFailed:
    """One line has no reply. A resumed map asks it again."""

    index: int
    line: str
    error: NodeFailed


LineEvent = LineFinished | LineFailed


def fill_template(template: str, line: str) -> str:
    """The prompt for a line. Other braces stay as they are.

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
    engine: ChatEngine,
    model: LocalModel,
    *,
    sampling: Sampling | None = None,
    journal: Path | None = None,
    ordered: bool = True,
    parallel: int = DEFAULT_PARALLEL,
) -> AsyncGenerator[LineEvent, None]:
    """Ask about each line, as one user message. Yields one event for each line.

    In the order of the lines, or, not `ordered`, as they are done. Lines are taken as they are needed,
    without their line ends, and at most `parallel` are under way; a plain iterable must not block.

    With `journal`, a file, every reply is kept there first; run again after an interruption, what it
    holds is not asked again. When every line has its reply, the file is removed.

    Raises:
        QueryError: the template has no place for the line, or the journal cannot be used.
    """
    fill_template(template, "")
    sampling = sampling or Sampling()
    async with contextlib.AsyncExitStack() as stack:
        kept = None
        if journal:
            kept = stack.enter_context(open_journal(journal, map_key(template, model.name, sampling)))
        job = _Job(template, engine, model, sampling, kept)
        each = await stack.enter_async_context(contextlib.aclosing(_each(lines)))
        events = await stack.enter_async_context(contextlib.aclosing(_window(job, each, ordered, parallel)))
        complete = True
        async for event in events:
            complete = complete and isinstance(event, LineFinished)
            yield event
        if kept and complete:
            kept.remove()


@dataclass(frozen=True, slots=True)
class _Job:
    template: str
    engine: ChatEngine
    model: LocalModel
    sampling: Sampling
    journal: Journal | None

    async def line(self, index: int, line: str) -> LineEvent:
        """The event of one line: out of the journal, or asked, and then kept there."""
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
            # Not in a thread: a cancellation must not come between a reply and its place in the journal.
            self.journal.add(line, reply)
        return LineFinished(index, line, reply, resumed=False)


async def _window(
    job: _Job, lines: AsyncIterator[str], ordered: bool, parallel: int
) -> AsyncGenerator[LineEvent, None]:
    """At most `parallel` lines under way, in the order of the lines or as they are done."""
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
    """The lines without their ends."""
    if isinstance(lines, Iterable):
        for line in lines:
            yield line.rstrip("\r\n")
    else:
        async for line in lines:
            yield line.rstrip("\r\n")
