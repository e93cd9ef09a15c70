"""What `pull` takes without being told a quantization: the one that the browser marks on this machine."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from spnl_tui.errors import ModelReferenceError
from spnl_tui.hub.access import HubAccess
from spnl_tui.hub.catalog import Catalog
from spnl_tui.hub.pulls.pull import PullRequest, pull
from spnl_tui.hub.verdicts import Conditions, Headers, appraise_repository
from spnl_tui.hub.wanted import find_wanted
from spnl_tui.models.machine import Machine
from spnl_tui.models.reference import ModelReference
from tests.support.gguf_maker import make_gguf
from tests.support.hub import LoopbackHub
from tests.support.hub_content import BLOCK, Pattern

ROOMY = Conditions(
    machine=Machine(cores=4, fast_cores=4, memory_total=16 * 10**9, memory_available=10 * 10**9),
    context=2048,
)
REPOSITORY = "acme/Made-GGUF"
BARE = ModelReference.parse(REPOSITORY)


def within(memory: int) -> Conditions:
    return replace(ROOMY, machine=replace(ROOMY.machine, memory_available=memory))


@pytest.fixture
async def catalog(hub: LoopbackHub, tmp_path: Path) -> AsyncIterator[Catalog]:
    """A hub with two quantizations that run, and one that does not."""
    types = {"Q4_K_S": ("Q4_K", "Q6_K"), "Q8_0": ("Q8_0", "Q8_0")}
    shape: dict[str, Any] = {"layers": 4, "width": 512, "feed_forward": 1024, "vocabulary": 2048}
    made = {
        f"m-{label}.gguf": make_gguf(
            tmp_path / f"m-{label}.gguf", matrix=matrix, embedding=embedding, **shape
        )
        for label, (matrix, embedding) in types.items()
    }
    told = {"total": 11_500_000, "architecture": "llama", "context_length": 2048, "chat_template": "x"}
    hub.add_repo(REPOSITORY, {**made, "m-IQ4_NL.gguf": b"i" * 6_000_000}, gguf=told)
    catalog = Catalog(HubAccess(hub.endpoint, False), timeout=5)
    yield catalog
    await catalog.close()


async def between_the_two(catalog: Catalog) -> Conditions:
    """A machine with room for the smaller one only."""
    _, found = await appraise_repository(Headers(catalog, await catalog.details(REPOSITORY)), ROOMY)
    peaks = [found[label].verdict.memory.peak for label in ("Q4_K_S", "Q8_0")]  # type: ignore[union-attr]
    return within(int(sum(peaks) / 2 / 0.95))


async def test_wanted_quantization_runs_and_fits(catalog: Catalog, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    wanted = await find_wanted(catalog, BARE, ROOMY, cache=cache)
    assert (str(wanted.reference), wanted.request.files) == (f"{REPOSITORY}:Q8_0", ("m-Q8_0.gguf",))
    assert wanted.doubt == ""
    wanted = await find_wanted(catalog, BARE, await between_the_two(catalog), cache=cache)
    assert wanted.request.files == ("m-Q4_K_S.gguf",)


async def test_named_quantization_wins_with_a_doubt(
    hub: LoopbackHub, catalog: Catalog, tmp_path: Path
) -> None:
    wanted = await find_wanted(catalog, BARE.with_quantization("IQ4_NL"), ROOMY, cache=tmp_path)
    assert wanted.request.files == ("m-IQ4_NL.gguf",)
    assert "IQ4_NL" in wanted.doubt
    assert not hub.downloads()
    with pytest.raises(ModelReferenceError, match="No Q6_K here"):
        await find_wanted(catalog, BARE.with_quantization("Q6_K"), ROOMY, cache=tmp_path)


async def test_unusable_repository_raises_or_leaves_a_doubt(catalog: Catalog, tmp_path: Path) -> None:
    wanted = await find_wanted(catalog, BARE, within(10**6), cache=tmp_path)
    assert "MB" in wanted.doubt or "GB" in wanted.doubt


async def test_unreadable_headers_leave_the_hubs_facts(
    hub: LoopbackHub, catalog: Catalog, tmp_path: Path
) -> None:
    hub.faults.add("status", status=500, path=".gguf", times=None)
    wanted = await find_wanted(catalog, BARE, ROOMY, cache=tmp_path)
    assert wanted.request.files == ("m-Q8_0.gguf",)


async def test_interrupted_pull_keeps_its_quantization(
    hub: LoopbackHub, catalog: Catalog, tmp_path: Path
) -> None:
    hub.add_repo("acme/Big-GGUF", {"b-Q4_K_M.gguf": b"GGUF", "b-Q6_K.gguf": Pattern(20 * BLOCK)})
    hub.faults.add("slow", rate=40 * BLOCK, path="b-Q6_K.gguf", times=None)
    cache = tmp_path / "cache"
    request = PullRequest("acme/Big-GGUF", ("b-Q6_K.gguf",))
    async with aclosing(pull(request, hub=HubAccess(hub.endpoint, False), cache=cache)) as events:
        async for event in events:
            if getattr(event, "done", 0):
                break
    asked = len(hub.downloads())
    wanted = await find_wanted(catalog, ModelReference.parse("acme/big-gguf"), ROOMY, cache=cache)
    assert wanted.request == request
    assert len(hub.downloads()) == asked  # no header: it would be asked for anew at each try


async def test_safetensors_model_has_no_quantization(
    hub: LoopbackHub, catalog: Catalog, tmp_path: Path
) -> None:
    hub.add_repo("acme/Whole", {"config.json": b"{}", "model.safetensors": b"s" * 100})
    wanted = await find_wanted(catalog, ModelReference.parse("acme/Whole"), ROOMY, cache=tmp_path)
    assert str(wanted.reference) == "acme/Whole"
    assert "model.safetensors" in wanted.request.files
