"""The status of the chat: what the model is doing, and how the status line words it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from spnl_tui.text import plain

if TYPE_CHECKING:
    from spnl_tui.conversations.conversation import Conversation
    from spnl_tui.conversations.turn import Turn

State = Literal[
    "no model",
    "unloaded",
    "idle",
    "loading",
    "queued",
    "summarizing",
    "reading ahead",
    "prefill",
    "replying",
    "calling",
    "getting",
]


@dataclass(repr=False, frozen=True, slots=True, kw_only=True)
class Activity:
    """The state of the chat at one moment. Times are seconds, amounts are tokens."""

    model: str = ""
    host: str = ""
    """The other machine that receives the words; empty if they stay on this one."""
    state: State = "idle"
    since: float = 0.0
    """When the state began, on the clock of the screen."""
    stage: str = ""
    """The stage of a load, in words."""
    ahead: int = 0
    """Requests before this one in the queue."""
    done: int = 0
    total: int = 0
    """Tokens read so far and in all, during a prefill or while reading ahead."""
    ends_at: float | None = None
    """When the prefill will end at the pace of its last step, on the clock of the screen."""
    tokens: int = 0
    """Tokens of the reply."""
    tokens_per_s: float | None = None
    ttft_s: float | None = None
    context_used: int | None = None
    context_length: int | None = None
    estimates: bool = False
    """True if the model's server does not count tokens, so that counts are estimates."""
    used_estimated: bool = False
    """True if `context_used` is an estimate."""
    system_prompt: bool = False
    """True if the conversation has a system prompt."""
    unsent: int = 0
    """Tokens of the draft."""

    @property
    def busy(self) -> bool:
        """True if the user is waiting for it, and may want to see the elapsed time."""
        return self.state not in ("idle", "unloaded", "no model", "reading ahead")


class Status:
    """Owns the activity that the status line shows.

    Others report what happened, one method for each kind of event. Subscribers receive every new activity.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        """`clock` returns seconds, for elapsed times."""
        self._clock = clock
        self._activity = Activity()
        self._system_prompt = False
        self._subscribers: list[Callable[[Activity], None]] = []

    @property
    def activity(self) -> Activity:
        """The current activity."""
        return self._activity

    def subscribe(self, subscriber: Callable[[Activity], None]) -> None:
        """Call `subscriber` with the activity whenever it changes."""
        self._subscribers.append(subscriber)

    # ── the model ────────────────────────────────────────────────────────────────────────────────

    def model_missing(self) -> None:
        """Report that there is no model to talk to."""
        self._set(Activity(state="no model"))

    def model_requested(self) -> None:
        """Report that the starter model is being fetched."""
        self._set(Activity(state="getting", since=self._clock()))

    def model_chosen(self, model: str, host: str | None = None) -> None:
        """Report that another model answers from now on. Nothing is known about its context yet."""
        self._set(Activity(model=plain(model), host=plain(host or "")))

    def model_named(self, model: str, host: str | None = None) -> None:
        """Report that another conversation is shown, which this model answers."""
        self._change(model=plain(model), host=plain(host or ""))

    def tokens_estimated(self, estimates: bool) -> None:
        """Report whether counts of tokens are estimates from now on."""
        self._change(estimates=estimates)

    def model_loading(self, stage: str) -> None:
        """Report that the model is being loaded ahead of any request."""
        since = self._activity.since if self._activity.state == "loading" else self._clock()
        self._change(state="loading", stage=stage, since=since)

    def model_idle(self, context_length: int | None = None) -> None:
        """Report that the model is no longer being loaded. `context_length`: in tokens, if it is known."""
        known = {} if context_length is None else {"context_length": context_length}
        self._change(state="idle", **known)

    def model_unloaded(self) -> None:
        """Report that the model is not in memory any more."""
        self._change(state="unloaded", context_length=None)

    # ── replies and branches ─────────────────────────────────────────────────────────────────────

    def request_activity(self, model: str, context_length: int | None, host: str | None = None) -> Activity:
        """Return the activity with which a request to this model begins.

        What is known of the context used is kept if the same model was shown before.
        """
        name = plain(model)
        return replace(
            self._activity,
            model=name,
            host=plain(host or ""),
            context_length=context_length,
            context_used=self._activity.context_used if self._activity.model == name else None,
            state="idle",
            since=self._clock(),
            tokens=0,
            tokens_per_s=None,
            ttft_s=None,
            total=0,
        )

    def reply_progressed(self, activity: Activity) -> None:
        """Report that the visible reply has made progress or has ended."""
        self._set(activity)

    def reply_hidden(self) -> None:
        """Report that the reply continues in a conversation that is no longer visible."""
        self._change(state="idle", stage="")

    def branch_shown(self, context_used: int | None) -> None:
        """Report that another branch is shown, which uses this many tokens. Drop the last reply's figures.

        None: the tokens are not known, or not yet.
        """
        self._change(tokens=0, tokens_per_s=None, ttft_s=None, context_used=context_used)

    def branch_counted(self, context_used: int | None, *, estimated: bool = False) -> None:
        """Report how many tokens the visible branch uses."""
        self._change(context_used=context_used, used_estimated=estimated)

    def system_prompt_set(self, active: bool) -> None:
        """Report whether the visible conversation has a system prompt."""
        self._system_prompt = active
        self._change()

    # ── the draft ────────────────────────────────────────────────────────────────────────────────

    def draft_counted(self, tokens: int) -> None:
        """Report the tokens of the draft."""
        self._change(unsent=tokens)

    def prefetch_progressed(self, done: int, total: int) -> None:
        """Report how many tokens of the draft the model has read ahead of any request."""
        self._change(state="reading ahead", done=done, total=total)

    def prefetch_ended(self) -> None:
        """Report that the model no longer reads ahead."""
        if self._activity.state == "reading ahead":
            self._change(state="idle")

    def _change(self, **figures: Any) -> None:
        self._set(replace(self._activity, **figures))

    def _set(self, activity: Activity) -> None:
        activity = replace(activity, system_prompt=self._system_prompt)
        if activity != self._activity:
            self._activity = activity
            for subscriber in self._subscribers:
                subscriber(activity)


def resting_activity(
    activity: Activity,
    conversation: Conversation,
    model: str,
    context_length: int | None,
    host: str | None = None,
) -> Activity:
    """Return what to show after a reply with this activity.

    If another model than the current one (`model`) replied, that is what is known of the current one.
    """
    if activity.model == plain(model):
        return activity
    used = reported_tokens(conversation.path(), model)
    return replace(
        activity, model=plain(model), host=plain(host or ""), context_length=context_length, context_used=used
    )


def reported_tokens(path: Sequence[Turn], model: str) -> int | None:
    """Return the tokens of a branch as this model reported them with its last turn; None if it did not."""
    last = next(reversed(path), None)
    own = last.provenance if last is not None and last.finish_reason in ("stop", "length") else None
    if own is None or own.model != model or not own.prompt_tokens:
        return None
    return own.prompt_tokens + (own.completion_tokens or 0)


_SHORT_NAME = 20
"""Characters to which a model's name may be shortened to make room for the figures."""


def status_parts(activity: Activity, now: float, width: int) -> tuple[str, str]:
    """Return model and state (left) and the figures (right), which together fit into `width` cells.

    What does not fit is shortened or left out: first the time to the first token and the context's words,
    then the end of a long model name, then the other figures.
    """
    state = _state(activity, now)
    model = activity.model.rpartition("/")[2] if len(activity.model) > width // 3 else activity.model
    system = "system prompt" if activity.system_prompt else ""
    tokens, context, brief = _tokens(activity), _context(activity), _context(activity, brief=True)
    short_model = shortened(model, _SHORT_NAME)
    for name, shown in (
        (model, [system, tokens, _ttft(activity), context]),
        (model, [system, tokens, context]),
        (model, [system, tokens, brief]),
        (short_model, [system, tokens, brief]),
        (short_model, [system, brief]),
        (short_model, [brief]),
        (short_model, []),
    ):
        left, right = _left(name, state, activity.host), " · ".join(filter(None, shown))
        if len(left) + len(right) + (3 if right else 0) <= width:
            return left, right
    room = width - len(state) - 3 - (len(activity.host) + 3 if activity.host else 0)
    return _left(shortened(model, max(room, 1)), state, activity.host)[:width], ""


def shortened(text: str, length: int) -> str:
    """Return at most `length` characters of a text; the last is an ellipsis if the text is longer."""
    if len(text) <= length:
        return text
    return text[: length - 1] + "…" if length > 1 else ""


def _left(model: str, state: str, host: str) -> str:
    return " · ".join(part for part in (f"{model} → {host}" if host else model, state) if part)


def _state(activity: Activity, now: float) -> str:
    elapsed_s = int(now - activity.since) if activity.busy else 0
    elapsed = f" {elapsed_s} s" if elapsed_s else ""
    match activity.state:
        case "loading":
            return f"loading: {activity.stage}{elapsed}" if activity.stage else f"loading{elapsed}"
        case "queued":
            return f"queued, {activity.ahead} before it" if activity.ahead else "queued"
        case "prefill":
            amount = f" {activity.done:,}/{activity.total:,}" if activity.total else ""
            if activity.ends_at is not None and (left_s := int(activity.ends_at - now)) > 0:
                elapsed = f", {left_s} s left"
            return f"reading the prompt{amount}{elapsed}"
        case "calling":
            return f"running {activity.stage}{elapsed}" if activity.stage else "reading the results"
        case "idle":
            return "ready"
        case "unloaded":
            return "not loaded"
        case "reading ahead":
            return f"reading ahead {activity.done:,}/{activity.total:,}"
        case "summarizing":
            return f"summing up older turns{elapsed}"
        case "getting":
            return f"getting the model{elapsed}"
        case state:
            return state


def _tokens(activity: Activity) -> str:
    return tokens_text(activity.tokens, activity.tokens_per_s)


def tokens_text(tokens: int, rate: float | None) -> str:
    """Return the tokens and their rate per second in words; empty without tokens."""
    if not tokens:
        return ""
    amount = f"{tokens:,} token{'' if tokens == 1 else 's'}"
    return f"{amount} at {rate:.{0 if rate >= 100 else 1}f}/s" if rate else amount


def _ttft(activity: Activity) -> str:
    return f"first after {activity.ttft_s:.1f} s" if activity.ttft_s is not None else ""


def _context(activity: Activity, *, brief: bool = False) -> str:
    if not activity.context_length:
        return ""
    number = short if brief else "{:,}".format
    name, of = ("ctx", "/") if brief else ("context", " of ")
    unsent = f"+{'~' if activity.estimates else ''}{number(activity.unsent)}" if activity.unsent else ""
    if activity.context_used is None and not unsent:
        return f"{name} {number(activity.context_length)}"
    used = f"{'~' if activity.used_estimated else ''}{number(activity.context_used or 0)}"
    return f"{name} {used}{unsent}{of}{number(activity.context_length)}"


def short(tokens: int) -> str:
    """Return a number of tokens in at most five characters: 950, 8.2k, 131k, 1.0M."""
    if tokens < 1_000:
        return str(tokens)
    if tokens < 99_950:
        return f"{tokens / 1_000:.1f}".removesuffix(".0") + "k"
    if tokens < 999_500:
        return f"{tokens / 1_000:.0f}k"
    return f"{tokens / 1_000_000:.1f}M"
