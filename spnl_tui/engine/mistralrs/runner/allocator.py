"""Makes the C library return freed memory to the system during a load."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

# Constants of mallopt(3).
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_EAGER_BYTES = 1 << 16
_USUAL_BYTES = 32 << 20
"""The highest threshold that glibc sets by itself as large blocks are freed. A threshold set here stays
fixed."""


@contextmanager
def returning_freed_memory() -> Iterator[None]:
    """Return every large block to the system as soon as it is freed, within the context.

    Re-quantization frees the stored weights and their 32-bit copies, and glibc would keep up to half of the
    result's size. After the load blocks are kept again, because each token of a reply needs some. Has no
    effect with other C libraries.
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
