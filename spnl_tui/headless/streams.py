"""The standard streams: input that is always text, output in any encoding, and failed writes reported.

The interface starts here too, so nothing is imported that a command may not need.
"""

from __future__ import annotations

import codecs
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from spnl_tui.headless.broken_pipe import BROKEN_PIPE, discard_output

BYTE_ORDER_MARK = "\ufeff"
_REPLACE = "spnl-replace"
# Our own characters, and replacements of the same width.
_SIMPLER = {
    character: simple
    for characters, simple in (
        ("─━═–—", "-"),
        ("│┃║", "|"),
        ("┌┐└┘├┤┬┴┼╭╮╰╯", "+"),
        ("·•", "*"),
        ("…", "."),
        ("‘’", "'"),
        ("“”„", '"'),
        ("×", "x"),
        ("≤←", "<"),
        ("≥→", ">"),
        ("↑", "^"),
        ("↓", "v"),
        ("✓✔", "+"),
        ("✗✘", "x"),
    )
    for character in characters
}
"""The special characters that the program prints, and their replacements in encodings that lack them."""


@contextmanager
def prepared_streams() -> Iterator[None]:
    """Prepare the standard streams, and check at the end of the program that all output was written."""
    _prepare()
    try:
        try:
            yield
        finally:
            sys.stdout.flush()  # before the interpreter does and reports a failure in its own way
            _flush_error()
    except _UnwrittenError as error:
        from spnl_tui.errors import SpnlError
        from spnl_tui.headless.output import FAILED, show_error

        show_error(SpnlError("Standard output cannot be written", f"{error}.", "Check where it goes to."))
        discard_output()
        sys.exit(FAILED)
    except BrokenPipeError:
        discard_output()
        sys.exit(BROKEN_PIPE)


_IMAGES = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"BM", b"II*\0", b"MM\0*", b"RIFF")
"""The first bytes of images."""


def read_piped_image() -> bytes | None:
    """Return standard input if it is an image; None, and read nothing, if it is not."""
    begin = sys.stdin.buffer.peek(12)[:12] if isinstance(sys.stdin.buffer, io.BufferedReader) else b""
    if not begin.startswith(_IMAGES) or (begin.startswith(b"RIFF") and begin[8:12] != b"WEBP"):
        return None
    if begin.startswith(b"BM") and begin.isascii():
        return None  # a text that begins so
    return sys.stdin.buffer.read()


def read_input() -> str:
    """Return all of standard input."""
    return "".join(input_lines())


def input_lines() -> Iterator[str]:
    """Yield the lines of standard input, without its byte order mark. Invalid UTF-8 is reported once."""
    from spnl_tui.text import well_formed

    reported = False
    for number, line in enumerate(sys.stdin):
        text = line.removeprefix(BYTE_ORDER_MARK) if number == 0 else line
        clean = well_formed(text) if reported else in_utf8(text, "Standard input")
        reported = reported or clean != text
        yield clean


def in_utf8(text: str, where: str) -> str:
    """Return the text with � for each byte that is not UTF-8, and report such bytes on standard error."""
    from spnl_tui.text import well_formed

    clean = well_formed(text)
    if clean != text:
        print(f"{where} has bytes that are not UTF-8. Each was replaced by �.", file=sys.stderr)
    return clean


def _flush_error() -> None:
    # After a hang-up nothing can be written to the terminal. The interpreter would try, and exit with 120.
    try:
        sys.stderr.flush()
    except (OSError, ValueError):
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115


class _UnwrittenError(Exception):
    """A failed write to standard output. Not a SpnlError: no command may catch it and continue."""


class _Output(io.TextIOWrapper):
    """Standard output that reports its own failures as a distinct error."""

    def write(self, text: str, /) -> int:
        try:
            return super().write(text)
        except OSError as error:
            raise _cause(error) from None

    def flush(self) -> None:
        try:
            super().flush()
        except OSError as error:
            raise _cause(error) from None


def _cause(error: OSError) -> Exception:
    # A reader that closed the pipe is not a failure.
    return error if isinstance(error, BrokenPipeError) else _UnwrittenError(error.strerror)


def _prepare() -> None:
    codecs.register_error(_REPLACE, _replacement)
    # A stream that the caller has closed is None, and the next opened file would get its number.
    if sys.stdin is None:
        sys.stdin = open(os.devnull)  # noqa: SIM115  # for as long as the program runs
    elif isinstance(sys.stdin, io.TextIOWrapper):
        # In some locales, the strict error handler would end the program at the first invalid byte.
        sys.stdin.reconfigure(errors="surrogateescape")
    if sys.stdout is None:
        # Writing to it must fail.
        unwritable = os.open(os.devnull, os.O_RDONLY)
        sys.stdout = _Output(open(unwritable, "wb"), encoding="utf-8")  # noqa: SIM115
    elif isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout = _Output(
            sys.stdout.buffer,
            encoding=sys.stdout.encoding,
            errors=_REPLACE,
            line_buffering=sys.stdout.line_buffering,
            write_through=sys.stdout.write_through,
        )
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    elif isinstance(sys.stderr, io.TextIOWrapper):
        sys.stderr.reconfigure(errors=_REPLACE)


def _replacement(error: UnicodeError) -> tuple[str, int]:
    """Replace characters that a stream's encoding lacks by others of the same width."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    import unicodedata

    def simpler(character: str) -> str:
        if unicodedata.combining(character) or unicodedata.category(character) in ("Cf", "Mn"):
            return ""
        wide = unicodedata.east_asian_width(character) in "WF"
        return _SIMPLER.get(character, "??" if wide else "?")

    return "".join(map(simpler, error.object[error.start : error.end])), error.end
