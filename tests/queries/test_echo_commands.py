"""The commands without a screen over a second backend: run, map and a span query."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from spnl_tui.engine.service import EngineService
from spnl_tui.headless import run_query
from spnl_tui.headless.chosen_model import model_for
from spnl_tui.headless.run_prompt import Request, ask
from spnl_tui.models.request import Grammar, Sampling
from spnl_tui.paths import Paths
from spnl_tui.services import Services
from spnl_tui.settings import ModelSettings, Settings
from tests.support.echo_backend import EchoBackend


@pytest_asyncio.fixture
async def services(tmp_path: Path) -> AsyncIterator[Services]:
    """Yield the services of a user whose model is an echo."""
    services = Services(Settings(model=ModelSettings(default="echo")), Paths.below(tmp_path))
    services.engine = EngineService([EchoBackend()])
    yield services
    await services.close()


async def test_run_prints_the_reply_of_an_echo(
    services: Services, capsys: pytest.CaptureFixture[str]
) -> None:
    model = await model_for(services)
    assert await ask(services.engine, model, Request(prompt="Hello there", n=2, json=True)) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["model"] == "echo"
    assert [reply["reply"] for reply in printed["replies"]] == ["Hello there"] * 2
    assert printed["replies"][0]["usage"] == {"prompt_tokens": 2, "completion_tokens": 2}


async def test_run_refuses_a_form_that_an_echo_cannot_keep(
    services: Services, capsys: pytest.CaptureFixture[str]
) -> None:
    request = Request(prompt="Hello", grammar=Grammar("regex", "a"))
    assert await ask(services.engine, await model_for(services), request) == 1
    assert "does not accept a reply format" in capsys.readouterr().err


async def test_span_query_combines_the_replies_of_two_echoes(
    services: Services, capsys: pytest.CaptureFixture[str]
) -> None:
    inner = '(plus (g "echo/a" "one") (g "echo/b" "two"))'
    text = f'(g "echo/judge" (cross (user "Choose:") {inner} (user "Now")) 0 9)'
    source = run_query.QuerySource(text=text)
    assert await run_query.run(services, source, run_query.QueryOptions(json=True)) == 0
    (reply,) = json.loads(capsys.readouterr().out)["replies"]
    assert (reply["model"], reply["reply"]) == ("echo/judge", "Now")
    assert reply["usage"]["prompt_tokens"] == 4  # Choose: one two Now


async def test_map_prints_one_echo_for_each_line(
    services: Services, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("one\ntwo\n"))
    options = {"sampling": Sampling(), "jsonl": False, "time": False}
    assert await run_query.map_input(services, "Say {}", **options) == 0  # type: ignore[arg-type]  # by name
    assert capsys.readouterr().out == "Say one\nSay two\n"
