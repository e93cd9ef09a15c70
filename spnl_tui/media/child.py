"""The child program: converts one file, and ends.

    python -m spnl_tui.media.child

Standard input holds one line of JSON (the job, the path and options) and the bytes of the file if it has no
path; standard output receives one line of JSON (facts, or an error) and the result.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import warnings
from typing import Any

from spnl_tui.media.refusal import Refusal

_MEMORY = 1 << 30
"""The address space of a conversion in bytes."""


def _limit() -> None:
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        # Nothing that it decodes has to be written anywhere.
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def _convert(job: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    source = job["path"] or sys.stdin.buffer.read()
    match job["job"]:
        case "image":
            from spnl_tui.media.image_reader import read_image

            return read_image(source, longest=job["longest"])
        case "thumbnail":
            from spnl_tui.media.image_reader import thumbnail

            return thumbnail(source, job["columns"], job["rows"])
        case _:
            from spnl_tui.media.documents import read_document

            return read_document(source, job["name"], pages=job.get("pages") or "")


def main() -> None:
    """Convert one file."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # decoders print warnings
    warnings.simplefilter("ignore")
    job = json.loads(sys.stdin.buffer.readline())
    _limit()
    facts: dict[str, Any]
    data = b""
    try:
        facts, data = _convert(job)
    except Refusal as error:
        facts = {"error": error.reason}
        if error.hint:
            facts["hint"] = error.hint
    except FileNotFoundError:
        facts = {"error": "There is no such file."}
    except MemoryError:
        facts = {"error": "It needs too much memory.", "hint": "Make it smaller."}
    except Exception as error:  # decoders raise whatever comes to their mind on a broken file
        words = " ".join(str(error).split())[:160]
        facts = {"error": f"It is damaged, or not what its name says ({type(error).__name__}: {words})."}
    out.write(json.dumps(facts).encode() + b"\n" + data)
    out.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
