"""What is kept of a reply besides its text: where it came from, and what it cost."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Sequence
from importlib import metadata
from typing import TYPE_CHECKING

from spnl_tui.chat.reply import ReplySoFar
from spnl_tui.conversations.context import prompt_sha256
from spnl_tui.conversations.turn import Provenance
from spnl_tui.engine.mistralrs.wire import Timing
from spnl_tui.models.local import LocalModel
from spnl_tui.models.request import Message, Sampling

if TYPE_CHECKING:
    from spnl_tui.engine.mistralrs.pool import LoadedModel

_PLANNED = (
    "device",
    "dtype",
    "threads",
    "in_situ_quantization",
    "pad_rows",
    "prefix_cache",
    "paged_attention",
    "max_sequences",
    "context",
)
"""What of a load plan can change a reply or its speed."""


def provenance_of_request(
    model: LocalModel,
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
    """What is known when the request is made."""
    revision, file_sha256 = origin_in_cache(model)
    return Provenance(
        model=model.name,
        revision=revision,
        file_sha256=file_sha256,
        engine_version=_engine_version(),
        sampling=sampling,
        thinking=thinking,
        system_prompt=system_prompt,
        left_out=left_out,
        summary=summary,
        begun=begun,
        prompt_sha256=prompt_sha256(messages),
        started_at=started_at,
    )


def with_outcome(provenance: Provenance, reply: ReplySoFar, loaded: LoadedModel | None) -> Provenance:
    """The same, with the figures of the reply and the way in which its model was loaded."""
    timing = reply.timing or Timing()
    return dataclasses.replace(
        provenance,
        load_plan=_plan_as_json(loaded) if loaded is not None else "",
        prompt_tokens=reply.usage.prompt_tokens if reply.usage else None,
        completion_tokens=reply.usage.completion_tokens if reply.usage else None,
        ttft_s=timing.ttft_s,
        itl_s=timing.itl_s,
        decode_tokens_per_s=timing.decode_tokens_per_s,
    )


def origin_in_cache(model: LocalModel) -> tuple[str | None, str | None]:
    """The revision and the SHA-256 (of shards, joined by spaces) of a model in the Hugging Face cache.

    Both are names there: of the directory snapshots/REVISION, and of the blobs that its links lead to. None
    where they are not: to hash gigabytes is not worth it.
    """
    revision = next(
        (part for part in reversed(model.directory.parts) if re.fullmatch("[0-9a-f]{40}", part)), None
    )
    blobs = [(model.directory / file).resolve().name for file in model.files]
    known = bool(blobs) and all(re.fullmatch("[0-9a-f]{64}", name) for name in blobs)
    return revision, " ".join(blobs) if known else None


def _plan_as_json(loaded: LoadedModel) -> str:
    return json.dumps({name: getattr(loaded.plan, name) for name in _PLANNED})


def _engine_version() -> str | None:
    try:
        return metadata.version("mistralrs")
    except metadata.PackageNotFoundError:
        return None
