"""Continues a text with a model that has a chat template. mistral.rs cannot stream this."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from spnl_tui.engine.backend import ReplyChunk, ReplyFinished, Timing, Usage
from spnl_tui.engine.mistralrs import wire
from spnl_tui.engine.mistralrs.runner.pipeline import MODEL, sampling_arguments
from spnl_tui.engine.mistralrs.runner.reply_stream import drop_partial_character
from spnl_tui.engine.mistralrs.runner.stops import StopFilter
from spnl_tui.engine.mistralrs.runner.structured import grammar_arguments
from spnl_tui.models.request import Sampling

if TYPE_CHECKING:
    import mistralrs


def continue_in_one_piece(
    pipeline: mistralrs.Runner, command: wire.Complete, sampling: Sampling
) -> tuple[ReplyChunk, ReplyFinished]:
    """Return the text that follows the prompt, and the final event with usage and timing."""
    import mistralrs

    started = time.monotonic()
    response = pipeline.send_completion_request(
        mistralrs.CompletionRequest(
            prompt=command.prompt,
            model=MODEL,
            **sampling_arguments(sampling),
            **grammar_arguments(command.grammar),
        )
    )
    choice, usage = response.choices[0], response.usage
    stops = StopFilter(command.sampling.stop)
    text = drop_partial_character(choice.text) if choice.finish_reason == "length" else choice.text
    text = stops.feed(text) + stops.rest()
    seconds, decode = time.monotonic() - started, usage.total_completion_time_sec
    finished = ReplyFinished(
        finish_reason="length" if choice.finish_reason == "length" else "stop",
        usage=Usage(prompt_tokens=usage.prompt_tokens, completion_tokens=usage.completion_tokens),
        timing=Timing(
            prefill_s=usage.total_prompt_time_sec,
            ttft_s=seconds,
            itl_s=decode / (usage.completion_tokens - 1) if usage.completion_tokens > 1 else None,
            decode_tokens_per_s=usage.avg_compl_tok_per_sec or None,
        ),
    )
    return ReplyChunk(text=text, tokens=usage.completion_tokens), finished
