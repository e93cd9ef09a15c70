"""The markers around models' thoughts, from their chat templates and model cards."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ThoughtMarkers:
    """The markers that open and close a thought."""

    open: str
    close: str
    heading: str = ""
    """The text that the model writes after the opening marker and before the thought."""


KNOWN = (
    ThoughtMarkers("<think>", "</think>"),  # DeepSeek, Qwen, SmolLM3, GLM 4.5, LFM2, EXAONE 4 …
    ThoughtMarkers("[THINK]", "[/THINK]"),  # Magistral, Ministral 3
    ThoughtMarkers("<seed:think>", "</seed:think>"),  # Seed-OSS
    ThoughtMarkers("<thought>", "</thought>"),  # EXAONE Deep
    ThoughtMarkers("<thinking>", "</thinking>"),
    ThoughtMarkers("<reasoning>", "</reasoning>"),  # Reka Flash 3
    ThoughtMarkers("<|START_THINKING|>", "<|END_THINKING|>"),  # Command A Reasoning
    ThoughtMarkers("<|begin_of_thought|>", "<|end_of_thought|>"),  # Sky-T1, OpenThinker
    ThoughtMarkers("◁think▷", "◁/think▷"),  # Kimi-VL Thinking
    ThoughtMarkers("<|channel>", "<channel|>", "thought\n"),  # Gemma 4
    ThoughtMarkers("<unused94>", "<unused95>", "thought\n"),  # MedGemma
    ThoughtMarkers("Here are my reasoning steps:\n", "[BEGIN FINAL RESPONSE]"),  # Apriel
)

HARMONY = ("<|start|>", "<|channel|>", "<|message|>", "<|end|>", "<|return|>", "<|call|>", "<|constrain|>")
"""The markers of OpenAI's Harmony format (gpt-oss): each message of a reply names its channel."""

_CLOSING = re.compile(
    r"</[\w:|.-]{1,40}>|\[/[A-Z_]{2,40}\]|◁/\w{1,40}▷"
    r"|<\|?/?[\w:]*(?:end|END)_?[\w:]*\|?>|<\w+\|>|\[[A-Z ]{6,40}\]"
)
"""Matches text in a template that looks like a closing marker."""


def is_harmony(template: str) -> bool:
    """Return True if the template writes messages in the Harmony format."""
    messages = "<|start|>" in template and "<|end|>" in template
    return "<|message|>" in template and ("<|channel|>" in template or messages)


def closing_candidates(template: str) -> list[str]:
    """Return the possible closing markers in this template, known ones first."""
    known = [markers.close for markers in KNOWN if markers.close in template]
    return list(dict.fromkeys([*known, *_CLOSING.findall(template)]))


def find_markers(
    template: str, strips: Iterable[str] = (), vocabulary: Collection[str] = ()
) -> tuple[ThoughtMarkers, ...]:
    """Return the markers between which a model with this template may think.

    They include known markers that the template mentions or that are tokens of the vocabulary, and markers
    derived from `strips`, the markers up to which the template removes text from earlier replies.
    """
    found = [
        markers
        for markers in KNOWN
        if markers.open in template
        or markers.close in template
        or (markers.open in vocabulary and markers.close in vocabulary)
    ]
    for close in strips:
        if all(close != markers.close for markers in found) and (open := _opening_of(close, template)):
            found.append(ThoughtMarkers(open, close))
    return tuple(found)


def _opening_of(close: str, template: str) -> str | None:
    """Return the opening marker for this closing marker; None if the template has none."""
    if "/" in close:
        return close.replace("/", "", 1)
    for end, start in (("end", "start"), ("end", "begin"), ("END", "START"), ("END", "BEGIN")):
        if end in close and (open := close.replace(end, start, 1)) in template:
            return open
    return None
