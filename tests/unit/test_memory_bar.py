"""The memory bar, the orders of quantizations, and the terminal's own progress bar."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from spnl_tui.models.memory import MemoryEstimate
from spnl_tui.models.quantization import ModelFile, Quantization
from spnl_tui.ui.models.details import ordered
from spnl_tui.ui.models.memory_bar import memory_bar
from spnl_tui.ui.widgets.terminal_progress import TerminalProgress, draws_progress

ESTIMATE = MemoryEstimate(weights=6 * 10**9, overhead=10**9, kv_cache=3 * 10**9, loading=0)


@pytest.mark.parametrize("width", [40, 60, 78, 120])
def test_memory_bar_shows_each_part_and_what_remains(width: int) -> None:
    text = memory_bar(ESTIMATE, 20 * 10**9, width).plain
    assert text.count("█") > text.count("▒") > 0
    assert text.endswith("weights 6.0  context 3.0  free after 10.0 GB")
    assert text.count("░") == pytest.approx(sum(map(text.count, "█▓▒")), abs=2)


def test_memory_bar_says_how_much_is_missing() -> None:
    text = memory_bar(ESTIMATE, 8 * 10**9, 78).plain
    assert "░" not in text
    assert "2.0 GB too much" in text


def test_quantizations_sort_by_fit_speed_or_size() -> None:
    def appraisal(level: str, speed: float) -> Any:
        return SimpleNamespace(level=level, speed=SimpleNamespace(decode=speed))

    choices = [Quantization(label, (ModelFile(label, size),), label) for label, size in SIZES.items()]
    appraisals = {"F16": appraisal("no", 2), "Q8_0": appraisal("maybe", 9), "Q4_K": appraisal("yes", 5)}

    def labels(order: Any) -> list[str]:
        return [each.label for each in ordered(choices, appraisals, order)]

    assert labels("listed") == ["F16", "Q8_0", "Q4_K"]
    assert labels("fit") == ["Q4_K", "Q8_0", "F16"]
    assert labels("speed") == ["Q8_0", "Q4_K", "F16"]
    assert labels("size") == ["Q4_K", "Q8_0", "F16"]


SIZES = {"F16": 16, "Q8_0": 8, "Q4_K": 4}


def test_terminal_progress_is_written_on_change_and_removed_at_the_end() -> None:
    written: list[str] = []
    app: Any = SimpleNamespace(_driver=SimpleNamespace(write=written.append))
    progress = TerminalProgress(app, draws=True)
    for share in (0.101, 0.109, 0.2, None, None):
        progress.show(share)
    assert written == ["\x1b]9;4;1;10\x1b\\", "\x1b]9;4;1;20\x1b\\", "\x1b]9;4;0;0\x1b\\"]


@pytest.mark.parametrize(
    ("environment", "draws"),
    [({}, False), ({"TERM_PROGRAM": "iTerm.app"}, False), ({"WT_SESSION": "1"}, True)],
)
def test_terminal_progress_needs_a_terminal_that_draws_it(environment: dict[str, str], draws: bool) -> None:
    assert draws_progress(environment) is draws
