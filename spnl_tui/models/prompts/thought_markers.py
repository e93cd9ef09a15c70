"""The markers between which models think, as their chat templates and model cards show them."""

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
    """The text that the model writes after the opening, which is not part of the thought."""


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
"""The markers that may close a thought in the text of a template."""


def is_harmony(template: str) -> bool:
    """True if the template writes Harmony's messages."""
    messages = "<|start|>" in template and "<|end|>" in template
    return "<|message|>" in template and ("<|channel|>" in template or messages)


def closing_candidates(template: str) -> list[str]:
    """Return what looks like the end of a thought in this template, known markers first."""
    known = [markers.close for markers in KNOWN if markers.close in template]
    return list(dict.fromkeys([*known, *_CLOSING.findall(template)]))


def find_markers(
    template: str, strips: Iterable[str] = (), vocabulary: Collection[str] = ()
) -> tuple[ThoughtMarkers, ...]:
    """Return the markers that a model with this template may think between.

    These are known ones that the template names, or that are tokens of the vocabulary, and those made from
    what the template cuts earlier replies at (`strips`).
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
    """Return what opens a thought that this closes."""
    if "/" in close:
        return close.replace("/", "", 1)
    for end, start in (("end", "start"), ("end", "begin"), ("END", "START"), ("END", "BEGIN")):
        if end in close and (open := close.replace(end, start, 1)) in template:
            return open
    return None
