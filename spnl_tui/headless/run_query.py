"""`spnl-chat run -f/-c/-b` and `spnl-chat map`: span queries without a screen."""

from __future__ import annotations

import asyncio
import dataclasses
import shutil
import sys
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spnl_tui.engine.backend import ModelHandle
from spnl_tui.errors import ModelMissingError, QueryError, SpnlError
from spnl_tui.headless.chosen_model import model_for
from spnl_tui.headless.output import FAILED, OK, for_output, print_json, show_error
from spnl_tui.headless.streams import input_lines
from spnl_tui.models.request import Sampling
from spnl_tui.queries.builtins import builtin
from spnl_tui.queries.chat import OpenedQuery, query_to_chat
from spnl_tui.queries.events import NodeChunk, NodeFailed, NodeFinished, NodePrinted, QueryFinished
from spnl_tui.queries.figures import time_table
from spnl_tui.queries.files import read_files
from spnl_tui.queries.formats.any_format import read_query
from spnl_tui.queries.journal import count_replies, map_key
from spnl_tui.queries.map import JournalFailed, LineFailed, LineFinished, map_lines
from spnl_tui.queries.plan import plan_query
from spnl_tui.queries.run import run_query
from spnl_tui.queries.simplify import simplify
from spnl_tui.queries.source import MAX_SOURCE_CHARACTERS
from spnl_tui.queries.tree import Generate, Query, models
from spnl_tui.queries.view import Progress, render_tree
from spnl_tui.services import Services
from spnl_tui.text import first_line, plain
from spnl_tui.text_files import UnreadableFileError, read_text_file

_STOP_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class QuerySource:
    """An unparsed query: its text, or the name of a built-in one."""

    text: str | None = None
    builtin: str | None = None
    directory: Path = Path()
    """The directory at which relative paths in the query start."""

    @classmethod
    def from_file(cls, file: Path) -> QuerySource:
        """Read the query in `file`. Call it before the event loop starts, so that signals end a slow read.

        Raises:
            QueryError: the file cannot be read.
        """
        try:
            text = read_text_file(file, 4 * MAX_SOURCE_CHARACTERS, pipes=True)
        except UnreadableFileError as error:
            raise QueryError("Cannot read the query", f"{file}: {error}.", "Check the path.") from error
        return cls(text=text, directory=file.parent)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryOptions:
    """The options for running a query and printing its results."""

    n: int | None = None
    model: str | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    json: bool = False
    time: bool = False
    verbose: bool = False
    dry_run: bool = False


def read_source(source: QuerySource, options: QueryOptions, default_model: str) -> Query:
    """Parse the query with the command line's values of its parameters.

    Raises:
        QueryError: the query is malformed.
    """
    values = {
        name: value
        for name in ("n", "temperature", "max_tokens")
        if (value := getattr(options, name)) is not None
    }
    model = options.model or default_model
    if source.builtin is not None:
        return builtin(source.builtin).query(model=model, **values)
    assert source.text is not None
    query = read_query(source.text, {"model": model, **values})
    others = [plain(name) for name in models(query) if name != options.model]
    if options.model is not None and others:
        raise QueryError(
            "-m does not apply",
            f"The query names its own models: {first_line(', '.join(others), 200)}.",
            'Leave -m out, or write "{model}" in the query for the model that -m gives.',
        )
    return query


async def open_as_chat(services: Services, source: QuerySource, model: str | None) -> OpenedQuery:
    """Return the query as a chat, with `model` for the parameter of that name.

    Raises:
        QueryError: the query is malformed, names models other than `model`, or is not a chat.
    """
    default = services.settings.model.default or "starter"
    query = read_source(source, QueryOptions(model=model), default)
    return query_to_chat(
        await read_files(query, source.directory, services.media), services.settings.sampling
    )


async def run(services: Services, source: QuerySource, options: QueryOptions) -> int:
    """Run the query, print its results, and return the exit code."""
    query = simplify(read_source(source, options, services.settings.model.default or "starter"))
    if not models(query):
        raise QueryError(
            "The query asks no model",
            "It has messages, but nothing replies to them.",
            'Ask one: (g "{model}" (user "Hello")).',
        )
    if options.dry_run:
        return await _dry_run(services, query, source.directory)
    stop = asyncio.Event()
    work = asyncio.create_task(_run(services, query, source.directory, options, stop))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        # After Ctrl+C, finished results are still printed.
        stop.set()
        await asyncio.wait([work], timeout=_STOP_S)
        work.cancel()
        raise


async def _run(
    services: Services, query: Query, directory: Path, options: QueryOptions, stop: asyncio.Event
) -> int:
    view = _TreeView(query) if options.verbose else None
    streamed = (
        isinstance(query, Generate) and not options.json and view is None and services.settings.engine.stream
    )
    end: QueryFinished | None = None
    replies: list[NodeFinished] = []
    query = await read_files(query, directory, services.media)
    events = run_query(
        query,
        services.engine,
        lambda name: resolve(services, name),
        defaults=services.settings.sampling,
        parallel=services.settings.engine.num_parallel,
        stop=stop,
    )
    async with aclosing(events):
        async for event in events:
            if view is not None:
                view.apply(event)
            match event:
                case NodeChunk(path=(), text=text) if streamed:
                    sys.stdout.write(for_output(text))
                    sys.stdout.flush()
                case NodePrinted(text=text):
                    print(plain(text), file=sys.stderr)
                case NodeFinished():
                    replies.append(event)
                case NodeFailed():
                    show_error(SpnlError(event.title, event.message, event.hint))
                case QueryFinished():
                    end = event
                case _:
                    pass
    assert end is not None
    if view is not None:
        view.end()
    if options.json:
        print_json(_document(end))
    elif streamed:
        if end.texts:
            print()
    else:
        for number, text in enumerate(end.texts, 1):
            if len(end.texts) > 1:
                print(f"{'' if number == 1 else chr(10)}── {number} ──")
            print(for_output(text))
    if options.time:
        print("\n".join(time_table(replies)), file=sys.stderr)
    return OK if end.complete else FAILED


async def _dry_run(services: Services, query: Query, directory: Path) -> int:
    from spnl_tui.load_planning import summarize_load

    known = {name: await resolve(services, name) for name in models(query)}

    async def count(model: str, texts: Sequence[str]) -> Sequence[int] | None:
        # Load the model only for its tokenizer.
        async for _ in services.engine.load(known[model]):
            pass
        return await services.engine.count_tokens(known[model], texts)

    query = await read_files(query, directory, services.media)
    plan = await plan_query(query, count, defaults=services.settings.sampling)
    print("\n".join(plan.lines))
    for name, model in known.items():
        summary = await summarize_load(services.settings, model)
        print(f"{plain(name)}: {summary.text}")
    return OK


async def map_input(services: Services, template: str, *, sampling: Sampling, jsonl: bool, time: bool) -> int:
    """Send each line of standard input as a prompt and print a row for it, an empty one if it failed.

    Print replies in the order of the lines, or with `jsonl` as they finish, one object each. If the map is
    interrupted, standard error says how many replies are kept.
    """
    model = await model_for(services)
    journal = services.paths.state / "maps" / f"{map_key(template, model.name, sampling)}.jsonl"
    failed = 0
    replies: list[NodeFinished] = []
    events = map_lines(
        template,
        _standard_input(),
        services.engine,
        model,
        sampling=sampling,
        journal=journal,
        ordered=not jsonl,
        parallel=services.settings.engine.num_parallel,
    )
    try:
        async with aclosing(events):
            async for event in events:
                if isinstance(event, JournalFailed):
                    show_error(event.error)
                    continue
                if isinstance(event, LineFinished):
                    replies.append(event.reply)
                else:
                    failed += 1
                    error = event.error
                    show_error(SpnlError(f"Line {event.index + 1}: {error.title}", error.message, error.hint))
                if jsonl:
                    print_json(_row(event))
                else:
                    # Exactly one row for each line, so that `paste` pairs them.
                    text = event.reply.text if isinstance(event, LineFinished) else ""
                    print(" ".join(for_output(text).split()), flush=True)
    except asyncio.CancelledError:
        kept = count_replies(journal)
        print(
            f"Interrupted. {_counted(kept, 'reply is', 'replies are')} kept."
            f"{' Run the same command on the same input to resume.' if kept else ''}",
            file=sys.stderr,
        )
        raise
    if time:
        print("\n".join(time_table(replies)), file=sys.stderr)
    if failed:
        print(
            f"{_counted(failed, 'line has', 'lines have')} no reply. "
            "Run the same command on the same input to ask only them again.",
            file=sys.stderr,
        )
    return FAILED if failed else OK


def _counted(count: int, one: str, more: str) -> str:
    return f"{count:,} {one if count == 1 else more}"


def _row(event: LineFinished | LineFailed) -> dict[str, Any]:
    body = {"index": event.index, "line": event.line}
    if isinstance(event, LineFinished):
        return {**body, "resumed": event.resumed, **_reply(event.reply)}
    return {**body, "error": _failure(event.error)}


async def resolve(services: Services, name: str) -> ModelHandle:
    """Return the model of a query.

    Raises:
        SpnlError: the model is not on this machine.
    """
    if (model := await services.find_model(name)) is None:
        raise ModelMissingError(name)
    return model


class _TreeView:
    """The query's tree on standard error: repainted on a terminal, printed once at the end elsewhere."""

    def __init__(self, query: Query) -> None:
        self._query = query
        self._progress = Progress()
        self._live = sys.stderr.isatty()
        self._height = 0
        self._painted_at = 0.0

    def apply(self, event: Any) -> None:
        self._progress.apply(event)
        now = asyncio.get_running_loop().time()
        if self._live and now - self._painted_at > 0.1:
            self._painted_at = now
            self._paint()

    def end(self) -> None:
        self._paint()

    def _paint(self) -> None:
        lines = render_tree(self._query, self._progress.notes)
        if self._live:
            size = shutil.get_terminal_size()
            lines = [line[: size.columns - 1] for line in lines[: size.lines - 2]]
            up = f"\x1b[{self._height}A" if self._height else ""
            sys.stderr.write(up + "".join(f"\x1b[2K{line}\n" for line in lines))
        else:
            sys.stderr.write("\n".join(lines) + "\n")
        sys.stderr.flush()
        self._height = len(lines)


async def _standard_input() -> AsyncIterator[str]:
    """Yield the lines of standard input.

    A daemon thread reads them, so that a slow read does not delay the end.
    """
    loop = asyncio.get_running_loop()
    lines: asyncio.Queue[str | None] = asyncio.Queue()

    def read() -> None:
        for line in input_lines():
            loop.call_soon_threadsafe(lines.put_nowait, line)
        loop.call_soon_threadsafe(lines.put_nowait, None)

    threading.Thread(target=read, daemon=True).start()
    while (line := await lines.get()) is not None:
        yield line


def _document(end: QueryFinished) -> dict[str, Any]:
    return {
        "replies": [_reply(reply) for reply in end.replies],
        "failures": [_failure(failed) for failed in end.failures],
        "complete": end.complete,
        "seconds": round(end.seconds, 6),
    }


def _failure(failed: NodeFailed) -> dict[str, Any]:
    return {
        "title": failed.title,
        "message": failed.message,
        "hint": failed.hint,
        "reply": failed.text,
        "reasoning": failed.reasoning,
        "finish_reason": failed.finish_reason,
    }


def _reply(reply: NodeFinished) -> dict[str, Any]:
    return {
        "model": reply.model,
        "reply": reply.text,
        "reasoning": reply.reasoning,
        "finish_reason": reply.finish_reason,
        "usage": dataclasses.asdict(reply.usage),
        "timing": dataclasses.asdict(reply.timing),
    }
