"""The events of `run_query`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from spnl_tui.engine.backend import FinishReason, Timing, Usage
from spnl_tui.queries.tree import NodePath

Stage = Literal["queued", "loading", "prefill"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeStarted:
    """A node has sent its request.

    It expects `candidates` replies: n of a Repeat, one for each input of a Map.
    """

    path: NodePath
    model: str
    candidates: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeProgressed:
    """A node has reached another stage before its first text."""

    path: NodePath
    candidate: int
    stage: Stage
    done: int = 0
    """The prompt tokens read so far, in the stage "prefill"."""
    total: int = 0
    """All prompt tokens ("prefill"), or the number of requests ahead ("queued")."""
    detail: str = ""
    """The stage of the load in words ("loading")."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeChunk:
    """More of a reply."""

    path: NodePath
    candidate: int
    text: str
    reasoning: str = ""
    tokens: int = 0
    """The tokens of the reply so far, including this chunk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFinished:
    """One reply is complete.

    If it was "cancelled", it is the partial reply from when the query was stopped.
    """

    path: NodePath
    candidate: int
    model: str
    text: str
    reasoning: str = ""
    finish_reason: FinishReason
    usage: Usage
    timing: Timing


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFailed:
    """A reply failed. The fields are those of a SpnlError; `text` is the partial reply."""

    path: NodePath
    candidate: int
    title: str
    message: str = ""
    hint: str = ""
    text: str = ""
    reasoning: str = ""
    finish_reason: FinishReason | None = None
    """The finish reason of a complete but unusable reply; None if the reply is not complete."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodePrinted:
    """The query printed a line for the user."""

    path: NodePath
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryFinished:
    """The last event. `replies` are the query's results in written order.

    Replies that were only input of another request are not among them. `complete` is False if a reply failed
    or the query was stopped; the results are then partial.
    """

    replies: tuple[NodeFinished, ...]
    failures: tuple[NodeFailed, ...] = ()
    """The failures of all replies, in the order in which they occurred."""
    complete: bool
    seconds: float

    @property
    def texts(self) -> tuple[str, ...]:
        """The text of each result."""
        return tuple(reply.text for reply in self.replies)


QueryEvent: TypeAlias = (
    NodeStarted | NodeProgressed | NodeChunk | NodeFinished | NodeFailed | NodePrinted | QueryFinished
)
