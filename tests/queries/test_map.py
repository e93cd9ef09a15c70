"""Map mode: order, journal, resuming."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest

from spnl_tui.errors import QueryError
from spnl_tui.models.request import Sampling
from spnl_tui.queries.journal import count_replies, map_key, open_journal
from spnl_tui.queries.map import JournalFailed, LineFailed, LineFinished, MapEvent, map_lines
from tests.support.query_engine import QueryEngine, resolve

TEMPLATE = 'Summarize: {} {"as": "json"}'


async def collect(lines: list[str], engine: QueryEngine, **options: object) -> list[MapEvent]:
    model = await resolve("m")
    options = {"template": TEMPLATE, **options}
    return [event async for event in map_lines(lines=lines, engine=engine, model=model, **options)]  # type: ignore[arg-type]  # by name


def line_of(event: MapEvent) -> LineFinished | LineFailed:
    assert not isinstance(event, JournalFailed), event
    return event


def prompts(engine: QueryEngine) -> list[str]:
    return [asked.messages[0].text for asked in engine.asked]


async def test_each_line_is_a_prompt_and_the_order_is_kept() -> None:
    engine = QueryEngine(shuffle=3)
    events = await collect(["a\n", "{}\r\n", "c"], engine)
    assert sorted(prompts(engine)) == sorted(
        f'Summarize: {line} {{"as": "json"}}' for line in ("a", "{}", "c")
    )
    assert [(line_of(event).index, line_of(event).line) for event in events] == [
        (0, "a"),
        (1, "{}"),
        (2, "c"),
    ]
    assert all(isinstance(event, LineFinished) and event.line in event.reply.text for event in events)


async def test_unordered_results_come_as_they_are_done() -> None:
    engine = QueryEngine()
    model = await resolve("m")
    running = map_lines("{}", ["HANG", "a", "b"], engine, model, ordered=False)
    async with aclosing(running) as events:
        assert [line_of(await anext(events)).line for _ in range(2)] == ["a", "b"]
    assert engine.running == 0


async def test_ordered_results_do_not_wait_for_the_next_line() -> None:
    """Lines that someone types: each is answered before the next is there."""
    engine, answered = QueryEngine(), asyncio.Event()

    async def typed() -> AsyncIterator[str]:
        yield "a"
        await answered.wait()
        yield "b"

    seen = []
    async with aclosing(map_lines("{}", typed(), engine, await resolve("m"))) as events:
        async for event in events:
            seen.append(line_of(event).line)
            answered.set()
    assert seen == ["a", "b"]


async def test_no_more_lines_are_under_way_than_allowed() -> None:
    engine = QueryEngine()
    reader = asyncio.create_task(collect(["HANG"] * 20, engine, template="{}", parallel=3))
    for _ in range(200):  # turns of the loop: more than enough for a fourth to start, if it could
        await asyncio.sleep(0)
    assert len(engine.asked) == engine.running == 3
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    assert engine.running == 0
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_interrupted_map_resumes_without_repeating_lines(tmp_path: Path) -> None:
    lines = [f"line {number % 45}" for number in range(50)]  # some lines are equal: each has its own reply
    journal = tmp_path / "deep" / "journal.jsonl"
    first = QueryEngine(shuffle=1)
    seen: list[MapEvent] = []
    model = await resolve("m")
    async with aclosing(map_lines("{}", lines, first, model, journal=journal, parallel=4)) as events:
        async for event in events:
            seen.append(event)
            if len(seen) == 25:
                break
    assert first.running == 0
    kept = journal.read_text().count('"line"')
    assert kept >= 25, "what was finished beside the last one is kept too"
    with journal.open("a") as stream:
        stream.write('{"line": "torn')  # as a killed program leaves it
    second = QueryEngine(shuffle=2)
    async with aclosing(map_lines("{}", lines, second, model, journal=journal, parallel=4)) as events:
        again = [await anext(events) for _ in range(40)]
    assert again[:25] == [LineFinished(e.index, e.line, e.reply, True) for e in seen]  # type: ignore[union-attr]
    kept_then = journal.read_text().count('"line"')
    third = QueryEngine(shuffle=3)
    whole = await collect(lines, third, template="{}", journal=journal)
    assert [line_of(event).line for event in whole] == lines
    assert len(third.asked) == 50 - kept_then, "none computed twice"
    assert sum(isinstance(event, LineFinished) and event.resumed for event in whole) == kept_then
    assert not journal.exists(), "complete: the next run begins anew"


_CHILD = """
import asyncio, sys
from pathlib import Path
from spnl_tui.queries.map import map_lines
from tests.support.query_engine import QueryEngine, resolve

async def main():
    lines = [str(number) for number in range(50)]
    model = await resolve("m")
    async for event in map_lines("{}", lines, QueryEngine(), model, journal=Path(sys.argv[1]), parallel=2):
        print(event.index, flush=True)
        if event.index == 24:
            sys.stdin.read()  # until the end

asyncio.run(main())
"""


@pytest.mark.slow
async def test_a_killed_program_loses_nothing_that_it_has_shown(tmp_path: Path) -> None:
    journal = tmp_path / "journal.jsonl"
    pipe = asyncio.subprocess.PIPE
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _CHILD, str(journal), stdin=pipe, stdout=pipe
    )
    assert child.stdout is not None
    for _ in range(25):
        assert await child.stdout.readline()
    child.kill()
    await child.communicate()
    kept = journal.read_text().count('"line"')
    engine = QueryEngine()
    events = await collect([str(number) for number in range(50)], engine, template="{}", journal=journal)
    assert [line_of(event).index for event in events] == list(range(50))
    assert 25 <= kept < 50
    assert len(engine.asked) == 50 - kept


async def test_lines_moved_between_two_runs_keep_their_replies(tmp_path: Path) -> None:
    journal = tmp_path / "journal.jsonl"
    await collect(["a", "b", "FAIL"], QueryEngine(), template="{}", journal=journal)
    engine = QueryEngine()
    events = await collect(["new", "b", "a"], engine, template="{}", journal=journal)
    assert prompts(engine) == ["new"]
    assert [line_of(event).line for event in events] == ["new", "b", "a"]


async def test_a_line_that_fails_is_asked_again(tmp_path: Path) -> None:
    journal = tmp_path / "journal.jsonl"
    events = await collect(["a", "FAIL", "b"], QueryEngine(), template="{}", journal=journal)
    assert [type(event) for event in events] == [LineFinished, LineFailed, LineFinished]
    assert isinstance(events[1], LineFailed)
    assert events[1].error.title == "Refused"
    engine = QueryEngine()
    await collect(["a", "FAIL", "b"], engine, template="{}", journal=journal)
    assert prompts(engine) == ["FAIL"]


async def test_a_journal_of_another_map_is_refused(tmp_path: Path) -> None:
    journal = tmp_path / "journal.jsonl"
    await collect(["FAIL"], QueryEngine(), template="{}", journal=journal)
    for options in ({"template": "x {}"}, {"template": "{}", "sampling": Sampling(temperature=0.1)}):
        with pytest.raises(QueryError, match="another template, model or sampling"):
            await collect(["a"], QueryEngine(), journal=journal, **options)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("notes of mine\n", "is not a journal"),
        ("[1]\n", "is not a journal"),
        (json.dumps({"journal": "spnl-chat map", "version": 1, "key": "k"}) + "\n{}\n", "line 2"),
        (json.dumps({"journal": "spnl-chat map", "version": 1, "key": "k"}) + "\nnope\n", "line 2"),
    ],
)
def test_invalid_journal_is_kept_unchanged(tmp_path: Path, content: str, says: str) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_text(content)
    with pytest.raises(QueryError, match=says), open_journal(path, "k"):
        pass
    assert path.read_text() == content


def test_two_maps_cannot_share_a_journal(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    with open_journal(path, "k"), pytest.raises(QueryError, match="already running"), open_journal(path, "k"):
        pass
    with open_journal(path, "k"):
        pass


def test_a_map_is_known_by_template_model_and_sampling() -> None:
    keys = {
        map_key("{}", "m", Sampling()),
        map_key("{}!", "m", Sampling()),
        map_key("{}", "k", Sampling()),
        map_key("{}", "m", Sampling(seed=1)),
    }
    assert len(keys) == 4
    assert map_key("{}", "m", Sampling()) in keys


async def test_unwritable_journal_is_reported_once_and_the_map_continues(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a directory")
    journal = tmp_path / "file" / "journal.jsonl"
    events = await collect(["a", "b", "c"], QueryEngine(), template="{}", journal=journal)
    assert [type(event) for event in events] == [JournalFailed, LineFinished, LineFinished, LineFinished]


_ON_A_FULL_DISK = """
import asyncio, resource, sys
from pathlib import Path
from spnl_tui.queries.map import map_lines
from tests.support.query_engine import QueryEngine, resolve

async def main():
    lines = [str(number) for number in range(50)]
    async for event in map_lines("{}", lines, QueryEngine(), await resolve("m"), journal=Path(sys.argv[1])):
        print(type(event).__name__)

resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))  # fails as a full disk does, after half a line
asyncio.run(main())
"""


@pytest.mark.slow
async def test_journal_on_a_full_disk_keeps_its_whole_lines(tmp_path: Path) -> None:
    journal = tmp_path / "journal.jsonl"
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _ON_A_FULL_DISK, str(journal), stdout=asyncio.subprocess.PIPE
    )
    out, _ = await child.communicate()
    assert child.returncode == 0
    assert out.split().count(b"JournalFailed") == 1
    assert out.split().count(b"LineFinished") == 50
    assert journal.stat().st_size == 2000, "half a line is left"
    kept = count_replies(journal)
    engine = QueryEngine()
    again = await collect([str(number) for number in range(50)], engine, template="{}", journal=journal)
    assert len(again) == 50
    assert len(engine.asked) == 50 - kept < 50


async def test_a_template_needs_a_place_for_the_line() -> None:
    with pytest.raises(QueryError, match="no place for the line"):
        await collect(["a"], QueryEngine(), template="Summarize")


async def test_equal_lines_have_seeds_of_their_own() -> None:
    engine = QueryEngine()
    await collect(["a", "a"], engine, sampling=Sampling(seed=7))
    assert [asked.sampling.seed for asked in engine.asked] == [7, 8]
