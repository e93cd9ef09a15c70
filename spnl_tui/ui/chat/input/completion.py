"""What the word before the cursor may become. Completers offer; the prompt shows and takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Offer:
    """One thing that the word may become."""

    text: str
    """What takes its place."""
    label: str
    about: str = ""
    """What it is, in a few words; or nothing."""
    final: bool = False
    """Whether Enter, which takes it, also sends the prompt."""


@dataclass(frozen=True, slots=True)
class Offers:
    """What may take the place of the text between `start`, a place in the prompt, and the cursor."""

    start: int
    offers: Sequence[Offer]
    """The best first."""
    sure: bool = True
    """Whether the best one is what Enter takes, before the user has moved to any."""


class Completer(Protocol):
    """Knows what one kind of word may become."""

    def __call__(self, before: str) -> Offers | None:
        """What there is for the text before the cursor; None: it is not of this kind."""
