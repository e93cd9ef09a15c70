"""A prefetch: messages that a model reads before the user sends them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from spnl_tui.models.prompts.common_prefix import characters, common_characters
from spnl_tui.models.request import Message, Sampling
from spnl_tui.models.tools import Tool


def _ignore(done: int, total: int) -> None:
    """Do nothing."""


class Prefetch:
    """Messages to read before they are sent. The caller may stop the prefetch; the backend sets `ended`."""

    def __init__(
        self,
        messages: Sequence[Message],
        sampling: Sampling,
        on_progress: Callable[[int, int], None] = _ignore,
        tools: tuple[Tool, ...] = (),
    ) -> None:
        """Prepare to read these messages.

        `sampling` and `tools` are those of the expected request. `on_progress` receives the number of tokens
        read and the total after each step except the last.
        """
        self.messages = tuple(messages)
        self.sampling = sampling
        self.tools = tools
        self.on_progress = on_progress
        self.stopped = asyncio.Event()
        self.ended = asyncio.Event()

    def stop(self) -> None:
        """Stop after the current step."""
        self.stopped.set()

    def serves(self, messages: Sequence[Message]) -> bool:
        """Return True if most of the prefetched text is the beginning of these messages."""
        return 2 * common_characters(self.messages, messages) >= characters(self.messages)
