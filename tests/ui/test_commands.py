"""The table of commands, as data."""

from __future__ import annotations

from collections import Counter

from spnl_tui.ui.commands.registry import COMMANDS

# They end whatever there is to be ended: which of them can be done decides.
SHARED = {"escape"}
# Terminals without the newer keyboard protocol send Ctrl with an arrow for them.
UNSENT = {"alt+b", "alt+f"}


def test_key_means_one_thing_in_each_place() -> None:
    screen = ("app", "screen")
    keys = Counter(
        ("screen" if command.place in screen else command.place, key)
        for command in COMMANDS
        for key in filter(None, command.keys.split(","))
    )
    assert [place for place, count in keys.items() if count > 1 and place[1] not in SHARED] == []


def test_every_key_reaches_the_program() -> None:
    assert {key for command in COMMANDS for key in command.keys.split(",")} & UNSENT == set()


def test_ids_and_slash_names_are_unique() -> None:
    assert not [id for id, count in Counter(command.id for command in COMMANDS).items() if count > 1]
    slashes = Counter(command.slash for command in COMMANDS if command.slash)
    assert not [slash for slash, count in slashes.items() if count > 1]
