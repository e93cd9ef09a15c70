"""Commands for pulls: the selected one in the pulls pane, or those left over from the last run."""

from __future__ import annotations

from spnl_tui.ui.commands.command import Availability, Command
from spnl_tui.ui.commands.conditions import unless
from spnl_tui.ui.commands.context import CommandContext

_GROUP = "Pulls"


def _one_is_selected(context: CommandContext) -> Availability:
    return unless(context.pulls_pane.current is not None, "No pull is selected.")


def _selected_is_done(context: CommandContext) -> Availability:
    current = context.pulls_pane.current
    return unless(current is not None and current.finished is not None, "No finished pull is selected.")


def _selected_can_pause(context: CommandContext) -> Availability:
    current = context.pulls_pane.current
    active = current is not None and current.state not in ("done", "failed")
    return unless(active, "No running or paused pull is selected.")


def _selected_has_failed(context: CommandContext) -> Availability:
    current = context.pulls_pane.current
    return unless(current is not None and current.state == "failed", "No failed pull is selected.")


def _any_is_done(context: CommandContext) -> Availability:
    return unless(context.pulls_pane.any_done, "No pull is finished.")


def _any_is_left_over(context: CommandContext) -> Availability:
    return unless(context.pulls.left_over, "No pulls are left from the last run.")


COMMANDS = (
    Command(
        id="pulls.load",
        keys="enter",
        run=lambda c: c.pulls_pane.load(),
        needs=(_selected_is_done,),
        label="Load",
        help="Load the selected model once it is pulled, and go back to the chat.",
        group=_GROUP,
        place="pulls",
        footer=True,
        palette=False,
    ),
    Command(
        id="pulls.pause",
        keys="space",
        run=lambda c: c.pulls_pane.pause(),
        needs=(_selected_can_pause,),
        label="Pause/resume",
        help="Pause or resume the selected pull.",
        group=_GROUP,
        place="pulls",
        footer=True,
        palette=False,
    ),
    Command(
        id="pulls.retry",
        keys="ctrl+r",
        run=lambda c: c.pulls_pane.retry(),
        needs=(_selected_has_failed,),
        label="Retry",
        help="Retry the selected pull after it failed.",
        group=_GROUP,
        place="pulls",
        footer=True,
        palette=False,
    ),
    Command(
        id="pulls.up",
        keys="shift+up",
        run=lambda c: c.pulls_pane.move_up(),
        needs=(_one_is_selected,),
        label="Move up",
        help="Move the selected pull up the queue.",
        group=_GROUP,
        place="pulls",
        palette=False,
    ),
    Command(
        id="pulls.down",
        keys="shift+down",
        run=lambda c: c.pulls_pane.move_down(),
        needs=(_one_is_selected,),
        label="Move down",
        help="Move the selected pull down the queue.",
        group=_GROUP,
        place="pulls",
        palette=False,
    ),
    Command(
        id="pulls.cancel",
        keys="delete",
        run=lambda c: c.pulls_pane.cancel(),
        needs=(_one_is_selected,),
        label="Cancel",
        help="Cancel the selected pull and delete its partial files (you can undo this for a while).",
        group=_GROUP,
        place="pulls",
        footer=True,
        palette=False,
    ),
    Command(
        id="pulls.cancel_keep",
        keys="shift+delete",
        run=lambda c: c.pulls_pane.cancel_and_keep(),
        needs=(_one_is_selected,),
        label="Cancel, keep",
        help="Cancel the selected pull but keep its partial files for later.",
        group=_GROUP,
        place="pulls",
        palette=False,
    ),
    Command(
        id="pulls.clear",
        keys="alt+c",
        run=lambda c: c.pulls_pane.clear(),
        needs=(_any_is_done,),
        label="Clear done",
        help="Remove the finished pulls from the list. The models stay.",
        group=_GROUP,
        place="pulls",
        palette=False,
    ),
    Command(
        id="pulls.go_on",
        keys="f9",
        run=lambda c: c.pulls.go_on(),
        needs=(_any_is_left_over,),
        label="Resume pulls",
        help="Resume the pulls that were running when the program last ended.",
        group=_GROUP,
        slash="go-on",
        aliases=("resume-pulls",),
        footer=True,
    ),
)
