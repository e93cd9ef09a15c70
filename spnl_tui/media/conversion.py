"""Converts files of unknown origin in a child process, with limits on time and memory.

Decoders of images and documents are large, and files can be made to exhaust or crash them. A child that takes
too long is killed, and one that runs out of memory or crashes takes nothing with it. None of the decoders is
imported here.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from spnl_tui.errors import AttachmentError, cause_of

Job = Literal["image", "thumbnail", "document"]
SECONDS = 10.0
"""The longest that one conversion may take."""
IMAGE_BYTES, DOCUMENT_BYTES = 64 << 20, 64 << 20
"""The largest files that are converted."""
_COMMAND = (sys.executable, "-m", "spnl_tui.media.child")


@dataclass(frozen=True, slots=True)
class Converted:
    """The result of a conversion."""

    facts: dict[str, Any]
    data: bytes


def convert(
    job: Job, source: Path | bytes, *, name: str, seconds: float = SECONDS, **options: Any
) -> Converted:
    """Convert a file, or these bytes. Blocks; call it in a thread.

    Raises:
        AttachmentError: the file cannot be converted; it says why.
    """
    data, path = (source, "") if isinstance(source, bytes) else (b"", str(source))
    head = json.dumps({"job": job, "path": path, "name": name, **options}).encode() + b"\n"
    title = f"{name} cannot be attached"
    try:
        done = subprocess.run(_COMMAND, input=head + data, capture_output=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired as error:
        raise AttachmentError(
            title, f"Reading it took more than {seconds:.0f} seconds.", "Make it smaller, or convert it."
        ) from error
    except OSError as error:
        raise AttachmentError(title, f"{cause_of(error)}.", "Try again.") from error
    line, _, rest = done.stdout.partition(b"\n")
    try:
        facts = json.loads(line)
    except ValueError:
        facts = {"error": "Its decoder crashed: it is damaged, or needs too much memory."}
    if done.returncode or "error" in facts:
        reason = facts.get("error") or "Its decoder crashed."
        raise AttachmentError(title, reason, facts.get("hint", "Open it in its program and save it anew."))
    return Converted(facts, rest)
