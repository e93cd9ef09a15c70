"""Verdicts on a repository: from one header, from none, and when the headers disagree."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from spnl_tui.hub.access import HubAccess
from spnl_tui.hub.catalog import Catalog
from spnl_tui.hub.model_lines import quantization_row
from spnl_tui.hub.verdicts import Conditions, Headers, appraise_local, appraise_repository
from spnl_tui.models.files.local import resolve_local
from spnl_tui.models.machine import Machine
from tests.support.gguf_maker import make_gguf
from tests.support.hub import LoopbackHub

ROOMY = Conditions(
    machine=Machine(cores=4, fast_cores=4, memory_total=16 * 10**9, memory_available=10 * 10**9),
    context=2048,
)
SHAPE: dict[str, Any] = {"layers": 4, "width": 512, "feed_forward": 1024, "vocabulary": 2048}
TOLD = {"total": 11_500_000, "architecture": "llama", "context_length": 2048, "chat_template": "x"}


@pytest.fixture
async def catalog(hub: LoopbackHub) -> AsyncIterator[Catalog]:
    catalog = Catalog(HubAccess(hub.endpoint, False), timeout=5)
    yield catalog
    await catalog.close()


def within(memory: int) -> Conditions:
    return replace(ROOMY, machine=replace(ROOMY.machine, memory_available=memory))


def made(folder: Path, label: str, **changes: object) -> Path:
    types = {"Q4_K_S": ("Q4_K", "Q6_K"), "Q8_0": ("Q8_0", "Q8_0"), "F32": ("F32", "F32")}
    matrix, embedding = types[label.removeprefix("UD-")]
    return make_gguf(folder / f"m-{label}.gguf", matrix=matrix, embedding=embedding, **{**SHAPE, **changes})


async def test_header_of_one_model_does_not_judge_another(
    hub: LoopbackHub, catalog: Catalog, tmp_path: Path
) -> None:
    small, large = made(tmp_path, "Q8_0"), made(tmp_path, "Q4_K_S", layers=12)
    hub.add_repo("acme/Two-GGUF", {small.name: small, large.name: large}, gguf=TOLD)
    headers = Headers(catalog, await catalog.details("acme/Two-GGUF"))
    _, found = await appraise_repository(headers, ROOMY)
    assert {label: appraisal.basis for label, appraisal in found.items()} == {
        "Q8_0": "header",
        "Q4_K_S": "hub",
    }
    assert found["Q4_K_S"].badge == "not known"
    await headers.read("Q4_K_S")
    assert headers.appraise(ROOMY)["Q4_K_S"].badge == "fits"


@pytest.mark.slow
async def test_bits_are_the_same_before_and_after_a_pull(
    hub: LoopbackHub, catalog: Catalog, tmp_path: Path
) -> None:
    files = {label: made(tmp_path, label) for label in ("Q4_K_S", "Q8_0", "F32")}
    # What the hub tells may be of another file, and the tokenizer is no weight.
    hub.add_repo("acme/M-GGUF", {file.name: file for file in files.values()}, gguf={**TOLD, "total": 9})
    headers = Headers(catalog, await catalog.details("acme/M-GGUF"))
    assert {a.bits_per_weight for a in headers.appraise(ROOMY).values()} == {None}
    _, before = await appraise_repository(headers, ROOMY)
    after = {k: await appraise_local(resolve_local(file, "m"), ROOMY) for k, file in files.items()}
    for q in headers.details.quantizations:
        rows = [quantization_row(q, None, False, found[q.label]) for found in (before, after)]
        assert rows[0][3] == rows[1][3]
    assert (after["Q8_0"].bits_per_weight, after["F32"].bits_per_weight) == (pytest.approx(8.5, abs=0.1), 32)


async def test_header_is_read_once(hub: LoopbackHub, catalog: Catalog, tmp_path: Path) -> None:
    file = made(tmp_path, "Q8_0")
    hub.add_repo("acme/One-GGUF", {file.name: file}, gguf=TOLD)
    headers = Headers(catalog, await catalog.details("acme/One-GGUF"))
    await appraise_repository(headers, ROOMY)
    count = len(hub.requests)
    await appraise_repository(headers, within(10**6))
    assert len(hub.requests) == count


async def test_default_is_the_best_that_runs_and_fits(
    hub: LoopbackHub, catalog: Catalog, tmp_path: Path
) -> None:
    files = {path.name: path for path in (made(tmp_path, "Q4_K_S"), made(tmp_path, "Q8_0"))}
    hub.add_repo("acme/Made-GGUF", {**files, "m-IQ4_NL.gguf": b"i" * 6_000_000}, gguf=TOLD)
    headers = Headers(catalog, await catalog.details("acme/Made-GGUF"))
    chosen, found = await appraise_repository(headers, ROOMY)
    assert chosen.label == "Q8_0"
    totals = {label: appraisal.verdict.memory.peak for label, appraisal in found.items() if appraisal.verdict}
    between = within(int((totals["Q4_K_S"] + totals["Q8_0"]) / 2 / 0.95))
    chosen, found = await appraise_repository(headers, between)
    assert chosen.label == "Q4_K_S"
    assert found["Q8_0"].level == "no"
    # What the user names wins, and its verdict tells why it should not.
    chosen, found = await appraise_repository(headers, between, named="Q8_0")
    assert chosen.label == "Q8_0"
    assert found["Q8_0"].reasons[1].startswith("Does not fit: ")


async def test_dynamic_mix_is_a_guess_until_its_header_is_read(
    hub: LoopbackHub, catalog: Catalog, tmp_path: Path
) -> None:
    files = {path.name: path for path in (made(tmp_path, "UD-Q4_K_S"), made(tmp_path, "Q8_0"))}
    hub.add_repo("acme/Made-GGUF", files, gguf=TOLD)
    headers = Headers(catalog, await catalog.details("acme/Made-GGUF"))
    _, found = await appraise_repository(headers, ROOMY)
    assert (found["UD-Q4_K_S"].runs.level, found["UD-Q4_K_S"].badge) == ("maybe", "~untried")
    await headers.read("UD-Q4_K_S")
    assert headers.appraise(ROOMY)["UD-Q4_K_S"].badge == "fits"


@pytest.mark.parametrize(
    ("label", "told", "badge", "words"),
    [
        ("Q8_0", {"architecture": "bert"}, "unsupported", "an embedding model (bert)"),
        ("Q8_0", {"architecture": "qwen2vl"}, "unsupported", "together with its projector"),
        ("IQ3_M", {"architecture": "llama"}, "~unsupported", "cannot load IQ3_M tensors"),
        ("MXFP4", {"architecture": "llama"}, "~unsupported", "cannot load MXFP4 tensors"),
        ("MXFP4", {"architecture": "gpt-oss", "chat_template": "x"}, "not known", "not known"),
        ("Q8_0", {"architecture": "llama"}, "base model", "without a chat template"),
        ("Q8_0", {}, "not known", "not known"),
    ],
)
async def test_hub_facts_give_a_verdict_without_a_header(
    hub: LoopbackHub, catalog: Catalog, label: str, told: dict[str, str], badge: str, words: str
) -> None:
    hub.add_repo("acme/Told-GGUF", {f"m-{label}.gguf": b"GGUF" * 1000}, gguf={"total": 10**6, **told})
    headers = Headers(catalog, await catalog.details("acme/Told-GGUF"))
    [found] = headers.appraise(ROOMY).values()
    assert (found.basis, found.badge) == ("hub", badge)
    assert words in found.runs.words
    [found] = headers.appraise(within(1000)).values()
    assert found.level == "no"


async def test_safetensors_model_has_one_verdict(hub: LoopbackHub, catalog: Catalog) -> None:
    hub.add_repo("acme/Plain", {"model.safetensors": b"\x02" + bytes(7) + b"{}", "config.json": "{}"})
    headers = Headers(catalog, await catalog.details("acme/Plain"))
    assert list(headers.appraise(ROOMY)) == ["safetensors"]
