"""Matches stop sequences in the text. Standard library only, because the runner imports it.

mistral.rs compares whole tokens, so it misses "Paris" in " Paris".
"""

from __future__ import annotations

from collections.abc import Sequence


class StopFilter:
    """Passes text on up to the first stop sequence.

    It holds back text that may be the beginning of a stop sequence.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stops)
        self._held = ""
        self.stopped = False
        """True once a stop sequence has ended the reply."""

    def feed(self, text: str) -> str:
        """Return the text that can be shown now."""
        if not self._stops:
            return text
        self._held += text
        positions = [at for stop in self._stops if (at := self._held.find(stop)) >= 0]
        if positions:
            self.stopped = True
            shown, self._held = self._held[: min(positions)], ""
            return shown
        keep = max(overlap(self._held, stop) for stop in self._stops)
        cut = len(self._held) - keep
        shown, self._held = self._held[:cut], self._held[cut:]
        return shown

    def rest(self) -> str:
        """Return the held-back text at the end of the reply, where it is not a stop sequence after all."""
        rest, self._held = self._held, ""
        return rest


def overlap(text: str, stop: str) -> int:
    """Return the length of the longest end of the text with which the stop sequence begins."""
    return next((n for n in range(min(len(text), len(stop) - 1), 0, -1) if text.endswith(stop[:n])), 0)
