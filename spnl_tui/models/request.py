"""A request to a model: its messages and the sampling of the reply. Standard library only."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from spnl_tui.errors import RequestError
from spnl_tui.models.image_marks import marked_text
from spnl_tui.models.parts import Content, Part, as_content, text_of

Role = Literal["system", "user", "assistant"]
ROLES: tuple[Role, ...] = ("system", "user", "assistant")
MessageRole = Literal["system", "user", "assistant", "tool"]
"""A message with the role "tool" holds the results of the calls in the assistant's message before it."""
MESSAGE_ROLES: tuple[MessageRole, ...] = (*ROLES, "tool")
MAX_TOKENS = 10_000_000
"""The upper limit for token counts; no reply is this long."""


@dataclass(frozen=True, slots=True, init=False)
class Message:
    """One message of a chat request.

    Raises:
        RequestError: the role is unknown.
    """

    role: MessageRole
    content: Content

    def __init__(self, role: MessageRole, content: str | Sequence[Part]) -> None:
        if role not in MESSAGE_ROLES:
            # mistral.rs accepts any role silently, with results that depend on the chat template.
            raise RequestError(
                "Unknown role", f"{role!r} is not one of {', '.join(MESSAGE_ROLES)}.", "Use one of these."
            )
        object.__setattr__(self, "role", role)
        object.__setattr__(self, "content", as_content(content))

    @property
    def text(self) -> str:
        """The text parts, with an empty line between them."""
        return text_of(self.content)

    @property
    def model_text(self) -> str:
        """The content as the model reads it, as text, from which prompts are counted and cut.

        Marks stand for images (models/image_marks.py).
        """
        return marked_text(self.content)


@dataclass(frozen=True, slots=True)
class Grammar:
    """A constraint on the reply, in mistral.rs's terms."""

    kind: Literal["json_schema", "regex", "lark"]
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How to choose the next token, and when to stop.

    mistral.rs accepts invalid values silently (a negative temperature, `top_p=2`), so they are checked when
    the object is created. The engine does not apply values that are None.

    Raises:
        RequestError: a value is outside its range.
    """

    temperature: float = 0.6
    """From 0, which always takes the likeliest token, to 2."""
    top_p: float | None = None
    """Nucleus sampling: keep the likeliest tokens whose probabilities add up to this, in (0, 1]."""
    top_k: int | None = None
    """Keep this many of the likeliest tokens, at least 1."""
    min_p: float | None = None
    """Drop tokens whose probability is below this share of the likeliest token's, in [0, 1)."""
    repetition_penalty: float | None = None
    """Divides the logits of tokens seen before, in (0, 2]; 1 has no effect."""
    frequency_penalty: float | None = None
    """Subtracted from a token's logit each time the token was seen, in [-2, 2]."""
    presence_penalty: float | None = None
    """Subtracted once from the logit of every token seen before, in [-2, 2]."""
    max_tokens: int = 2048
    """The longest reply in tokens, at least 1."""
    stop: tuple[str, ...] = ()
    """The reply ends before the first of these texts."""
    seed: int | None = None
    """Makes a sampled reply reproducible on this machine, with this model and engine version."""

    def __post_init__(self) -> None:
        _in_range("temperature", self.temperature, 0.0, 2.0)
        _in_range("top_p", self.top_p, 0.0, 1.0, open_low=True)
        _in_range("min_p", self.min_p, 0.0, 1.0, open_high=True)
        _in_range("repetition_penalty", self.repetition_penalty, 0.0, 2.0, open_low=True)
        _in_range("frequency_penalty", self.frequency_penalty, -2.0, 2.0)
        _in_range("presence_penalty", self.presence_penalty, -2.0, 2.0)
        _at_least("top_k", self.top_k, 1)
        _at_least("max_tokens", self.max_tokens, 1)
        _at_least("seed", self.seed, 0, most=2**63 - 1)
        if not isinstance(self.stop, tuple) or not all(isinstance(s, str) and s for s in self.stop):
            raise RequestError(
                "stop is wrong", "Each stop sequence must be a text of one or more characters."
            )


def _in_range(
    name: str,
    value: float | None,
    low: float,
    high: float,
    *,
    open_low: bool = False,
    open_high: bool = False,
) -> None:
    if value is None:
        return
    number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if (
        number
        and (low < value if open_low else low <= value)
        and (value < high if open_high else value <= high)
    ):
        return
    interval = f"{'(' if open_low else '['}{low:g}, {high:g}{')' if open_high else ']'}"
    raise RequestError(
        f"{name} is out of range",
        f"{name} is {value!r}; it must lie in {interval}.",
        f"Set {name} within {interval}.",
    )


def _at_least(name: str, value: int | None, low: int, *, most: int = MAX_TOKENS) -> None:
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and low <= value <= most):
        return
    raise RequestError(
        f"{name} is out of range",
        f"{name} is {value!r}; it must be a whole number from {low} to {most:,}.",
        f"Set {name} to {low} or more." if isinstance(value, int) and value < low else f"Lower {name}.",
    )
