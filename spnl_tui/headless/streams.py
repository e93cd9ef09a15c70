"""The standard streams as the program wants them: input that is text, output whose failures are told.

The interface begins here, too: nothing is imported that a command may not need.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

BROKEN_PIPE = 141  # 128 + SIGPIPE, what the shell reports of a program that the signal ends


@contextmanager
def prepared_streams() -> Iterator[None]:
    """Make the standard streams what the program expects, and see at its end that all was written."""
    _prepare()
    try:
        try:
            yield
        finally:
            sys.stdout.flush()  # or the interpreter does, and complains in its own way
    except _UnwrittenError as error:
        from spnl_tui.errors import SpnlError
        from spnl_tui.headless.output import FAILED, show_error

        show_error(SpnlError("Standard output cannot be written", f"{error}.", "Check where it goes to."))
        discard_output()
        sys.exit(FAILED)
    except BrokenPipeError:
        discard_output()
        sys.exit(BROKEN_PIPE)


def discard_output() -> None:
    """Throw away what is still to be written, or the interpreter complains once more when it flushes it."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def read_input() -> str:
    """The whole of standard input."""
    return "".join(input_lines())


def input_lines() -> Iterator[str]:
    """The lines of standard input. If not all of it is UTF-8, that is said once."""
    from spnl_tui.conversations.records import well_formed

    said = False
    for line in sys.stdin:
        clean = well_formed(line) if said else in_utf8(line, "Standard input")
        said = said or clean != line
        yield clean


def in_utf8(text: str, where: str) -> str:
    """The text with � for each byte that is not UTF-8. If there is one, standard error says where."""
    from spnl_tui.conversations.records import well_formed

    clean = well_formed(text)
    if clean != text:
        print(f"{where} has bytes that are not UTF-8. Each was replaced by �.", file=sys.stderr)
    return clean


class _UnwrittenError(Exception):
    """Standard output cannot be written. No SpnlError: it is not for a command to tell, and to go on."""


class _Output(io.TextIOWrapper):
    """Standard output, whose failures are told from those of other files and connections."""

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
    # That a reader has gone away is no failure.
    return error if isinstance(error, BrokenPipeError) else _UnwrittenError(error.strerror)


def _prepare() -> None:
    # A stream that the caller has closed is None, and the next file to be opened would get its number.
    if sys.stdin is None:
        sys.stdin = open(os.devnull)  # noqa: SIM115  # for as long as the program runs
    elif isinstance(sys.stdin, io.TextIOWrapper):
        # Some locales are strict, and would end the program at the first byte that is not text.
        sys.stdin.reconfigure(errors="surrogateescape")
    if sys.stdout is None:
        # To write on it fails, as it should.
        unwritable = os.open(os.devnull, os.O_RDONLY)
        sys.stdout = _Output(open(unwritable, "wb"), encoding="utf-8")  # noqa: SIM115
    elif isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout = _Output(
            sys.stdout.buffer,
            encoding=sys.stdout.encoding,
            errors=sys.stdout.errors,
            line_buffering=sys.stdout.line_buffering,
            write_through=sys.stdout.write_through,
        )
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115
