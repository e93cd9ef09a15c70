"""Faults between a hub and its clients, for injection into the loopback hub.

hub.faults.add("rst_in_body", path="model.gguf", after=1_000_000)      # once
hub.faults.add("status", status=500, times=None)                       # always
hub.faults.add("status", status=429, retry_after="1", where="hub", method="HEAD")
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

FaultKind = Literal[
    "status",  # answer with `status`, `body` and `headers` (and `retry_after` and `error_code` as headers)
    "hang_before_headers",  # accept the request, send nothing
    "hang_in_body",  # `after` bytes of the body, then silence
    "fin_in_body",  # `after` bytes, then the connection is closed properly
    "rst_in_body",  # `after` bytes, then it is reset
    "ignore_range",  # 200 and the whole file, ignoring the range
    "short",  # `after` bytes, and a Content-Length that matches them
    "wrong_content",  # the right length, with a wrong byte at `after`
    "slow",  # `rate` bytes per second
]
Where = Literal["hub", "cdn", "any"]


@dataclass(kw_only=True)
class Fault:
    """One fault, for the next `times` matching requests after `skip` others."""

    kind: FaultKind
    path: str = ""
    """A part of the request's path; on the CDN, of the served file's name."""
    where: Where = "any"
    method: str = ""
    times: int | None = 1
    skip: int = 0
    after: int = 0
    status: int = 500
    error_code: str = ""
    retry_after: str | None = None
    body: bytes = b"as arranged"
    headers: Mapping[str, str] = field(default_factory=dict)
    rate: int = 1_000_000
    hits: int = 0

    def matches(self, where: Where, method: str, path: str) -> bool:
        """Return True if the fault applies to this request. Body faults apply to file contents only."""
        of_any_request = self.kind in ("status", "hang_before_headers")
        file_sent = method == "GET" and (where == "cdn" or "/resolve-cache/" in path)
        return (
            self.where in ("any", where)
            and self.method in ("", method)
            and self.path in path
            and self.times != 0
            and (of_any_request or file_sent)
        )


class Faults:
    """Pending faults. The first match applies."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._lock = threading.Lock()

    def add(self, kind: FaultKind, **fields: object) -> Fault:
        """Add a fault; see `Fault` for the fields. Its `hits` count how often it applied."""
        fault = Fault(kind=kind, **fields)  # type: ignore[arg-type]
        with self._lock:
            self._faults.append(fault)
        return fault

    def clear(self) -> None:
        """Remove all faults."""
        with self._lock:
            self._faults.clear()

    def clear_for(self, path: str) -> None:
        """Remove the faults of this file."""
        with self._lock:
            self._faults = [fault for fault in self._faults if fault.path != path]

    def take(self, where: Where, method: str, path: str) -> Fault | None:
        """Return the fault for this request, and count it."""
        with self._lock:
            for fault in self._faults:
                if not fault.matches(where, method, path):
                    continue
                if fault.skip:
                    fault.skip -= 1
                    continue
                if fault.times is not None:
                    fault.times -= 1
                fault.hits += 1
                return fault
        return None
