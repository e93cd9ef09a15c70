"""The token meters: one for each model."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spnl_tui.conversations.meter import TokenMeter
    from spnl_tui.engine.backend import Backend, ModelHandle


class TokenMeters:
    """Keeps a token meter for each model."""

    def __init__(self, engine: Backend) -> None:
        self._engine = engine
        self._meters: dict[ModelHandle, TokenMeter] = {}

    def of(self, model: ModelHandle) -> TokenMeter:
        """Return the meter of this model, which remembers its counts."""
        if model not in self._meters:
            from spnl_tui.conversations.meter import TokenMeter

            self._meters[model] = TokenMeter(lambda texts: self._engine.count_tokens(model, texts))
        return self._meters[model]
