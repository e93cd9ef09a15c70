"""The memory of a runner: when to replace the process, and how many tokens a prefill may add to the cache.

On a CPU mistral.rs never evicts anything from its prefix cache, so a runner grows with every request.
"""

from __future__ import annotations

from spnl_tui.engine.backend import Usage
from spnl_tui.engine.mistralrs import wire
from spnl_tui.engine.mistralrs.cache.prefill import STEP_TOKENS, prefill_tokens
from spnl_tui.engine.mistralrs.load_plan import LoadPlan

_GROWTH = 1.05
"""A runner whose memory exceeds its estimate times this factor should be replaced."""
_CACHE_STEP = 512
"""mistral.rs grows a KV cache by this many tokens."""
_TELLING = 400
"""The shortest prompt, in characters, from which to measure tokens per character. Shorter ones are mostly
template."""
_PAIR_BYTES = 40
"""Bytes that a prefill step takes for each pair of one of its tokens and one of the prompt's, without working
buffers. With eight heads, 48 were measured."""
_LEAST_ROOM = 32_000_000
"""Bytes that the steps of a prefill may always take: many tokens of a small model."""
_MASK_BYTES = 8
"""Bytes for each pair of tokens in the causal mask of a prefill, which mistral.rs allocates at once."""


class Growth:
    """Estimates the memory of one model's runners. All sizes are resident bytes."""

    def __init__(self, plan: LoadPlan) -> None:
        self._plan = plan
        self._loaded = 0
        self._last_tokens = 0
        self._tokens_per_character = 0.3

    def loaded(self, memory: int) -> None:
        """Record the size of a process that has loaded the model."""
        self._loaded = memory

    def served(self, prompt: wire.Prompt, usage: Usage) -> None:
        """Record the tokens of an answered prompt."""
        if not usage.prompt_tokens:
            return
        self._last_tokens = usage.prompt_tokens + usage.completion_tokens
        if (characters := _characters(prompt)) >= _TELLING:
            self._tokens_per_character = usage.prompt_tokens / characters

    def is_due(self, memory: int, next: wire.Prompt | None = None) -> bool:
        """Return True if a runner of this size could outgrow its plan with the next prompt.

        An unknown prompt is assumed to be somewhat longer than the last one.
        """
        tokens = self.tokens(next) if next is not None else self._last_tokens * 5 // 4 + 100
        need = self._need(min(tokens, self._plan.context))
        return memory + need > self._limit(need)

    def prefill_room(self, memory: int, prompt: wire.Prompt) -> int | None:
        """Return how many tokens' keys and values still fit into memory; None if their size is unknown."""
        if not (each := self._token_bytes()):
            return None
        tokens = min(self.tokens(prompt), self._plan.context)
        buffers = self._plan.memory.working + _PAIR_BYTES * STEP_TOKENS * tokens
        return int(max(_LEAST_ROOM, self._estimate() - memory - buffers) / each)

    def is_tight(self, memory: int, prompt: wire.Prompt) -> bool:
        """Return True if only a new process has the memory to read this prompt in three steps."""
        tokens = min(self.tokens(prompt), self._plan.context)
        now, then = self.prefill_room(memory, prompt), self.prefill_room(self._loaded, prompt)
        if tokens < 2 * STEP_TOKENS or now is None or then is None:
            return False
        return now < prefill_tokens(0, tokens, 2) <= then

    def room_ahead(self, memory: int, prompt: wire.Prompt) -> int | None:
        """Return how many tokens' keys and values a prefetch of this prompt may leave in the cache.

        Zero if too little memory would remain to serve the prompt; None if their size is unknown.
        """
        if not (each := self._token_bytes()):
            return None
        tokens = min(self.tokens(prompt), self._plan.context)
        need = self._need(tokens)
        room = int((self._limit(need) - need - memory) / each)
        return room if room >= tokens + _CACHE_STEP else 0

    def _limit(self, need: float) -> float:
        """Return the largest allowed size of a runner for a prompt that needs this many bytes."""
        # A new process would also need memory to load the model and serve the prompt.
        return max(_GROWTH * self._estimate(), self._loaded + 2 * need)

    def _estimate(self) -> float:
        memory = self._plan.memory
        # If the weights are larger than estimated, a new process would be just as large.
        return max(memory.total, self._loaded + memory.working + (memory.kv_cache or 0))

    def _token_bytes(self) -> float:
        """Return the bytes of the keys and values of one token; 0 if unknown."""
        copies = 2 if self._plan.prefix_cache else 1
        return (self._plan.memory.kv_cache or 0) / copies / self._plan.context

    def _need(self, tokens: int) -> float:
        """Return the bytes that a prompt takes for working memory, the prefix cache and the mask."""
        return 2 * (tokens + _CACHE_STEP) * self._token_bytes() + _MASK_BYTES * tokens**2

    def tokens(self, prompt: wire.Prompt, *, without: int = 0) -> int:
        """Return about how many tokens this prompt has, not counting `without` of its characters."""
        return int((_characters(prompt) - without) * self._tokens_per_character)


def _characters(prompt: wire.Prompt) -> int:
    if isinstance(prompt, wire.Complete):
        return len(prompt.prompt)
    return sum(len(message.model_text) for message in prompt.messages)
