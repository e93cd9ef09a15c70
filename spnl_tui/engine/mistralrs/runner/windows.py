"""Keeps the prefix cache correct for models with an attention window. Standard library only.

mistral.rs keeps only the window's keys and values of such a layer. If a prompt continues from them, it makes
the mask as if it had all earlier tokens (mistralrs-core/src/layers_masker.rs, make_swa_mask), and the reply
is nonsense. It continues from a cached prompt and reply if the next prompt begins with all of them. If the
next prompt begins with only a part, mistral.rs cannot restore the tokens that have left the window
(kv_cache/rotating_cache.rs, try_set_len) and reads the prompt again: slow, but correct.

So a prompt that would continue from more than the window is changed to begin with only a part: its last
question gets a new newline at its beginning. The newline is a mark until the prompt is written
(cache_reuse.py).
"""

from __future__ import annotations

from collections.abc import Sequence

from spnl_tui.engine.mistralrs.cache.cache_reuse import AGAIN
from spnl_tui.models.parts import has_calls
from spnl_tui.models.request import Message

_FIRST, _EACH = 64, 16
"""The most tokens that a chat template adds at the beginning and to each message."""


def outgrows(counts: Sequence[int], window: int | None) -> bool:
    """Return True if messages of this many tokens, and the template's, may be longer than the window."""
    return window is not None and _FIRST + sum(counts) + _EACH * len(counts) > window


def apart_from_cache(
    messages: Sequence[Message], counts: Sequence[int], window: int | None
) -> tuple[Message, ...]:
    """Return the messages, changed so that no cached prompt beyond the window is continued."""
    sent = list(messages)
    for index in range(1, len(sent)):
        if messages[index].role == "assistant" and outgrows(counts[: index + 1], window):
            asked = sent[index - 1]
            if has_calls(asked.content):  # tool results must keep their place
                asked = Message("user", asked.model_text)
            sent[index - 1] = Message(asked.role, AGAIN + asked.model_text)
    return tuple(sent)
