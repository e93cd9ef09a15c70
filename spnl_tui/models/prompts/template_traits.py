"""Detects how a chat template behaves by trying it: how it marks thoughts and ends, and which messages it
accepts.

Templates are programs, so searching their text shows little. A few short conversations written with the
template show the rest.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from spnl_tui.models.prompts.chat_prompt import ChatPrompt, TemplateError
from spnl_tui.models.prompts.thought_markers import (
    ThoughtMarkers,
    closing_candidates,
    find_markers,
    is_harmony,
)

_SYSTEM, _ASK, _REPLY, _NEXT, _THOUGHT = "sysalfa", "askbravo", "replycharlie", "nextdelta", "thoughtecho"
"""Words that no template contains, to recognize each message in a written prompt."""

_MARKER = re.compile(r"<[^<>\s]{1,60}>|\[/?[A-Z][A-Z_]*\]|\[\|\w+\|\]")


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateTraits:
    """The detected traits of a chat template."""

    thoughts: tuple[ThoughtMarkers, ...] = ()
    """The possible markers around the thoughts of replies."""
    harmony: bool = False
    """True if replies come as Harmony messages, each with a channel."""
    opens: str | None = None
    """The marker at the end of a prompt that begins a thought; None if there is none."""
    strips: tuple[str, ...] = ()
    """Closing markers up to which the template removes text from earlier replies."""
    ends: tuple[str, ...] = ()
    """The text after a reply in a conversation: a marker, or the words before the next prompt."""
    takes_system: bool = True
    """False if the template refuses or drops a system message."""
    alternates: bool = False
    """True if it refuses two consecutive messages of the same role."""
    typed: bool = False
    """True if it takes content only as a list of parts."""


def read_traits(prompt: ChatPrompt, vocabulary: Collection[str] = ()) -> TemplateTraits:
    """Return the traits of this template. `vocabulary` has the known special tokens of the model.

    Raises:
        TemplateError: the template cannot write even a simple prompt.
    """
    typed = not _shows_plain_content(prompt)

    def written(*messages: tuple[str, str], generation: bool = True) -> str | None:
        try:
            return prompt.write(as_dicts(messages, typed), add_generation_prompt=generation)
        except TemplateError:
            return None

    alone = prompt.write(as_dicts([("user", _ASK)], typed))
    harmony = is_harmony(prompt.text)
    strips = tuple(
        close
        for close in closing_candidates(prompt.text)
        if _is_cut(written(("user", _ASK), ("assistant", f"{_THOUGHT}{close}{_REPLY}"), ("user", _NEXT)))
    )
    thoughts = () if harmony else find_markers(prompt.text, strips, vocabulary)
    with_system = written(("system", _SYSTEM), ("user", _ASK))
    return TemplateTraits(
        thoughts=thoughts,
        harmony=harmony,
        opens=opened_by(alone, thoughts),
        strips=strips,
        ends=_ends(written(("user", _ASK), ("assistant", _REPLY), ("user", _NEXT)), harmony, vocabulary),
        takes_system=with_system is not None and _SYSTEM in with_system and _ASK in with_system,
        alternates=written(("user", _ASK), ("user", _NEXT)) is None,
        typed=typed,
    )


def opened_by(prompt: str, thoughts: Sequence[ThoughtMarkers]) -> str | None:
    """Return the opening marker at the end of this prompt, after which the model thinks; None if there is
    none."""
    end = prompt.rstrip()
    return next(
        (
            each.open
            for each in thoughts
            if end.endswith((each.open.rstrip(), f"{each.open}{each.heading}".rstrip()))
        ),
        None,
    )


def as_dicts(messages: Sequence[tuple[str, str]], typed: bool) -> list[Mapping[str, Any]]:
    """Return roles and contents in the form that a template takes."""
    return [
        {"role": role, "content": [{"type": "text", "text": content}] if typed else content}
        for role, content in messages
    ]


def _shows_plain_content(prompt: ChatPrompt) -> bool:
    def shows(typed: bool) -> bool:
        try:
            return _ASK in prompt.write(as_dicts([("user", _ASK)], typed))
        except TemplateError:
            return False

    return shows(False) or not shows(True)


def _is_cut(text: str | None) -> bool:
    return text is not None and _THOUGHT not in text and _REPLY in text


def _ends(text: str | None, harmony: bool, vocabulary: Collection[str]) -> tuple[str, ...]:
    if harmony:
        return ("<|return|>", "<|call|>")
    if text is None or _REPLY not in text or _NEXT not in text.split(_REPLY, 1)[1]:
        return ()
    between = text.split(_REPLY, 1)[1].split(_NEXT, 1)[0]
    tokens = [token for token in vocabulary if token and between.lstrip().startswith(token)]
    if tokens:
        return (max(tokens, key=len),)
    if marker := _MARKER.match(between.lstrip()):
        return (marker.group(),)
    words = between.strip()
    if not re.search(r"\w", words):
        return ()
    return (("\n" if "\n" in between[: between.index(words)] else " ") + words,)
