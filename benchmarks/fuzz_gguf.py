"""Read 10,000 damaged headers; each must yield facts or a clear error.

python -m benchmarks.fuzz_gguf [COUNT] [SEED]
"""

from __future__ import annotations

import random
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from spnl_tui.errors import ModelFileError
from spnl_tui.models.files.gguf import read_facts
from spnl_tui.models.files.gguf_header import Source

_NUMBERS = (0, 1, 2, 3, 7, 8, 9, 255, 2**16, 2**31 - 1, 2**31, 2**32 - 1)
_LONG_NUMBERS = (0, 1, 2**16, 2**31, 2**32, 2**40, 2**62, 2**63, 2**64 - 1)


def mutations(data: bytes, count: int, seed: int) -> Iterator[bytes]:
    """Yield damaged copies of a GGUF; most of the damage is in its header."""
    randomness = random.Random(seed)
    end = min(len(data), data.rindex(b".weight") + 40)
    for _ in range(count):
        copy = bytearray(data)
        for _ in range(randomness.choice((1, 1, 1, 2, 4, 16))):
            if len(copy) < 9:
                break
            at = randomness.randrange(min(end, len(copy) - 8))
            match randomness.randrange(7):
                case 0:
                    copy[at] = randomness.randrange(256)
                case 1:
                    copy[at] ^= 1 << randomness.randrange(8)
                case 2:
                    copy[at : at + 4] = randomness.choice(_NUMBERS).to_bytes(4, "little")
                case 3:
                    copy[at : at + 8] = randomness.choice(_LONG_NUMBERS).to_bytes(8, "little")
                case 4:
                    del copy[at : at + randomness.randrange(1, 64)]
                case 5:
                    copy[at:at] = randomness.randbytes(randomness.randrange(1, 64))
                case 6:
                    del copy[at:]
        yield bytes(copy)


def survives(data: bytes) -> str:
    """Return "facts", or the title of the error. Raise anything else."""
    try:
        read_facts(Source("fuzz", len(data), lambda offset, length: data[offset : offset + length]))
    except ModelFileError as error:
        return error.title
    return "facts"


def main() -> None:
    from tests.support.gguf_maker import make_gguf

    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    with tempfile.TemporaryDirectory() as folder:
        data = make_gguf(Path(folder) / "m.gguf", layers=1).read_bytes()
    outcomes: Counter[str] = Counter()
    slowest = 0.0
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for mutation in mutations(data, count, seed):
        start = time.process_time()
        outcomes[survives(mutation)] += 1
        slowest = max(slowest, time.process_time() - start)
    growth = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory
    print(
        f"{count:,} mutations, seed {seed}: slowest {slowest * 1e3:.1f} ms of work, {growth:,} KB of growth"
    )
    for outcome, times in outcomes.most_common():
        print(f"{times:7,}  {outcome}")


if __name__ == "__main__":
    main()
