"""Commands for the program as a whole: panes, help, palette, theme, quit."""

from __future__ import annotations

from spnl_tui.ui.commands.command import Availability, Command, Condition
from spnl_tui.ui.commands.conditions import unless
from spnl_tui.ui.commands.context import CommandContext

_GROUP = "Program"


def _not_shown(pane: str) -> Condition:
    return lambda context: unless(context.panes.seen != pane, "This is already on the screen.")


def _models_can_be_browsed(context: CommandContext) -> Availability:
    return unless(context.panes.can_show_models, "Models cannot be browsed here.")


def _interrupt(context: CommandContext) -> None:
    """Stop the reply if there is one, else say how to quit: Ctrl+C is a habit from other programs."""
    if context.replying and context.panes.seen == "chat":
        context.reply.stop()
    else:
        context.program.explain_quit()


COMMANDS = (
    Command(
        id="view.chat",
        keys="f2",
        run=lambda c: c.panes.show("chat"),
        needs=(_not_shown("chat"),),
        label="Chat",
        help="Show the conversation.",
        group=_GROUP,
    ),
    Command(
        id="view.models",
        keys="f3,ctrl+o",
        run=lambda c: c.panes.show("models"),
        needs=(_not_shown("models"), _models_can_be_browsed),
        label="Models",
        help="Show the models: search, compare, pull, load.",
        group=_GROUP,
        slash="models",
        footer=True,
    ),
    Command(
        id="view.pulls",
        keys="f4",
        run=lambda c: c.panes.show("pulls"),
        needs=(_not_shown("pulls"),),
        label="Pulls",
        help="Show the pulls.",
        group=_GROUP,
        slash="pulls",
        footer=True,
    ),
    Command(
        id="view.back",
        keys="escape",
        run=lambda c: c.panes.back(),
        needs=(_not_shown("chat"),),
        label="Chat",
        help="Go back to the conversation.",
        group=_GROUP,
        footer=True,
        palette=False,
    ),
    Command(
        id="app.help",
        keys="f1",
        run=lambda c: c.program.toggle_help(),
        label="Help",
        help="Show all keys and commands.",
        group=_GROUP,
        slash="help",
        aliases=("?",),
        place="app",
        footer=True,
    ),
    Command(
        id="app.palette",
        keys="ctrl+p",
        run=lambda c: c.program.open_palette(),
        label="Commands",
        help="Search all commands.",
        group=_GROUP,
        place="app",
        footer=True,
        palette=False,
    ),
    Command(
        id="app.theme",
        keys="f10",
        run=lambda c: c.program.choose_theme(),
        label="Theme",
        help="Choose another theme.",
        group=_GROUP,
        slash="theme",
        place="app",
    ),
    Command(
        id="app.interrupt",
        keys="ctrl+c",
        run=_interrupt,
        label="Interrupt",
        help="Stop the reply; without one, show how to quit.",
        group=_GROUP,
        place="app",
        yields_keys=True,
        palette=False,
    ),
    Command(
        id="app.quit",
        keys="ctrl+q",
        run=lambda c: c.program.ask_to_quit(),
        label="Quit",
        help="Quit the program.",
        group=_GROUP,
        slash="quit",
        aliases=("exit", "bye", "q"),
        place="app",
        footer=True,
    ),
)
