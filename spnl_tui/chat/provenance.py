"""The provenance of a reply: where it came from, and what it cost."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from spnl_tui.conversations.context import prompt_sha256
from spnl_tui.conversations.turn import Provenance
from spnl_tui.engine.backend import LoadedModel, ModelHandle
from spnl_tui.engine.reply import Reply
from spnl_tui.models.request import Message, Sampling


def provenance_of_request(
    model: ModelHandle,
    messages: Sequence[Message],
    sampling: Sampling,
    *,
    thinking: bool | None = None,
    system_prompt: str = "",
    left_out: tuple[str, ...] = (),
    summary: str = "",
    begun: int = 0,
    started_at: float | None = None,
) -> Provenance:
    """Return what is known when the request is sent."""
    return Provenance(
        model=model.name,
        revision=model.revision,
        file_sha256=model.file_sha256,
        engine_version=model.engine_version,
        sampling=sampling,
        thinking=thinking,
        system_prompt=system_prompt,
        left_out=left_out,
        summary=summary,
        begun=begun,
        prompt_sha256=prompt_sha256(messages),
        started_at=started_at,
    )


def with_outcome(provenance: Provenance, reply: Reply, loaded: LoadedModel | None) -> Provenance:
    """Return the provenance with the reply's figures and how its model was loaded."""
    return dataclasses.replace(
        provenance,
        load_plan=loaded.load_details if loaded is not None else "",
        prompt_tokens=reply.usage.prompt_tokens if reply.usage else None,
        completion_tokens=reply.usage.completion_tokens if reply.usage else None,
        ttft_s=reply.timing.ttft_s,
        itl_s=reply.timing.itl_s,
        decode_tokens_per_s=reply.timing.decode_tokens_per_s,
    )
