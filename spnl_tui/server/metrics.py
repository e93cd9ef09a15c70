"""Counts of a server in the text format of Prometheus.

https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_TTFT_BOUNDS_S = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


@dataclass(slots=True)
class Metrics:
    """Counts since the start of the server."""

    requests: Counter[tuple[str, int]] = field(default_factory=Counter)
    """By path and status."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    disconnected: int = 0
    """Requests whose client left before the end."""
    _ttft: list[int] = field(default_factory=lambda: [0] * (len(_TTFT_BOUNDS_S) + 1))
    _ttft_sum_s: float = 0.0

    def count_ttft(self, seconds: float) -> None:
        """Count a time to first token."""
        place = sum(seconds > bound for bound in _TTFT_BOUNDS_S)
        self._ttft[place] += 1
        self._ttft_sum_s += seconds

    def as_text(self, running: int, loaded: int) -> str:
        """Return all counts. `running`: requests that run or wait now; `loaded`: models in memory."""
        return "".join(f"{line}\n" for line in self._lines(running, loaded))

    def _lines(self, running: int, loaded: int) -> Iterable[str]:
        yield from _family("spnl_requests_total", "counter", "Requests answered, by path and status.")
        for (path, status), count in sorted(self.requests.items()):
            yield f'spnl_requests_total{{path="{path}",status="{status}"}} {count}'
        for name, kind, help, value in (
            ("spnl_requests_running", "gauge", "Requests that run or wait.", running),
            ("spnl_models_loaded", "gauge", "Models in memory.", loaded),
            ("spnl_requests_disconnected_total", "counter", "Requests whose client left.", self.disconnected),
            ("spnl_prompt_tokens_total", "counter", "Tokens of prompts.", self.prompt_tokens),
            ("spnl_completion_tokens_total", "counter", "Tokens of replies.", self.completion_tokens),
        ):
            yield from _family(name, kind, help)
            yield f"{name} {value}"
        name = "spnl_time_to_first_token_seconds"
        yield from _family(name, "histogram", "From the request to the first piece of the reply.")
        total = 0
        for bound, count in zip((*map(str, _TTFT_BOUNDS_S), "+Inf"), self._ttft, strict=True):
            total += count
            yield f'{name}_bucket{{le="{bound}"}} {total}'
        yield f"{name}_sum {self._ttft_sum_s:.6f}"
        yield f"{name}_count {total}"


def _family(name: str, kind: str, help: str) -> tuple[str, str]:
    return f"# HELP {name} {help}", f"# TYPE {name} {kind}"
