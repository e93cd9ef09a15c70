"""Commands for the program as a whole: panes, help, palette, theme, quit."""

from __future__ import annotations

from spnl_tui.ui.commands.command import Availability, Command, Condition, Worker
from spnl_tui.ui.commands.conditions import unless
from spnl_tui.ui.commands.context import CommandContext

_GROUP = "Program"


def _not_shown(pane: str) -> Condition:
    return lambda context: unless(context.panes.seen != pane, "This is already on the screen.")


def _models_can_be_browsed(context: CommandContext) -> Availability:
    return unless(context.panes.can_show_models, "Models cannot be browsed here.")


def _a_row_is_highlighted(context: CommandContext) -> Availability:
    return unless(
        context.panes.seen != "chat"
        or context.chat.conversation_list.has_focus
        or (context.turns.under_cursor() is not None and not context.prompt.selected_text),
        "No row is highlighted, and no turn is selected. Press {turn.up} to select one.",
    )


def _in_list(context: CommandContext) -> Availability:
    """A list has the focus in which nothing is typed: after a letter, "?" is one more letter."""
    match context.panes.seen:
        case "pulls":
            typed: str | None = context.pulls_pane.filter
        case "models":
            typed = pane.search.value if (pane := context.panes.models) is not None else None
        case _:
            chats = context.chat.conversation_list
            typed = chats.filter if chats.has_focus else None
    return unless(typed == "", "This is a letter of the prompt.")


def _interrupt(context: CommandContext) -> None:
    """Stop the reply if there is one, else say how to quit: Ctrl+C is a habit from other programs."""
    if context.replying and context.panes.seen == "chat":
        context.reply.stop()
    else:
        context.program.explain_quit()


COMMANDS = (
    Command(
        id="list.menu",
        keys="ctrl+x",
        run=lambda c: c.program.open_row_menu(),
        needs=(_a_row_is_highlighted,),
        worker=Worker(group="dialog", exclusive=True),
        label="Menu",
        help="Show what can be done with the highlighted row or the selected turn.",
        group=_GROUP,
        footer=True,
        palette=False,
    ),
    Command(
        id="talks.undo",
        keys="ctrl+z,alt+u",
        run=lambda c: c.undo.undo(),
        needs=(lambda c: unless(c.undo.filled, "There is nothing to undo."),),
        worker=Worker(group="talk"),
        yields_keys=True,
        label="Undo",
        help="Undo the last change: a deleted chat, turn or model, a cancelled pull, a title, pin or tag.",
        group=_GROUP,
        slash="undo",
        old_ids=("talks.undo_in_list", "models.undo", "pulls.undo"),
        synonyms="restore bring back",
    ),
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
        synonyms="download pull find get install choose change quantization",
        group=_GROUP,
        slash="models",
    ),
    Command(
        id="view.pulls",
        keys="f4",
        run=lambda c: c.panes.show("pulls"),
        needs=(_not_shown("pulls"),),
        label="Pulls",
        help="Show the pulls.",
        synonyms="downloads progress pause",
        group=_GROUP,
        slash="pulls",
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
        id="list.help",
        keys="question_mark",
        run=lambda c: c.program.toggle_help(),
        needs=(_in_list,),
        label="Help",
        help="Show the help for this list.",
        group=_GROUP,
        palette=False,
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
        id="view.redraw",
        keys="ctrl+l",
        run=lambda c: c.program.redraw(),
        label="Redraw",
        help="Draw the screen again, and scroll to the end.",
        group=_GROUP,
        palette=False,
    ),
    Command(
        id="app.theme",
        keys="f10",
        run=lambda c: c.program.choose_theme(),
        label="Theme",
        help="Choose another theme.",
        synonyms="colours colors dark light appearance",
        group=_GROUP,
        slash="theme",
        place="app",
    ),
    Command(
        id="app.settings",
        keys="alt+comma",
        run=lambda c: c.program.edit_settings(),
        label="Settings",
        help="Change the settings: what each one is for, its value and where it comes from.",
        synonyms="configuration config options preferences",
        group=_GROUP,
        slash="settings",
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
        synonyms="exit leave close bye",
        group=_GROUP,
        slash="quit",
        aliases=("exit", "bye", "q"),
        place="app",
    ),
)
