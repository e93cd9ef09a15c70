"""Makes the C library return memory that is freed during a load."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

# mallopt(3).
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_EAGER_BYTES = 1 << 16
_USUAL_BYTES = 32 << 20
"""glibc raises its own threshold up to this as large blocks are freed. A fixed one stays as it is."""


@contextmanager
def returning_freed_memory() -> Iterator[None]:
    """Within the context, give every large block back to the system as soon as it is freed.

    Re-quantization frees the stored weights and their 32-bit copies, of which glibc would keep up to half of
    the result for ever. Afterwards, blocks are kept again, because each token of a reply needs some. Other C
    libraries are left alone.
    """
    _set(_EAGER_BYTES)
    try:
        yield
    finally:
        _set(_USUAL_BYTES)


def _set(threshold: int) -> None:
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:
        return
    mallopt(_MMAP_THRESHOLD, threshold)
    mallopt(_TRIM_THRESHOLD, 2 * threshold)
