"""Models that see, on the hub: verdict, pull with projector and config files, removal."""

from __future__ import annotations

from pathlib import Path

import pytest

from spnl_tui.hub.access import HubAccess
from spnl_tui.hub.catalog import Catalog
from spnl_tui.hub.library.library import Library
from spnl_tui.hub.pulls.pull import PullFinished, PullNoted, pull
from spnl_tui.hub.verdicts import Conditions, Headers
from spnl_tui.hub.wanted import find_wanted, pulled_model
from spnl_tui.models.files.local import read_local_facts, resolve_local, sees
from spnl_tui.models.machine import read_machine
from spnl_tui.models.reference import ModelReference
from tests.support.gguf_maker import make_gguf
from tests.support.hub import LoopbackHub
from tests.support.vision_maker import make_vision_model

GGUF, BASE = "acme/Smol-GGUF", "maker/Smol"


@pytest.fixture
def files(tmp_path: Path) -> dict[str, bytes]:
    """A model that names its base, its projector, and the base's config files."""
    folder = tmp_path / "made"
    make_vision_model(folder, base=BASE)
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def _add(hub: LoopbackHub, files: dict[str, bytes], *projectors: str, gated: bool = False) -> None:
    models = {name: data for name, data in files.items() if name.startswith("model")}
    models |= dict.fromkeys(projectors, files["mmproj-model-f16.gguf"])
    hub.add_repo(GGUF, models, gguf={"architecture": "llama", "total": 1_000_000})
    configs = {name: data for name, data in files.items() if name.endswith(".json")}
    hub.add_repo(BASE, {**configs, "model.safetensors": b"x"}, gated=gated)


def _conditions() -> Conditions:
    return Conditions(machine=read_machine(), context=1024)


@pytest.mark.slow
async def test_pull_brings_projector_and_config_and_the_model_sees_offline(
    hub: LoopbackHub, files: dict[str, bytes], tmp_path: Path
) -> None:
    _add(hub, files, "mmproj-model-F32.gguf", "mmproj-model-f16.gguf")
    cache, access = tmp_path / "cache", HubAccess(hub.endpoint, False)
    catalog = Catalog(access)
    try:
        details = await catalog.details(GGUF)
        assert [q.label for q in details.choices] == ["Q8_0"]
        headers = Headers(catalog, details)
        await headers.read("Q8_0")
        appraisal = headers.appraise(_conditions())["Q8_0"]
        assert "reads images: 33 tokens" in appraisal.runs.words
        wanted = await find_wanted(catalog, ModelReference.parse(GGUF), _conditions(), cache=cache)
    finally:
        await catalog.close()
    assert wanted.request.files == ("model-Q8_0.gguf", "mmproj-model-f16.gguf")
    assert wanted.size_bytes == sum(len(files[name]) for name in wanted.request.files)
    events = [event async for event in pull(wanted.request, hub=access, cache=cache)]
    finished = events[-1]
    assert isinstance(finished, PullFinished)
    assert not [event for event in events if isinstance(event, PullNoted)]
    hub.close()
    model = pulled_model(wanted.request, finished)
    assert model.files == ("model-Q8_0.gguf",)
    assert sees(model)
    library = Library(cache, tmp_path / "imported.json")
    try:
        (entry,) = (await library.listing()).entries
        plan = await library.plan_removal(entry)
        assert {path.name for path in plan.links} == set(wanted.request.files)
        assert plan.frees_bytes == wanted.size_bytes
    finally:
        await library.close()


async def test_gated_base_repository_is_named_and_the_model_still_reads_text(
    hub: LoopbackHub, files: dict[str, bytes], tmp_path: Path
) -> None:
    _add(hub, files, "mmproj-model-f16.gguf", gated=True)
    cache, access = tmp_path / "cache", HubAccess(hub.endpoint, False)
    catalog = Catalog(access)
    try:
        headers = Headers(catalog, await catalog.details(GGUF))
        await headers.read("Q8_0")
        words = headers.appraise(_conditions())["Q8_0"].runs.words
        wanted = await find_wanted(catalog, ModelReference.parse(GGUF), _conditions(), cache=cache)
    finally:
        await catalog.close()
    assert f"it reads only text: it needs config files of {BASE}" in words
    events = [event async for event in pull(wanted.request, hub=access, cache=cache)]
    (note,) = [event.text for event in events if isinstance(event, PullNoted)]
    assert note.startswith(f"The model will read only text until the config files of {BASE} are pulled: ")
    finished = events[-1]
    assert isinstance(finished, PullFinished)
    facts = read_local_facts(pulled_model(wanted.request, finished))
    assert facts.vision is None
    assert BASE in (facts.blind or "")


def test_projector_of_another_model_is_not_used(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    make_vision_model(folder)
    make_gguf(folder / "model-Q8_0.gguf", architecture="qwen3")
    facts = read_local_facts(resolve_local(folder / "model-Q8_0.gguf"))
    assert facts.vision is None
    assert facts.blind == "mmproj-model-f16.gguf in its directory belongs to another model"
