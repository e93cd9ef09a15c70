"""What was sent, to be brought back."""

from __future__ import annotations

from collections.abc import Sequence


class PromptHistory:
    """Earlier prompts, and the draft that is left while one walks through them."""

    def __init__(self) -> None:
        self._prompts: list[str] = []
        self._position: int | None = None
        """The place in the history; None: the draft is shown."""
        self._draft = ""

    @property
    def prompts(self) -> tuple[str, ...]:
        """The prompts, the latest last."""
        return tuple(self._prompts)

    def put_before(self, prompts: Sequence[str]) -> None:
        """Put what was sent in earlier sessions before what has been sent since."""
        self._prompts[:0] = prompts
        self._position = None

    def add(self, prompt: str) -> None:
        """Add what was sent. The same once more is not worth another step."""
        if self._prompts[-1:] != [prompt]:
            self._prompts.append(prompt)
        self._position = None

    def leave(self) -> None:
        """What is shown is a draft from here on."""
        self._position = None

    def earlier(self, draft: str) -> str | None:
        """The prompt before the one that is shown, which is the draft at first; None: there is none."""
        if not self._prompts or self._position == 0:
            return None
        if self._position is None:
            self._draft, self._position = draft, len(self._prompts)
        self._position -= 1
        return self._prompts[self._position]

    def later(self) -> str | None:
        """The prompt after the one that is shown, and at last the draft; None: it is shown already."""
        if self._position is None:
            return None
        self._position += 1
        if self._position < len(self._prompts):
            return self._prompts[self._position]
        self._position = None
        return self._draft
