"""What happens while a query runs: the events of `run_query`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from spnl_tui.engine.backend import FinishReason, Timing, Usage
from spnl_tui.queries.tree import NodePath

Stage = Literal["queued", "loading", "prefill"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeStarted:
    """A model is being asked. `candidates` replies will come: n of a Repeat, one for each input of a Map."""

    path: NodePath
    model: str
    candidates: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeProgressed:
    """A node has come to another stage before its first text."""

    path: NodePath
    candidate: int
    stage: Stage
    done: int = 0
    """Prompt tokens read, in the stage "prefill"."""
    total: int = 0
    """Prompt tokens in all ("prefill"), or how many requests are ahead ("queued")."""
    detail: str = ""
    """What the load is doing, in words ("loading")."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeChunk:
    """More of a reply."""

    path: NodePath
    candidate: int
    text: str
    reasoning: str = ""
    tokens: int = 0
    """Tokens of the reply so far, this chunk included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFinished:
    """One reply is complete; with "cancelled", it is what had come when the query was stopped."""

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
    """A reply failed, in the words of a SpnlError. `text` is the partial reply."""

    path: NodePath
    candidate: int
    title: str
    message: str = ""
    hint: str = ""
    text: str = ""
    reasoning: str = ""
    finish_reason: FinishReason | None = None
    """Why the model ended a reply that cannot be used; None if the model did not end one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodePrinted:
    """The query has a line for the user."""

    path: NodePath
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryFinished:
    """The last event. `replies` are the query's results, in the order in which it was written.

    A reply that only went into another request is not among them. `complete` is False when something
    failed, or the query was stopped; the results are then those that there are.
    """

    replies: tuple[NodeFinished, ...]
    failures: tuple[NodeFailed, ...] = ()
    """Every reply that failed, in the order in which they failed."""
    complete: bool
    seconds: float

    @property
    def texts(self) -> tuple[str, ...]:
        """The text of each result."""
        return tuple(reply.text for reply in self.replies)


QueryEvent: TypeAlias = (
    NodeStarted | NodeProgressed | NodeChunk | NodeFinished | NodeFailed | NodePrinted | QueryFinished
)
