"""Commands and events on the wire between the backend and a runner. Standard library only.

The wire is JSON, UTF-8, one object per line. `type` names the class and `id` the command; the others are its
fields:

    → {"type": "Chat", "id": 7, "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}], …
    ← {"type": "ReplyChunk", "id": 7, "text": "Hello", …}

Commands are imperative, events are past tense. Most events are those of `engine.backend`; on the wire each
carries the id of the command that it answers. An event whose id has no subscriber is stale and dropped. Each
Load, Chat, Complete, ReadAhead and Tokenize ends in exactly one of ModelLoaded, ReplyFinished, Tokenized or
RequestFailed, unless the runner dies first.
"""

from __future__ import annotations

import typing
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from spnl_tui.engine.backend import (
    LoadProgressed,
    ModelLoaded,
    PrefillProgressed,
    ReplyChunk,
    ReplyFinished,
    RequestFailed,
)
from spnl_tui.engine.json_lines import ProtocolError as ProtocolError
from spnl_tui.engine.json_lines import decode_command_of, decode_event_of, encode
from spnl_tui.models.request import Grammar, Message, Sampling
from spnl_tui.models.tools import Tool, ToolChoice

RAW_TEMPLATE = (
    "{% if messages[0]['content'] is string %}{{ messages[0]['content'] }}"
    "{% else %}{% for part in messages[0]['content'] %}{% if part['type'] == 'text' %}{{ part['text'] }}"
    "{% endif %}{% endfor %}{% endif %}"
)
"""A chat template that passes one message through, so that a base model can stream a completion. From a
message with images it takes the text, which already has the placeholders.

mistral.rs streams chat requests only; it answers a CompletionRequest in one piece.
"""


# ── commands ─────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Load the model. This is the first command to a runner, and sent only once.

    `discard` is the number of sampled tokens to discard after loading. mistral.rs starts its random numbers
    from the same state in every process and has no seed per request, so discarding makes launches differ and
    implements seeds.
    """

    id: int
    format: Literal["gguf", "safetensors"]
    directory: str
    files: tuple[str, ...] = ()
    in_situ_quantization: str | None = None
    pad_rows: bool = False
    """GGUF only: pad rows to multiples of 256 (models/padding.py)."""
    dtype: Literal["auto", "f16", "bf16", "f32"] = "auto"
    device: Literal["auto", "cpu", "cuda", "metal"] = "auto"
    max_sequences: int = 1
    prefix_cache: int = 16
    window: int | None = None
    """The tokens that some layers attend to; None if no conversation can be longer (runner/windows.py)."""
    paged_attention: bool | None = None
    context_limit: int | None = None
    """The most tokens of a prompt and its reply together; None for the model's own limit."""
    paged_tokens: int | None = None
    """The tokens for which paged attention allocates keys and values; None lets mistral.rs choose."""
    chat_template: str | None = None
    """The chat template that replaces the model's own."""
    stop: tuple[str, ...] = ()
    """Stop sequences for every reply, besides those of its sampling."""
    config: str | None = None
    """GGUF only: the text of the config.json that mistral.rs needs beside this model."""
    obey_control_words: bool = False
    """True if the model's control words in a text (`<|im_end|>`) have their effect."""
    projector: str | None = None
    """GGUF only: the path of the projector for images."""
    base: str | None = None
    """The directory of the config files that image input needs; None if the model reads only text."""
    images: str = ""
    """The directory of the images that messages name, each under its SHA-256."""
    discard: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Chat:
    """Reply to these messages, using the model's chat template."""

    id: int
    messages: tuple[Message, ...]
    sampling: Sampling = field(default_factory=Sampling)
    thinking: bool | None = None
    grammar: Grammar | None = None
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice = "auto"
    begun_thought: str = ""
    """With `continue_reply`: the unfinished thought in which the reply stopped. `messages` then end with the
    prompt."""
    continue_reply: bool = False
    """Continue the last message, which is the assistant's, instead of answering it."""
    ephemeral: bool = False
    """True if no conversation continues from this reply."""
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
    """The same as in `Chat`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadAhead:
    """Read these messages into the prefix cache for a request that will begin with them, without a reply."""

    id: int
    messages: tuple[Message, ...]
    tools: tuple[Tool, ...] = ()
    sampling: Sampling = field(default_factory=Sampling)
    """The sampling of that request."""
    prefill_room: int | None = None
    """The same as in `Chat`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokenize:
    """Count the tokens of each text, with the model's own tokenizer."""

    id: int
    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel:
    """Stop the request with the id `target`. It still ends with a ReplyFinished ("cancelled")."""

    id: int
    target: int


# ── events ───────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerStarted:
    """The process runs and has imported mistral.rs. Sent once, with id 0."""

    pid: int
    engine_version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokenized:
    """Token counts, in the order of the texts."""

    counts: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerEnded:
    """The process ended unexpectedly. Created by the parent, never sent on the wire."""

    reason: str


Command: TypeAlias = Load | Chat | Complete | ReadAhead | Tokenize | Cancel
Prompt: TypeAlias = Chat | Complete | ReadAhead
"""Commands that make the model read a text."""
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
    """Return the command as one line, including the newline."""
    return encode(command)


def encode_event(command_id: int, event: Event) -> bytes:
    """Return an event of the command with this id as one line, including the newline."""
    return encode(event, command_id)


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


def temporary_prefix(pid: int) -> str:
    """Return the prefix of this runner's temporary directories. Its parent removes leftover ones."""
    return f"spnl-chat-{pid}-"
