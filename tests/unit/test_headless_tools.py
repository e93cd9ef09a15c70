"""Tools without a screen: `run --tools`, and `tools` in span queries."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from spnl_tui.cli.common import names_in
from spnl_tui.headless import run_prompt
from spnl_tui.models.parts import ToolCallPart
from spnl_tui.models.request import Sampling
from spnl_tui.queries.formats.json_format import read_json, to_json
from spnl_tui.queries.formats.lisp import read_lisp
from spnl_tui.queries.formats.lisp_writer import write_lisp
from spnl_tui.queries.run import run_query
from spnl_tui.queries.source import QuerySyntaxError
from spnl_tui.tools.agent import Agent
from spnl_tui.tools.permissions import Permissions
from spnl_tui.tools.toolbox import READ_ONLY, Toolbox, built_in_tools
from tests.support.scripted_engine import MODEL, ScriptedEngine, calling, reply


def read(path: str) -> ToolCallPart:
    return ToolCallPart("", "read_file", json.dumps({"path": path}))


async def test_run_prints_calls_apart_from_the_reply(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.txt").write_text("forty\x1b[31m-two")
    write = ToolCallPart("", "write_file", '{"path": "b.txt", "text": "x"}')
    for json_ in (False, True):
        engine = ScriptedEngine([calling(read("a.txt"), write), reply("It is 42.")])
        toolbox = Toolbox(built_in_tools(["files"], tmp_path))
        agent = Agent(engine, toolbox, Permissions(["read_file"]))
        assert await run_prompt.ask(agent, MODEL, run_prompt.Request(prompt="Read it.", json=json_)) == 0
        out, err = capsys.readouterr()
        assert "read_file a.txt · done" in err
        assert "write_file b.txt · denied" in err
        assert "\x1b[31m" not in err
        if not json_:
            assert out.splitlines() == ["Let me see. ", "It is 42."]
            continue
        document = json.loads(out)
        assert document["reply"] == "Let me see. It is 42."
        assert [(call["name"], call["arguments"]["path"]) for call in document["calls"]] == [
            ("read_file", "a.txt"), ("write_file", "b.txt"),
        ]  # fmt: skip
        assert "forty" in document["calls"][0]["result"]
        assert "No user can be asked here" in document["calls"][1]["error"]
    assert not (tmp_path / "b.txt").exists()


def test_names_are_separated_by_commas_outside_parentheses() -> None:
    assert names_in("read_file, run_command(a,b *),time") == ("read_file", "run_command(a,b *)", "time")


async def test_query_may_call_tools_that_only_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_text("forty-two")
    query = read_lisp('(g "m" "Read it." 0.5 (tools read_file current_time))')
    assert read_lisp(write_lisp(query)) == query
    assert read_json(json.dumps(to_json(query))) == query
    engine = ScriptedEngine([calling(read("a.txt")), reply("It is 42.")])

    async def resolve(name: str) -> object:
        return MODEL

    events = [event async for event in run_query(query, engine, resolve, defaults=Sampling())]  # type: ignore[arg-type]
    assert events
    assert "forty-two" in engine.asked[1][-1].model_text
    for text in (
        '(g "m" "x" (tools run_command))',
        '(g "m" "x" (tools files))',
        '(g "m" "x" (tools write_file))',
    ):
        with pytest.raises(QuerySyntaxError, match="only reads"):
            read_lisp(text)


def test_tools_that_queries_accept_are_those_that_only_read() -> None:
    tools = built_in_tools(["files", "command", "web", "time", "math"], Path())
    assert {each.tool.name for each in tools if each.read_only} == READ_ONLY
