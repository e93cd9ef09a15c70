"""The protocol of every backend: its models, the requests it accepts and the events it yields.

A backend answers requests: mistral.rs in runner processes on this machine, or a server over HTTP. Callers
see only this module and `ModelHandle`; they never ask which backend a model belongs to.

Fields that a backend may not know have defaults. What a reply can carry besides text (such as
log-probabilities) belongs in further fields of ReplyChunk, what it costs in further fields of Usage.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from spnl_tui.models.parts import ToolCallPart, ToolResultPart

if TYPE_CHECKING:
    from spnl_tui.engine.prefetch import Prefetch
    from spnl_tui.errors import SpnlError
    from spnl_tui.models.request import Grammar, Message, Sampling
    from spnl_tui.models.tools import Tool, ToolChoice

FinishReason = Literal["stop", "length", "cancelled", "tool_calls"]
"""With "tool_calls", the reply ends with tool calls, and the model waits for their results."""
ErrorKind = Literal["load", "request", "context", "template", "internal"]
CallState = Literal["waiting", "running", "done", "failed", "denied"]
"""The state of a tool call: waiting for permission, running, succeeded, failed or denied."""
LoadState = Literal["loading", "idle", "busy"]


# ── models ───────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """The abilities of a backend with one model. The defaults suit a plain text model on a server."""

    continues_text: bool = False
    """Accepts CompletionRequest."""
    continues_replies: bool = False
    """Accepts a ChatRequest whose last message is the beginning of the reply."""
    counts_tokens: bool = False
    """`count_tokens` returns counts once the model is loaded: exact unless `LoadedModel.estimates_tokens`."""
    reports_prefill: bool = False
    """Yields PrefillProgressed while it reads a prompt. Otherwise the engine service yields one without
    numbers."""
    grammars: bool = False
    """Accepts a Grammar of any kind."""
    schemas: bool = False
    """Accepts a Grammar that is a JSON schema."""
    vision: bool = False
    tools: bool = False
    """Accepts `ChatRequest.tools`."""
    thinking: bool = False
    """Receives `ChatRequest.thinking`, which has an effect if the model's template knows it."""
    unloads: bool = False
    """Frees memory on this machine with `unload`."""
    parallel: bool = False
    """Answers several requests at once without slowing each down, so that candidates do not queue."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelHandle:
    """A model that a backend can answer with. Plain data: a handle can be sent to another process.

    Two handles are equal if they name the same model of the same backend, whatever is known about it.
    """

    name: str
    """The canonical reference that the user sees."""
    backend: str
    """The id of the backend that answers."""
    key: tuple[str, ...] = ()
    """Identifies the model to its backend. Only that backend interprets it."""
    capabilities: Capabilities = field(default_factory=Capabilities, compare=False)
    context_length: int | None = field(default=None, compare=False)
    """In tokens; None if it is known only once the model is loaded."""
    wanted_context: int | None = field(default=None, compare=False)
    """The context length in tokens that the user chose; None for the loaded or default one."""
    revision: str | None = field(default=None, compare=False)
    """The commit that the model's files come from, if it is known."""
    file_sha256: str | None = field(default=None, compare=False)
    """The SHA-256 of the model's files, joined by spaces, if it is known."""
    recommended_sampling: tuple[tuple[str, float | int], ...] = field(default=(), compare=False)
    """The values of Sampling that the model's authors recommend."""
    engine_version: str | None = field(default=None, compare=False)
    """The version of the engine that computes the replies, if it is known."""
    host: str | None = field(default=None, compare=False)
    """The remote machine that receives the prompts; None if they stay on this machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedModel:
    """A model that is loaded or being loaded."""

    model: ModelHandle
    state: LoadState
    context_length: int | None
    """In tokens; None if it is not known yet."""
    template_tokens: int | None = None
    """The tokens that the chat template adds to one prompt without a system prompt, if known."""
    estimates_tokens: bool = False
    """True if `count_tokens` only estimates, because the server does not count."""
    memory_bytes: int = 0
    """Bytes of this machine's memory that only unloading frees."""
    idle_s: float | None = None
    """Seconds since its last request; None if it is not idle."""
    pid: int | None = None
    """The process on this machine that runs it, if there is one."""
    load_details: str = ""
    """A description of the load as JSON, stored with each reply; empty if the backend has no choice."""


# ── requests ─────────────────────────────────────────────────────────────────────────────────────


def all_wanted(candidate: int) -> bool:
    """Return True, so that no reply is stopped early."""
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest:
    """A request for n replies to one list of messages."""

    messages: Sequence[Message]
    sampling: Sampling
    n: int = 1
    thinking: bool | None = None
    """None leaves the choice to the model's template."""
    grammar: Grammar | None = None
    tools: tuple[Tool, ...] = ()
    """The tools that the model may call. The caller runs them and sends their results in a new request: the
    assistant's message with its ToolCallParts, then a message of the role "tool" with the ToolResultParts."""
    tool_choice: ToolChoice = "auto"
    continue_reply: bool = False
    """The last message is the beginning of the reply; only what follows it is yielded."""
    begun_thought: str = ""
    """With `continue_reply`: the unfinished thought in which the reply stopped. The last message is then the
    user's."""
    ephemeral: bool = False
    """True if no conversation continues from this request, such as one for a title, a verdict or a
    summary."""
    is_wanted: Callable[[int], bool] = all_wanted
    """Called repeatedly with a candidate's number. When it returns False, that reply is stopped or not
    started."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletionRequest:
    """A request to continue each input separately, without a chat template. Candidate numbers index the
    inputs."""

    inputs: Sequence[str]
    sampling: Sampling
    grammar: Grammar | None = None

    @property
    def n(self) -> int:
        """The number of replies."""
        return len(self.inputs)


Request: TypeAlias = ChatRequest | CompletionRequest


# ── events ───────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """The tokens of one request, as the backend counted them."""

    prompt_tokens: int = 0
    completion_tokens: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """The seconds that each part of one request took; None where it does not apply."""

    load_s: float | None = None
    """Loading the model, if this request had to wait for it."""
    queue_s: float | None = None
    """Waiting for other requests."""
    prefill_s: float | None = None
    """From the start of the request in the backend to its first token."""
    ttft_s: float | None = None
    """Time to first token: from the admission of the request to the first chunk with text."""
    itl_s: float | None = None
    """Inter-token latency: decode time divided by the tokens after the first."""
    decode_tokens_per_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestQueued:
    """The request waits for `ahead` others."""

    ahead: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadProgressed:
    """A load has reached a new stage, described for the user."""

    stage: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelLoaded:
    """The model is ready."""

    seconds: float
    context_length: int | None
    """In tokens; None if the backend does not know it."""
    template_tokens: int | None = None
    """The tokens that the chat template adds to one prompt without a system prompt, if known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PrefillProgressed:
    """The model has read `done` of the prompt's `total` tokens. The first event counts the cached tokens."""

    done: int
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyChunk:
    """More of a reply. A chunk may hold several tokens."""

    text: str = ""
    reasoning: str = ""
    tool_calls: tuple[ToolCallPart, ...] = ()
    """Complete calls, passed on unchecked: a call may name an unknown tool or have invalid arguments."""
    tokens: int = 0
    """The tokens of the reply so far, this chunk included."""
    candidate: int = 0
    """The number of the reply that this chunk belongs to, from 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallProgressed:
    """A tool call has changed its state. The agent yields this event, because it runs the calls."""

    call: ToolCallPart
    state: CallState
    summary: str = ""
    """A one-line description of the call."""
    seconds: float = 0.0
    """How long the call ran."""
    result: ToolResultPart | None = None
    """Set once the call has ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyFinished:
    """A reply is complete, was cut off or was cancelled."""

    finish_reason: FinishReason
    usage: Usage = field(default_factory=Usage)
    timing: Timing = field(default_factory=Timing)
    candidate: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestFailed:
    """A reply failed. Any chunks before this event are a partial reply."""

    kind: ErrorKind
    title: str
    message: str = ""
    hint: str = ""
    candidate: int = 0


LoadEvent: TypeAlias = LoadProgressed | ModelLoaded | RequestFailed
Event: TypeAlias = RequestQueued | LoadEvent | PrefillProgressed | ReplyChunk | CallProgressed | ReplyFinished

FINAL = (ReplyFinished, RequestFailed)
"""Events that end a reply."""


def failure_of(error: SpnlError, kind: ErrorKind = "load") -> RequestFailed:
    """Return the event for an error that ends a request."""
    return RequestFailed(kind=kind, title=error.title, message=error.message, hint=error.hint)


async def refused(failure: RequestFailed, n: int = 1) -> AsyncGenerator[Event, None]:
    """Yield the failure of each of n replies to a request that is not admitted."""
    for candidate in range(n):
        yield replace(failure, candidate=candidate)


# ── the protocol ─────────────────────────────────────────────────────────────────────────────────


class Backend(Protocol):
    """Answers requests with the models that it knows. The engine service has the same methods."""

    @property
    def id(self) -> str:
        """The name that handles of this backend carry."""

    @property
    def needs_every_core(self) -> bool:
        """True if a reply is being computed by threads on all cores of this machine. Thread-safe.

        Those threads wait for each other, so any other computation delays all of them.
        """

    async def find(self, reference: str) -> ModelHandle | None:
        """Return the model of this reference, or None if this backend does not have it.

        Raises:
            SpnlError: the reference is not valid, is ambiguous, or names a model that cannot be used.
        """

    def generate(self, model: ModelHandle, request: Request) -> AsyncGenerator[Event, None]:
        """Answer the request. Load the model first if necessary.

        Yields RequestQueued, LoadProgressed, ModelLoaded, PrefillProgressed and ReplyChunk, and for each
        candidate exactly one ReplyFinished or RequestFailed. It never raises for a failure of the backend.
        Leaving the iterator early (`aclosing`) cancels the request and returns at once.
        """

    def load(self, model: ModelHandle) -> AsyncGenerator[Event, None]:
        """Load the model ahead of any request.

        Yields LoadProgressed and at last ModelLoaded or RequestFailed; nothing if the model is loaded.
        """

    def prefetch(self, model: ModelHandle, prefetch: Prefetch) -> None:
        """Read messages into the cache before they are sent, in the background, while no request waits.

        Do nothing if the model is not loaded or little time would be saved. Set `prefetch.ended` at the end.
        A request cancels the prefetch.
        """

    async def count_tokens(self, model: ModelHandle, texts: Sequence[str]) -> tuple[int, ...] | None:
        """Return the token counts by the model's own tokenizer; None while the model is not loaded."""

    def loaded(self) -> tuple[LoadedModel, ...]:
        """Return the models that are loaded or being loaded, most recently used first."""

    def idle_unloaded(self, model: ModelHandle) -> bool:
        """Return True if the model was unloaded only because it was not used for a while."""

    async def unload(self, model: ModelHandle) -> None:
        """Unload the model. A request on it ends in RequestFailed."""

    async def close(self) -> None:
        """Stop everything that the backend started, within two seconds."""


def loaded_model(backend: Backend, model: ModelHandle) -> LoadedModel | None:
    """Return the model as it is loaded now; None if it is neither loaded nor being loaded."""
    return next((each for each in backend.loaded() if each.model == model), None)
