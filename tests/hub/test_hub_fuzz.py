"""Mutated answers of the hub through search, show and pull. `python -m benchmarks.fuzz_hub` runs more."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.fuzz_hub import FuzzHub
from tests.support.fuzzed_routes import ROUTES, FuzzedRoutes
from tests.support.gguf_maker import make_gguf


@pytest.mark.slow
@pytest.mark.parametrize("route", ROUTES)
async def test_mutated_answers_end_in_a_result_or_an_error(tmp_path: Path, route: str) -> None:
    first = 20_260
    with FuzzHub(make_gguf(tmp_path / "m.gguf")) as hub:
        routes = FuzzedRoutes(hub, tmp_path)
        for seed in range(first, first + 300):
            try:
                await routes.run(route, seed)
            except BaseException:
                print(f"failed with seed {seed}")
                raise
        await routes.close()
