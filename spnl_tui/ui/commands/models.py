"""Commands for models: the dialog with the loaded ones, and the models pane."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from spnl_tui.errors import HubError
from spnl_tui.ui.commands.command import AVAILABLE, Availability, Command, Unavailable, Worker
from spnl_tui.ui.commands.conditions import model_is_chosen, unless
from spnl_tui.ui.commands.context import CommandContext

if TYPE_CHECKING:
    from spnl_tui.ui.models.pane import ModelsPane

_GROUP = "Models"
_NOT_SHOWN = Unavailable("The models are not shown. Press {view.models} to show them.")
_NO_DETAILS = Unavailable("The details of no model are shown. Highlight one first.")


def _pane_is_made(context: CommandContext) -> Availability:
    return AVAILABLE if context.panes.models is not None else _NOT_SHOWN


def _details_are_shown(context: CommandContext) -> Availability:
    pane = context.panes.models
    return AVAILABLE if pane is not None and pane.details.look is not None else _NO_DETAILS


def _can_measure(context: CommandContext) -> Availability:
    pane = context.panes.models
    if pane is None or pane.details.look is None:
        return _NO_DETAILS
    if pane.measuring:
        return Unavailable("This machine is being measured.")
    return unless(pane.needs_measuring, "This machine has already been measured.")


def _model_is_here(context: CommandContext) -> Availability:
    pane = context.panes.models
    here = pane is not None and pane.entry_under_cursor is not None
    return unless(here, "The highlighted model is not on this machine.")


def _search_has_failed(context: CommandContext) -> Availability:
    pane = context.panes.models
    return unless(pane is not None and pane.search_failed, "The last search has not failed.")


def _details_are_not_focused(context: CommandContext) -> Availability:
    pane = context.panes.models
    return unless(
        pane is not None and not pane.details.has_focus_within, "The details already have the focus."
    )


async def _choose_or_switch(context: CommandContext) -> None:
    """Switch to the named model; without a name, let the user choose one."""
    name = context.argument
    if not name:
        await context.choose_model()
    elif (model := await context.find_model(name)) is not None:
        context.switch_model(model)
    else:
        raise HubError(
            "The model is not on this machine",
            f"{name} has not been pulled.",
            "Type /models to find and pull it.",
        )


def _in_pane(act: Callable[[ModelsPane], object]) -> Callable[[CommandContext], None]:
    """Do this in the models pane."""

    def run(context: CommandContext) -> None:
        if (pane := context.panes.models) is not None:
            act(pane)

    return run


async def _serve(context: CommandContext) -> None:
    if (model := context.model.model) is not None:
        await context.serving.run(context.argument, model)


COMMANDS = (
    Command(
        id="models.loaded",
        keys="alt+l",
        run=_choose_or_switch,
        worker=Worker(group="dialog", exclusive=True),
        label="Loaded models",
        help="Switch to another model, by its name or from the list of loaded models.",
        synonyms="switch change model unload memory",
        group=_GROUP,
        slash="loaded",
        aliases=("model",),
        argument="NAME",
    ),
    Command(
        id="models.serve",
        keys="",
        run=_serve,
        needs=(
            lambda c: unless(c.serving.is_possible, "This program cannot serve models."),
            model_is_chosen,
        ),
        worker=Worker(group="serve", exclusive=False),
        label="Serve",
        help="Let editors, agents and scripts use the models through OpenAI's API; /serve stop ends it.",
        synonyms="server api openai http port",
        group=_GROUP,
        slash="serve",
        argument="stop",
        in_menu=False,
    ),
    Command(
        id="models.unload",
        keys="f8",
        run=lambda c: c.program.unload_highlighted(),
        label="Unload",
        help="Unload the highlighted model (in the list of loaded models).",
        group=_GROUP,
        place="loaded",
        palette=False,
    ),
    Command(
        id="models.details",
        keys="tab",
        run=_in_pane(lambda pane: pane.open_details()),
        needs=(_pane_is_made, _details_are_not_focused),
        label="Details",
        help="Go to the quantizations of the highlighted model.",
        group=_GROUP,
        place="models",
        footer=True,
        palette=False,
    ),
    Command(
        id="models.more_context",
        keys="plus,equals_sign",
        run=_in_pane(lambda pane: pane.details.lengthen_context()),
        needs=(_details_are_shown,),
        label="More context",
        help="Double the context length for verdicts and for loading (in the details).",
        group=_GROUP,
        place="models",
        palette=False,
    ),
    Command(
        id="models.less_context",
        keys="minus",
        run=_in_pane(lambda pane: pane.details.shorten_context()),
        needs=(_details_are_shown,),
        label="Less context",
        help="Halve the context length for verdicts and for loading (in the details).",
        group=_GROUP,
        place="models",
        palette=False,
    ),
    Command(
        id="models.retry",
        keys="ctrl+r",
        run=_in_pane(lambda pane: pane.retry()),
        needs=(_pane_is_made, _search_has_failed),
        label="Retry",
        help="Search again after a failure.",
        group=_GROUP,
        place="models",
        footer=True,
        palette=False,
    ),
    Command(
        id="models.sort",
        keys="ctrl+s",
        run=_in_pane(lambda pane: pane.sort()),
        needs=(_pane_is_made,),
        label="Sort",
        help="Sort the results by trending, downloads, likes or date; quantizations by fit, speed or size.",
        group=_GROUP,
        place="models",
        footer=True,
        palette=False,
    ),
    Command(
        id="models.filter",
        keys="ctrl+g",
        run=_in_pane(lambda pane: pane.list.next_filter()),
        needs=(_pane_is_made,),
        label="Filter",
        help="Show only models with vision, with tools, or up to a size; again for the next filter.",
        group=_GROUP,
        place="models",
        footer=True,
        palette=False,
    ),
    Command(
        id="models.format",
        keys="ctrl+t",
        run=_in_pane(lambda pane: pane.switch_format()),
        needs=(_pane_is_made,),
        label="Format",
        help="Switch the search between GGUF and safetensors models.",
        group=_GROUP,
        place="models",
        footer=True,
        palette=False,
    ),
    Command(
        id="models.measure",
        keys="f7",
        run=_in_pane(lambda pane: pane.measure()),
        needs=(_can_measure,),
        label="Measure",
        help="Measure the speed of this machine once; this uses all cores for half a minute.",
        group=_GROUP,
        place="models",
        footer=True,
        palette=False,
    ),
    Command(
        id="models.delete",
        keys="f8",
        run=_in_pane(lambda pane: pane.delete()),
        needs=(_model_is_here,),
        label="Delete",
        help="Delete the highlighted model from this machine, after asking.",
        group=_GROUP,
        place="models",
        footer=True,
        palette=False,
    ),
)
