"""Counts tokens with the server's tokenizer, or estimates them if the server does not count."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from spnl_tui.engine.endpoint.connection import Connection
from spnl_tui.engine.endpoint.endpoints import Endpoint
from spnl_tui.engine.endpoint.facts import ServedModel
from spnl_tui.errors import SpnlError

_PATIENCE_S = 5.0
_AT_ONCE = 8
_FIRST_GUESS = 3.6
"""Bytes of UTF-8 per token, typical of English, code and other languages."""
_FEWEST, _MOST = 1.5, 8.0
COUNTING = ("vllm", "llamacpp", "llamacpp-python", "spnl")
"""The kinds of servers that count tokens."""


class TokenCounter:
    """Counts the tokens of texts for one model."""

    def __init__(self, connection: Connection, endpoint: Endpoint, model: ServedModel) -> None:
        self._connection = connection
        self._endpoint = endpoint
        self._model = model
        self._bytes_per_token = _FIRST_GUESS
        self.estimates = model.server not in COUNTING
        """True if the counts are only estimated."""

    async def count(self, texts: Sequence[str]) -> tuple[int, ...]:
        """Return the number of tokens in each text, estimated if the server fails to count."""
        if not self.estimates:
            gate = asyncio.Semaphore(_AT_ONCE)

            async def count_one(text: str) -> int:
                async with gate:
                    return await self._ask(text)

            try:
                return tuple(await asyncio.gather(*(count_one(text) for text in texts)))
            except (SpnlError, ValueError):
                self.estimates = True
        return tuple(self._estimate(text) for text in texts)

    def learn(self, text: str, tokens: int) -> None:
        """Correct the estimate with the token count that the server reported for a whole prompt."""
        size = len(text.encode("utf-8", "replace"))
        if tokens > 50:  # In a shorter prompt, most tokens are the template's.
            self._bytes_per_token = min(_MOST, max(_FEWEST, size / tokens))

    def _estimate(self, text: str) -> int:
        return round(len(text.encode("utf-8", "replace")) / self._bytes_per_token + 0.3) if text else 0

    async def _ask(self, text: str) -> int:
        root = self._endpoint.root
        match self._model.server:
            case "llamacpp":
                url, body = f"{root}/tokenize", {"content": text, "add_special": False}
            case "llamacpp-python":
                url, body = f"{root}/extras/tokenize/count", {"input": text, "model": self._model.id}
            case _:
                url, body = f"{root}/tokenize", {
                    "model": self._model.id, "prompt": text, "add_special_tokens": False,
                }  # fmt: skip
        return _count_in(await self._connection.post(url, body, patience_s=_PATIENCE_S))


def _count_in(answer: Any) -> int:
    if isinstance(answer, dict):
        if type(count := answer.get("count")) is int:
            return count
        if isinstance(tokens := answer.get("tokens"), list):
            return len(tokens)
    raise ValueError("not a count of tokens")
