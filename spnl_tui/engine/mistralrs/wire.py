"""Commands and events on the wire between the engine service and a runner. Standard library only.

The wire is JSON, UTF-8, one object a line. `type` names the class, the other keys are its fields:

    → {"type": "Chat", "id": 7, "messages": [{"role": "user", "content": "Hi"}], "sampling": {…}}
    ← {"type": "ReplyChunk", "id": 7, "text": "Hello", …}

Commands are imperative, events are past tense. Every command has an id, every event carries the id of
the command that it answers, and an event whose id is not awaited is stale and dropped. Each Load, Chat,
Complete, ReadAhead and Tokenize ends in exactly one of ModelLoaded, ReplyFinished, Tokenized or
RequestFailed, unless the runner dies first.
"""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from spnl_tui.models.request import Grammar, Message, Sampling

FinishReason = Literal["stop", "length", "cancelled"]
ErrorKind = Literal["load", "request", "context", "template", "internal"]


RAW_TEMPLATE = "{{ messages[0]['content'] }}"
"""A chat template that passes one message through: it lets a base model stream a completion.

mistral.rs streams chat requests only; its CompletionRequest answers in one piece."""


class ProtocolError(Exception):
    """A line on the wire is not a known command or event."""


# ── commands ─────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Load the model. The first command of a runner, and sent only once.

    `discard` is how many sampled tokens to draw and throw away once loaded: mistral.rs starts its random
    numbers from the same state in every process, and has no seed per request, so this is what sets one
    launch apart from another, and what a seed is made of.
    """

    id: int
    format: Literal["gguf", "safetensors"]
    directory: str
    files: tuple[str, ...] = ()
    in_situ_quantization: str | None = None
    pad_rows: bool = False
    """GGUF: compute with rows padded to multiples of 256 (models/padding.py)."""
    dtype: Literal["auto", "f16", "bf16", "f32"] = "auto"
    device: Literal["auto", "cpu", "cuda", "metal"] = "auto"
    max_sequences: int = 1
    prefix_cache: int = 16
    window: int | None = None
    """Tokens that some layers attend to, where a conversation can grow longer (windows.py)."""
    paged_attention: bool | None = None
    paged_tokens: int | None = None
    """How many tokens' keys and values paged attention takes memory for; None: as mistral.rs likes."""
    chat_template: str | None = None
    """In place of the model's own."""
    stop: tuple[str, ...] = ()
    """What ends every reply, besides the sampling's own."""
    config: str | None = None
    """GGUF: the text of the config.json that mistral.rs needs beside this model."""
    discard: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Chat:
    """Reply to these messages, through the model's chat template."""

    id: int
    messages: tuple[Message, ...]
    sampling: Sampling = field(default_factory=Sampling)
    thinking: bool | None = None
    grammar: Grammar | None = None
    go_on: bool = False
    """Go on with the text of the last message, which is the assistant's, in place of answering it."""
    aside: bool = False
    """No turn of a conversation: what is asked next does not follow it."""
    prefill_room: int | None = None
    """For how many tokens of keys and values there is memory, this prompt included; None if it is unknown.
    A long prefill goes in fewer steps where it is short."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Complete:
    """Continue this text, without a chat template."""

    id: int
    prompt: str
    sampling: Sampling = field(default_factory=Sampling)
    grammar: Grammar | None = None
    prefill_room: int | None = None
    """As in Chat."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadAhead:
    """Read these messages into the prefix cache, for a request that will begin with them. Nothing is said."""

    id: int
    messages: tuple[Message, ...]
    sampling: Sampling = field(default_factory=Sampling)
    """Of that request."""
    prefill_room: int | None = None
    """As in Chat."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokenize:
    """Count the tokens of each text, with the model's own tokenizer."""

    id: int
    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel:
    """Stop the request with the id `target`. It still ends in its ReplyFinished ("cancelled")."""

    id: int
    target: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Shutdown:
    """End the process."""

    id: int


# ── events ───────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens of one request, as the engine counted them."""

    prompt_tokens: int = 0
    completion_tokens: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Where the time of one request went. Seconds; None where it does not apply."""

    load_s: float | None = None
    """Loading the model, if this request had to wait for it."""
    queue_s: float | None = None
    """Waiting for other requests."""
    prefill_s: float | None = None
    """From the request's start in the runner to its first token."""
    ttft_s: float | None = None
    """Time to first token: from the caller's request, once let in, to the first chunk with text."""
    itl_s: float | None = None
    """Inter-token latency: decode time divided by the tokens after the first."""
    decode_tokens_per_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerStarted:
    """The process runs and has imported mistral.rs. Sent once, unasked (id 0)."""

    id: int
    pid: int
    engine_version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadProgressed:
    """A load has come to another stage, in words for the user."""

    id: int
    stage: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelLoaded:
    """The model is ready. `context_length` is in tokens, None if the engine does not know it."""

    id: int
    seconds: float
    context_length: int | None
    template_tokens: int | None = None
    """What the chat template adds to one prompt without a system prompt; None if it was not found out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestQueued:
    """The request waits for `ahead` others. Made by the service, never on the wire."""

    id: int
    ahead: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PrefillProgressed:
    """The prompt is being read: `done` of `total` tokens; at the start, those that were read before."""

    id: int
    done: int
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyChunk:
    """More of the reply. Chunks are joined by the runner, so one may hold several tokens."""

    id: int
    text: str = ""
    reasoning: str = ""
    tokens: int = 0
    """Tokens of the reply so far, this chunk included."""
    candidate: int = 0
    """Which of n candidates or inputs this belongs to; set by the service."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyFinished:
    """The reply is complete, or as complete as it gets."""

    id: int
    finish_reason: FinishReason
    usage: Usage = field(default_factory=Usage)
    timing: Timing = field(default_factory=Timing)
    candidate: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestFailed:
    """The request has no reply, or only the part that came before this."""

    id: int
    kind: ErrorKind
    title: str
    message: str = ""
    hint: str = ""
    candidate: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokenized:
    """Token counts, in the order of the texts."""

    id: int
    counts: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerEnded:
    """The process is gone without being asked to. Made by the parent, never on the wire."""

    id: int
    reason: str


Command: TypeAlias = Load | Chat | Complete | ReadAhead | Tokenize | Cancel | Shutdown
Event: TypeAlias = (
    RunnerStarted
    | LoadProgressed
    | ModelLoaded
    | RequestQueued
    | PrefillProgressed
    | ReplyChunk
    | ReplyFinished
    | RequestFailed
    | Tokenized
    | RunnerEnded
)

_CLASSES: dict[str, type] = {
    cls.__name__: cls for union in (Command, Event) for cls in typing.get_args(union)
}


def encode(message: Command | Event) -> bytes:
    """The message as one line, newline included."""
    body = {"type": type(message).__name__, **dataclasses.asdict(message)}
    # ensure_ascii: lone surrogates and line separators from model text cannot break the line.
    return json.dumps(body, separators=(",", ":")).encode() + b"\n"


def decode(line: bytes) -> Command | Event:
    """The message on this line.

    Raises:
        ProtocolError: the line is not JSON, or not a known message with the right fields.
    """
    try:
        body = json.loads(line)
        cls = _CLASSES[body.pop("type")]
        return typing.cast("Command | Event", _build(cls, body))
    except Exception as error:
        # Whatever is wrong with a line, from bad UTF-8 to a value out of range, means the same to the reader.
        raise ProtocolError(f"{line[:200]!r}: {error}") from error


def _build(cls: type, body: dict[str, Any]) -> object:
    """`body` as an instance of the dataclass `cls`, with nested dataclasses and tuples restored."""
    if not isinstance(body, dict):
        raise TypeError(f"{cls.__name__} must be an object")
    hints = _hints(cls)
    return cls(**{name: _restore(hints[name], value) for name, value in body.items()})


def _restore(hint: Any, value: Any) -> Any:
    if isinstance(value, list):
        inner = next((arg for arg in typing.get_args(hint) if arg is not Ellipsis), Any)
        return tuple(_restore(inner, item) for item in value)
    if isinstance(value, dict):
        options = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
        return _build(next(o for o in options if isinstance(o, type) and dataclasses.is_dataclass(o)), value)
    return value


_hint_cache: dict[type, dict[str, Any]] = {}


def _hints(cls: type) -> dict[str, Any]:
    # Resolving hints costs 20 µs and more: far too much for every chunk.
    if cls not in _hint_cache:
        _hint_cache[cls] = typing.get_type_hints(cls)
    return _hint_cache[cls]


def temporary_prefix(pid: int) -> str:
    """How the temporary directories of this runner begin: its parent removes what it could not."""
    return f"spnl-chat-{pid}-"
