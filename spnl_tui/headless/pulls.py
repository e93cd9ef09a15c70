"""`spnl-chat pulls`: interrupted pulls and leftover parts, to resume or remove."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Sequence

from spnl_tui.errors import StoreError
from spnl_tui.headless.output import FAILED, OK, print_json
from spnl_tui.headless.tables import print_table
from spnl_tui.hub.library.leftovers import Leftover
from spnl_tui.hub.library.library import Library
from spnl_tui.hub.library.scan import UnfinishedPull
from spnl_tui.tables import Column
from spnl_tui.text import in_bytes, plain

_COLUMNS = (Column("PULL", least=24), Column("RECEIVED", right=True), Column("WHAT", least=12, rank=1))


async def list_pulls(library: Library, *, json_: bool) -> int:
    """Print the interrupted pulls and the leftovers."""
    unfinished, leftovers = await library.unfinished(), await library.leftovers()
    if json_:
        print_json(
            {
                "unfinished": [
                    {"name": pull.name, "reference": str(pull.reference), "done_bytes": pull.done_bytes}
                    for pull in unfinished
                ],
                "leftovers": [
                    {"name": each.name, "bytes": each.bytes, "paths": [str(path) for path in each.paths]}
                    for each in leftovers
                ],
            }
        )
        return OK
    rows = [(pull.name, in_bytes(pull.done_bytes), "interrupted") for pull in unfinished]
    rows += [(each.name, in_bytes(each.bytes), _what(each)) for each in leftovers]
    if not rows:
        print("No pull was interrupted.", file=sys.stderr)
        return OK
    print_table(_COLUMNS, rows)
    if unfinished:
        names = [pull.name for pull in unfinished]
        print(f"Resume: {plain(shlex.join(['spnl-chat', 'pull', *names]))}", file=sys.stderr)
    print("Remove: spnl-chat pulls rm NAME, or --all", file=sys.stderr)
    return OK


async def remove_pulls(
    library: Library, names: Sequence[str], *, every: bool, confirm: Callable[[str], bool]
) -> int:
    """Delete the parts of these pulls, or of all, after `confirm` has received their names and sizes.

    Raises:
        StoreError: there is no such pull. Then nothing is deleted.
    """
    known: list[UnfinishedPull | Leftover] = [*await library.unfinished(), *await library.leftovers()]
    chosen = [each for each in known if every or each.name in names]
    missing = [name for name in names if name not in {each.name for each in known}]
    if missing:
        raise StoreError("No such pull", f"No pull of {missing[0]} was interrupted.", "See: spnl-chat pulls")
    if not chosen:
        print("There is nothing to remove.", file=sys.stderr)
        return OK
    total = sum(_bytes(each) for each in chosen)
    shown = ", ".join(plain(each.name) for each in chosen)
    if not confirm(f"Delete the parts of {shown} ({in_bytes(total)})?"):
        return FAILED
    code = OK
    for each in chosen:
        if await library.drop_parts(each):
            print(f"{plain(each.name)}: {in_bytes(_bytes(each))} freed.")
        else:
            print(f"{plain(each.name)}: another program is pulling it. Stop that first.", file=sys.stderr)
            code = FAILED
    return code


def _bytes(each: UnfinishedPull | Leftover) -> int:
    return each.done_bytes if isinstance(each, UnfinishedPull) else each.bytes


def _what(each: Leftover) -> str:
    return "parts that no pull resumes" if each.paths else "an empty folder"
