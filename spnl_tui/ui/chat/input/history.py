"""The history of prompts."""

from __future__ import annotations

from collections.abc import Sequence


class PromptHistory:
    """Earlier prompts, and the draft that the user left to look at them."""

    def __init__(self) -> None:
        self._prompts: list[str] = []
        self._position: int | None = None
        """The index of the prompt that is shown; None for the draft."""
        self._draft = ""

    @property
    def prompts(self) -> tuple[str, ...]:
        """The prompts, the latest last."""
        return tuple(self._prompts)

    @property
    def leafing(self) -> bool:
        """True while an earlier prompt is shown."""
        return self._position is not None

    def put_before(self, prompts: Sequence[str]) -> None:
        """Insert the prompts of earlier sessions before those of this one."""
        self._prompts[:0] = prompts
        self._position = None

    def add(self, prompt: str) -> None:
        """Add a prompt, unless it equals the last one."""
        if self._prompts[-1:] != [prompt]:
            self._prompts.append(prompt)
        self._position = None

    def leave(self) -> None:
        """Record that the prompt shows a draft again."""
        self._position = None

    def earlier(self, draft: str) -> str | None:
        """Return the prompt before the one shown, or None. At first, `draft` is shown."""
        if not self._prompts or self._position == 0:
            return None
        if self._position is None:
            self._draft, self._position = draft, len(self._prompts)
        self._position -= 1
        return self._prompts[self._position]

    def later(self) -> str | None:
        """Return the prompt after the one shown, at last the draft; None if the draft is shown."""
        if self._position is None:
            return None
        self._position += 1
        if self._position < len(self._prompts):
            return self._prompts[self._position]
        self._position = None
        return self._draft
