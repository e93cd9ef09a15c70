"""Commands and events between the resident engine and its clients: JSON lines over a Unix socket.

Every command ends in exactly one Done or Failed, after the events that a backend yields for it. State is sent
unrequested (id 0) to clients that watch. Standard library only.
"""

from __future__ import annotations

import typing
from dataclasses import dataclass
from typing import TypeAlias

from spnl_tui.engine import backend
from spnl_tui.engine.backend import LoadedModel, ModelHandle
from spnl_tui.engine.json_lines import decode_command_of, decode_event_of
from spnl_tui.models.request import Grammar, Message, Sampling
from spnl_tui.models.tools import Tool, ToolChoice

LONGEST_LINE = 64_000_000
"""Bytes. Images are not sent: messages name them by their hash."""


# ── commands ─────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """Introduce a client. This is the first command of a connection."""

    id: int
    identity: str
    """The version and the settings of the client (`ResidentAddress.identity`)."""
    program: str
    pid: int
    watch: bool
    """True to receive State whenever it changes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Find:
    """Look up a reference. Ends in Found or Failed."""

    id: int
    reference: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Chat:
    """Reply to these messages; the fields are those of `ChatRequest`."""

    id: int
    model: ModelHandle
    messages: tuple[Message, ...]
    sampling: Sampling
    n: int = 1
    thinking: bool | None = None
    grammar: Grammar | None = None
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice = "auto"
    continue_reply: bool = False
    begun_thought: str = ""
    ephemeral: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Complete:
    """Continue these inputs; the fields are those of `CompletionRequest`."""

    id: int
    model: ModelHandle
    inputs: tuple[str, ...]
    sampling: Sampling
    grammar: Grammar | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadModel:
    """Load a model ahead of any request."""

    id: int
    model: ModelHandle


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadAhead:
    """Read messages before they are sent."""

    id: int
    model: ModelHandle
    messages: tuple[Message, ...]
    sampling: Sampling
    tools: tuple[Tool, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokenize:
    """Count the tokens of each text."""

    id: int
    model: ModelHandle
    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Unload:
    """Unload a model."""

    id: int
    model: ModelHandle


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel:
    """End the command with the id `target`. Only its Done follows."""

    id: int
    target: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    """Stop one candidate of the request `target`, which is no longer wanted."""

    id: int
    target: int
    candidate: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Describe the resident, its models and its clients."""

    id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """End the resident."""

    id: int


# ── events ───────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class Welcome:
    """Accepts the client. If the identities differ, only Report and Stop are allowed."""

    identity: str
    pid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The model that a reference names; None if it is not on this machine."""

    model: ModelHandle | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokenized:
    """Token counts; None while the model is not loaded."""

    counts: tuple[int, ...] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """The current state of the resident."""

    loaded: tuple[LoadedModel, ...]
    idle_unloaded: tuple[ModelHandle, ...]
    """Models that were unloaded only because they were not used for a while."""
    needs_every_core: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """A connected client."""

    program: str
    pid: int
    requests: int
    """The number of requests that run or wait."""
    models: tuple[str, ...]
    """The names of the models that the client has used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """The resident, its models and its clients."""

    pid: int
    identity: str
    uptime_s: float
    keep_warm_s: float
    """Seconds that an idle model stays loaded, and that the engine runs without clients."""
    loaded: tuple[LoadedModel, ...]
    clients: tuple[Client, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """The command is complete."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """The command raised an error of this class (`spnl_tui.errors`)."""

    error: str
    title: str
    message: str
    hint: str


Command: TypeAlias = (
    Hello | Find | Chat | Complete | LoadModel | ReadAhead | Tokenize | Unload | Cancel | Drop | Report | Stop
)
Event: TypeAlias = backend.Event | Welcome | Found | Tokenized | State | Status | Done | Failed
_COMMANDS: dict[str, type] = {cls.__name__: cls for cls in typing.get_args(Command)}
_EVENTS: dict[str, type] = {cls.__name__: cls for cls in typing.get_args(Event)}


def decode_command(line: bytes) -> Command:
    """Return the command on this line.

    Raises:
        ProtocolError: the line is not JSON, or not a known command with the right fields.
    """
    return typing.cast("Command", decode_command_of(line, _COMMANDS))


def decode_event(line: bytes) -> tuple[int, Event]:
    """Return the event on this line, and the id of the command that it answers.

    Raises:
        ProtocolError: the line is not JSON, or not a known event with the right fields.
    """
    command_id, event = decode_event_of(line, _EVENTS)
    return command_id, typing.cast("Event", event)
