"""Reads large JSON piece by piece, as items of an array or as lines, with little memory. Blocks."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from typing import IO, Any, NoReturn

from spnl_tui.errors import StoreError

LARGE = 32 * 1024**2
"""Files larger than this many bytes are read piece by piece."""
MAX_BYTES = 512 * 1024**2
"""The most bytes that are read as one JSON value."""
_LONGEST_LINE = 256 * 1024**2


class CountingStream(io.RawIOBase):
    """A stream that reports how many bytes were read."""

    def __init__(self, stream: IO[bytes], on_read: Callable[[int], None]) -> None:
        self._stream = stream
        self._on_read = on_read
        self._done = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        self._done += len(data)
        self._on_read(self._done)
        return len(data)


def buffered(stream: IO[bytes], on_read: Callable[[int], None]) -> io.BufferedReader:
    """Return a stream that allows peeking at its beginning. `on_read` receives the bytes read so far."""
    return io.BufferedReader(CountingStream(stream, on_read), 1 << 16)


def array_items(stream: IO[bytes], name: str) -> Iterator[Any]:
    """Yield the items of the JSON array in this stream.

    Raises:
        StoreError: the JSON is not valid. Items before the error have been yielded.
    """
    import ijson  # type: ignore[import-untyped]  # it has no types

    try:
        yield from ijson.items(stream, "item", use_float=True)
    except (ijson.JSONError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise not_json(name, str(error)) from error


def line_items(stream: IO[bytes], name: str) -> Iterator[Any]:
    """Yield the value of each line. A line that is not JSON is yielded as a NotJson.

    Raises:
        StoreError: a line is too long.
    """
    for number, line in enumerate(iter(lambda: stream.readline(_LONGEST_LINE + 1), b""), 1):
        if len(line) > _LONGEST_LINE:
            raise not_json(name, f"line {number:,} is longer than {_LONGEST_LINE:,} bytes")
        if text := line.decode("utf-8-sig", "replace").strip():
            try:
                yield load(text)
            except (ValueError, RecursionError):
                yield NotJson(number)


class NotJson:
    """A line that is not JSON."""

    def __init__(self, line: int) -> None:
        self.line = line


def load(text: str) -> Any:
    """Return the value of a JSON text.

    Raises:
        ValueError: the text is not JSON, or has NaN or infinity.
        RecursionError: the text is nested too deeply.
    """
    return json.loads(text, parse_constant=_refuse)


def not_json(name: str, why: str) -> StoreError:
    """Return the error for a damaged file."""
    return StoreError(
        "The file cannot be imported", f"{name} is not JSON: {why}.", "Export it again, or repair it."
    )


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a number")
