"""Which command a key with several meanings runs. This is the only place that decides it.

The first command in the tuple that is available runs. Before all of them come an open dialog, whose own keys
hide those of the main screen, and for Ctrl+C the selection in a text line, which Textual copies.
"""

from __future__ import annotations

from collections.abc import Iterable

from spnl_tui.ui.commands.command import Command

PRECEDENCE: dict[str, tuple[str, ...]] = {
    "escape": (
        "chat.close_list",
        "find.close",
        "chat.stop",
        "turn.leave",
        "talks.leave",
        "view.back",
    ),
    "ctrl+c": ("app.interrupt",),
}
"""Command ids by key. In the list of conversations only "talks.leave" is available, in another pane only
"view.back"."""


def by_precedence(commands: Iterable[Command]) -> list[Command]:
    """Return the commands in an order that gives keys with several meanings to the right one.

    Textual takes the first binding of a key that is enabled. Commands without such a key stay where they are.
    """
    ordered = list(commands)
    for ids in PRECEDENCE.values():
        rank = {id: place for place, id in enumerate(ids)}
        places = [place for place, command in enumerate(ordered) if command.id in rank]
        sharing = sorted((ordered[place] for place in places), key=lambda command: rank[command.id])
        for place, command in zip(places, sharing, strict=True):
            ordered[place] = command
    return ordered
