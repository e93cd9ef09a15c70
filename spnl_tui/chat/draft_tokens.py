"""What is typed, and what files hold, counted in tokens of the model in use."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from spnl_tui.chat.tokens import TokenMeters

if TYPE_CHECKING:
    from spnl_tui.ui.main_screen import MainScreen

_TYPING_S = 0.25
"""So long after the last key what is typed is counted."""


class Counting:
    """Counts for the status line and the transcript."""

    def __init__(self, screen: MainScreen, meters: TokenMeters) -> None:
        self._screen = screen
        self._meters = meters

    async def count_unsent(self) -> None:
        """Count what is being typed, once the typing rests."""
        screen = self._screen
        if screen.answering.naming is not None:
            screen.answering.naming.leave()
        if screen.chat.prompt.text:
            await asyncio.sleep(_TYPING_S)
        text, model = await screen.prompts.unsent(), screen.current_model.model
        count = await self._meters.of(model).count_unsent(text) if model is not None and text.strip() else 0
        if count is not None and count != screen.activity.unsent:
            screen.answering.learn(unsent=count)
            screen.status.draft_counted(count)

    async def count_texts(self, texts: Sequence[str]) -> tuple[int, ...] | None:
        """Tokens of each text; None while they cannot be counted."""
        model = self._screen.current_model.model
        return await self._meters.of(model).count_texts(texts) if model is not None else None
