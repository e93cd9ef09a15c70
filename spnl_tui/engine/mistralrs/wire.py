"""Commands and events on the wire between the backend and a runner. Standard library only.

The wire is JSON, UTF-8, one object a line. `type` names the class, `id` the command; the others are fields:

    → {"type": "Chat", "id": 7, "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}], …
    ← {"type": "ReplyChunk", "id": 7, "text": "Hello", …}

Commands are imperative, events are past tense. Most events are those of `engine.backend`; on the wire each
carries the id of the command that it answers. An event whose id has no subscriber is stale and dropped. Each
Load, Chat, Complete, ReadAhead and Tokenize ends in exactly one of ModelLoaded, ReplyFinished, Tokenized or
RequestFailed, unless the runner dies first.
"""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from spnl_tui.engine.backend import (
    LoadProgressed,
    ModelLoaded,
    PrefillProgressed,
    ReplyChunk,
    ReplyFinished,
    RequestFailed,
)
from spnl_tui.models.parts import ToolCallPart, content_from_plain
from spnl_tui.models.request import Grammar, Message, Sampling
from spnl_tui.models.tools import Tool, ToolChoice

RAW_TEMPLATE = (
    "{% if messages[0]['content'] is string %}{{ messages[0]['content'] }}"
    "{% else %}{% for part in messages[0]['content'] %}{% if part['type'] == 'text' %}{{ part['text'] }}"
    "{% endif %}{% endfor %}{% endif %}"
)
"""A chat template that passes one message through, so that a base model can stream a completion.
Of a message with images it passes the text, which has the placeholders already.

mistral.rs streams chat requests only; it answers a CompletionRequest in one piece."""


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
    """Tokens that some layers attend to, if a conversation can grow longer (runner/windows.py)."""
    paged_attention: bool | None = None
    context_limit: int | None = None
    """The most tokens of a prompt and its reply together; None: as many as the model reads."""
    paged_tokens: int | None = None
    """Tokens whose keys and values paged attention allocates; None leaves it to mistral.rs."""
    chat_template: str | None = None
    """Replaces the model's own."""
    stop: tuple[str, ...] = ()
    """Stop sequences for every reply, besides those of its sampling."""
    config: str | None = None
    """GGUF: the text of the config.json that mistral.rs needs beside this model."""
    obey_control_words: bool = False
    """True if control words of the model in a text (`<|im_end|>`) act as such."""
    projector: str | None = None
    """GGUF: the path of the projector that the model sees with."""
    base: str | None = None
    """The directory with the config files that a model needs to see; None if it reads only text."""
    images: str = ""
    """The directory of the images that messages name, each under its SHA-256."""
    discard: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Chat:
    """Reply to these messages, through the model's chat template."""

    id: int
    messages: tuple[Message, ...]
    sampling: Sampling = field(default_factory=Sampling)
    thinking: bool | None = None
    grammar: Grammar | None = None
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice = "auto"
    begun_thought: str = ""
    """With `continue_reply`: the thought in which the reply stopped. `messages` then end with the prompt."""
    continue_reply: bool = False
    """Continue the last message, which is the assistant's, instead of answering it."""
    ephemeral: bool = False
    """No conversation continues from here."""
    prefill_room: int | None = None
    """The tokens, this prompt included, whose keys and values fit into memory; None if unknown. If memory is
    short, a long prefill takes fewer steps."""


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
    """Read these messages into the prefix cache for a request that will begin with them, without a reply."""

    id: int
    messages: tuple[Message, ...]
    tools: tuple[Tool, ...] = ()
    sampling: Sampling = field(default_factory=Sampling)
    """The sampling of that request."""
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


# ── events ───────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerStarted:
    """The process runs and has imported mistral.rs. Sent once, unasked (id 0)."""

    pid: int
    engine_version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokenized:
    """Token counts, in the order of the texts."""

    counts: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerEnded:
    """The process ended without being asked to. Made by the parent, never on the wire."""

    reason: str


Command: TypeAlias = Load | Chat | Complete | ReadAhead | Tokenize | Cancel
Prompt: TypeAlias = Chat | Complete | ReadAhead
"""Commands that have the model read a text."""
Event: TypeAlias = (
    RunnerStarted
    | LoadProgressed
    | ModelLoaded
    | PrefillProgressed
    | ReplyChunk
    | ReplyFinished
    | RequestFailed
    | Tokenized
    | RunnerEnded
)

_COMMANDS: dict[str, type] = {cls.__name__: cls for cls in typing.get_args(Command)}
_EVENTS: dict[str, type] = {cls.__name__: cls for cls in typing.get_args(Event)}


def encode_command(command: Command) -> bytes:
    """Return the command as one line, newline included."""
    return _line({"type": type(command).__name__, **dataclasses.asdict(command)})


def encode_event(command_id: int, event: Event) -> bytes:
    """Return an event of the command with this id as one line, newline included."""
    return _line({"type": type(event).__name__, "id": command_id, **dataclasses.asdict(event)})


def decode_command(line: bytes) -> Command:
    """Return the command on this line.

    Raises:
        ProtocolError: the line is not JSON, or not a known command with the right fields.
    """
    return typing.cast("Command", _decode(line, _COMMANDS)[1])


def decode_event(line: bytes) -> tuple[int, Event]:
    """Return the event on this line, and the id of the command that it answers.

    Raises:
        ProtocolError: the line is not JSON, or not a known event with the right fields.
    """
    command_id, event = _decode(line, _EVENTS)
    return command_id, typing.cast("Event", event)


def _line(body: dict[str, Any]) -> bytes:
    # ensure_ascii: lone surrogates and line separators from model text cannot break the line.
    return json.dumps(body, separators=(",", ":")).encode() + b"\n"


def _decode(line: bytes, classes: dict[str, type]) -> tuple[int, object]:
    try:
        body = json.loads(line)
        cls = classes[body.pop("type")]
        command_id = body["id"] if classes is _COMMANDS else body.pop("id")
        if type(command_id) is not int:
            raise TypeError("id must be an integer")
        return command_id, _build(cls, body)
    except Exception as error:
        # Bad UTF-8, a missing field and a value out of range all mean the same to the reader.
        raise ProtocolError(f"{line[:200]!r}: {error}") from error


def _build(cls: type, body: dict[str, Any]) -> object:
    """Return `body` as an instance of the dataclass `cls`, with nested dataclasses and tuples restored."""
    if not isinstance(body, dict):
        raise TypeError(f"{cls.__name__} must be an object")
    if cls is Message:
        return Message(body["role"], content_from_plain(body["content"]))
    if cls is ToolCallPart:
        return content_from_plain([body])[0]
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
    # Resolving hints costs 20 µs and more: too much for every chunk.
    if cls not in _hint_cache:
        _hint_cache[cls] = typing.get_type_hints(cls)
    return _hint_cache[cls]


def temporary_prefix(pid: int) -> str:
    """Return the prefix of this runner's temporary directories. Its parent removes those that are left."""
    return f"spnl-chat-{pid}-"
