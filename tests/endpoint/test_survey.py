"""`spnl-chat endpoints`, and the commands that the documents print."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import click
import pytest

from spnl_tui.cli.main import cli
from spnl_tui.endpoints import surveyed
from spnl_tui.headless.servers.endpoints import endpoints
from spnl_tui.paths import Paths
from spnl_tui.services import Services
from spnl_tui.settings import Settings
from spnl_tui.settings.endpoints import EndpointSettings
from tests.support.endpoint_server import WELL, serving
from tests.support.ollama_server import CONTEXT, ollama

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture
def nothing_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the servers of the developer's machine out of the tests."""
    from spnl_tui.engine.endpoint import endpoints as known

    monkeypatch.setattr(known, "_LOOPBACK_PORTS", {"llamacpp": 1, "lmstudio": 1, "vllm": 1})
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "GEMINI_API_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("nothing_listens")
async def test_endpoints_are_listed_with_their_models_and_problems(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models = ({"id": "org/m", "owned_by": "vllm", "max_model_len": 2048},)
    async with ollama() as local, serving(WELL, models=models) as box:
        monkeypatch.setenv("OLLAMA_HOST", f"127.0.0.1:{local.port}")
        own = EndpointSettings(url=f"http://127.0.0.1:{box.port}")
        services = Services(Settings(endpoints={"box": own}), Paths.below(tmp_path))
        assert await endpoints(services, None, json_=True) == 0
        found = {each["name"]: each for each in json.loads(capsys.readouterr().out)["endpoints"]}
        assert await endpoints(services, "box", json_=False) == 0
        table = capsys.readouterr().out
    assert found["box"]["models"] == [{"model": "box/org/m", "context_length": 2048}]
    assert found["box"]["server"] == "vllm"
    assert {each["context_length"] for each in found["ollama"]["models"]} == {CONTEXT}
    assert found["vllm"]["problem"]["title"] == "The server is not running"
    assert found["openai"]["problem"]["title"] == "The key is missing"
    assert found["openai"]["leaves_this_machine"]
    assert "box/org/m    2,048" in table


async def test_survey_for_the_pane_runs_no_commands(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    own = EndpointSettings(url="http://127.0.0.1:1", api_key_command=f"touch {mark}")
    settings = Settings(endpoints={"box": own})
    names = [each.endpoint.name async for each in surveyed(settings, Paths.below(tmp_path), commands=False)]
    assert "box" not in names
    assert not mark.exists()


@pytest.mark.parametrize("name", ["endpoints.md", "scale.md"])
def test_commands_in_the_documents_are_accepted(name: str) -> None:
    blocks = re.findall(r"```sh\n(.*?)```", (DOCS / name).read_text(), re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines() if line.startswith("spnl-chat ")]
    assert lines
    for line in lines:
        words = shlex.split(line.partition(" < ")[0], comments=True)[1:]
        context = cli.make_context("spnl-chat", list(words), resilient_parsing=True)
        rest = [*context._protected_args, *context.args]
        if not rest:
            continue
        command = cli.get_command(context, rest[0])
        assert command is not None, line
        with click.Context(command, parent=context) as inner:
            command.parse_args(inner, rest[1:])
