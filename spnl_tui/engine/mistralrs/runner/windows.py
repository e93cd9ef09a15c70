"""Layers that attend to a window of the last tokens, and the prefix cache. Pure: the runner uses it.

Of such a layer mistral.rs keeps no more than the window's keys and values. Where a prompt goes on from them,
it makes the mask as if it had all that came before (mistralrs-core/src/layers_masker.rs, make_swa_mask), and
what follows is nonsense. It goes on from a prompt and its reply in its prefix cache if the next prompt begins
with all of them. If with a part only, they are not used, since what has left the window cannot be had again
(kv_cache/rotating_cache.rs, try_set_len), and the prompt is read anew: slow, and right.

So a prompt that would go on from more than the window is made to begin with a part only: what was asked last
is given a newline at its beginning, which it had not when it was asked. It is sent as a mark, see
asking_again.py.
"""

from __future__ import annotations

from collections.abc import Sequence

from spnl_tui.engine.mistralrs.cache_reuse import AGAIN
from spnl_tui.models.request import Message

_FIRST, _EACH = 64, 16
"""The most tokens that a chat template adds, at the beginning and for each message."""


def outgrows(counts: Sequence[int], window: int | None) -> bool:
    """Whether messages of so many tokens each, with what the template adds, may be longer than the window."""
    return window is not None and _FIRST + sum(counts) + _EACH * len(counts) > window


def apart_from_cache(
    messages: Sequence[Message], counts: Sequence[int], window: int | None
) -> tuple[Message, ...]:
    """The messages such that none of the cached beginnings that have outgrown the window is one of theirs."""
    sent = list(messages)
    for index in range(1, len(sent)):
        if messages[index].role == "assistant" and outgrows(counts[: index + 1], window):
            asked = sent[index - 1]
            sent[index - 1] = Message(asked.role, AGAIN + asked.model_text)
    return tuple(sent)
