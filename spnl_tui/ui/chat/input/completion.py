"""Completions of the word before the cursor: completers offer them, the prompt shows and accepts them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(eq=False, repr=False, frozen=True, slots=True)
class Offer:
    """One completion."""

    text: str
    """Replaces the word."""
    label: str
    about: str = ""
    """A short description; may be empty."""
    final: bool = False
    """True if Enter, which accepts it, also sends the prompt."""


@dataclass(eq=False, repr=False, frozen=True, slots=True)
class Offers:
    """The completions of the text between `start`, an index in the prompt, and the cursor."""

    start: int
    offers: Sequence[Offer]
    """The best first."""
    sure: bool = True
    """True if Enter accepts the best one before the user has moved to any."""


class Completer(Protocol):
    """Completes one kind of word."""

    def __call__(self, before: str) -> Offers | None:
        """Return the completions for the text before the cursor; None if it is not of this kind."""
