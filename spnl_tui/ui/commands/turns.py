"""Commands for one turn: the selected one, or the last one that the command applies to."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from spnl_tui.ui.chat.turns_controller import gone
from spnl_tui.ui.commands.command import Availability, Command, Worker
from spnl_tui.ui.commands.conditions import (
    AT_REST,
    IN_CHAT,
    WITH_TURNS,
    conversation_has_turns,
    cursor_is_on_turn,
    model_is_chosen,
    no_reply_in_progress,
    unless,
)
from spnl_tui.ui.commands.context import CommandContext

_GROUP = "Conversation"
_TURN = Worker(group="turn")


def _has_branches(context: CommandContext) -> Availability:
    return unless(context.turns.fork_turn() is not None, "There are no other branches here.")


def _has_prompt(context: CommandContext) -> Availability:
    return unless(context.turns.editable() is not None, "There is no prompt yet.")


def _has_cursor_or_edit(context: CommandContext) -> Availability:
    return unless(context.turns.can_leave, "No turn is selected or being edited.")


def _has_unfinished_reply(context: CommandContext) -> Availability:
    return unless(
        context.turns.unfinished() is not None, "The last turn is not a stopped, cut-off or edited reply."
    )


def _after_candidates(
    act: Callable[[CommandContext], Awaitable[None]],
) -> Callable[[CommandContext], Awaitable[None]]:
    """Close the candidates first, if any are shown: these commands work on a single branch."""

    async def run(context: CommandContext) -> None:
        conversation = context.asked_in
        if context.view.is_visible(conversation):
            await context.candidates.close()
        if not context.view.is_visible(conversation):
            raise gone()
        await act(context)

    return run


COMMANDS = (
    Command(
        id="turn.up",
        keys="alt+up",
        run=lambda c: c.turns.move(-1),
        needs=WITH_TURNS,
        worker=_TURN,
        label="Select turn",
        help="Select the turn above.",
        group=_GROUP,
    ),
    Command(
        id="turn.down",
        keys="alt+down",
        run=lambda c: c.turns.move(1),
        needs=WITH_TURNS,
        worker=_TURN,
        label="Next turn",
        help="Select the turn below.",
        group=_GROUP,
    ),
    Command(
        id="turn.earlier",
        keys="alt+left",
        run=_after_candidates(lambda c: c.turns.walk(-1)),
        needs=(*AT_REST, _has_branches),
        worker=_TURN,
        on_turn=True,
        label="Earlier branch",
        help="Go to the previous branch: another reply, or another prompt.",
        group=_GROUP,
    ),
    Command(
        id="turn.later",
        keys="alt+right",
        run=_after_candidates(lambda c: c.turns.walk(1)),
        needs=(*AT_REST, _has_branches),
        worker=_TURN,
        on_turn=True,
        label="Later branch",
        help="Go to the next branch.",
        group=_GROUP,
    ),
    Command(
        id="turn.edit",
        keys="ctrl+e",
        run=_after_candidates(lambda c: c.turns.edit()),
        needs=(*AT_REST, _has_prompt),
        worker=_TURN,
        on_turn=True,
        yields_keys=True,
        label="Edit",
        help="Edit the last prompt or the selected turn. Sending it starts a new branch.",
        synonyms="change correct branch",
        group=_GROUP,
        slash="revise",
    ),
    Command(
        id="turn.tree",
        keys="alt+t",
        run=_after_candidates(lambda c: c.turns.show_tree()),
        needs=AT_REST,
        worker=_TURN,
        on_turn=True,
        label="Tree",
        help="Show all branches of the conversation and go to a turn.",
        group=_GROUP,
        slash="tree",
    ),
    Command(
        id="turn.go_on",
        keys="alt+c",
        run=_after_candidates(lambda c: c.turns.continue_reply()),
        needs=(
            *IN_CHAT,
            model_is_chosen,
            no_reply_in_progress,
            conversation_has_turns,
            _has_unfinished_reply,
        ),
        worker=Worker(group="turn", asks_for_reply=True),
        on_turn=True,
        label="Continue",
        help="Let the model continue a reply that was stopped, cut off or edited.",
        group="Reply",
        slash="continue",
    ),
    Command(
        id="turn.fork",
        keys="alt+k",
        run=_after_candidates(lambda c: c.turns.fork()),
        needs=AT_REST,
        worker=_TURN,
        on_turn=True,
        label="Fork",
        help="Copy the conversation up to the selected turn into a new conversation.",
        synonyms="branch copy duplicate",
        group=_GROUP,
        slash="fork",
    ),
    Command(
        id="turn.delete",
        keys="alt+delete",
        run=_after_candidates(lambda c: c.turns.delete()),
        needs=(*AT_REST, cursor_is_on_turn),
        worker=_TURN,
        on_turn=True,
        label="Delete turn",
        help="Delete the selected turn (you can undo this until you quit).",
        group=_GROUP,
        slash="delete-turn",
    ),
    Command(
        id="turn.delete_branch",
        keys="shift+delete",
        run=_after_candidates(lambda c: c.turns.delete(branch=True)),
        needs=(*AT_REST, cursor_is_on_turn),
        worker=_TURN,
        on_turn=True,
        label="Delete branch",
        help="Delete the selected turn and all turns after it (you can undo this until you quit).",
        group=_GROUP,
    ),
    Command(
        id="turn.pin",
        keys="alt+i",
        run=_after_candidates(lambda c: c.turns.pin()),
        needs=(*WITH_TURNS, cursor_is_on_turn),
        worker=_TURN,
        on_turn=True,
        label="Pin turn",
        help="Pin the selected turn, so that the model sees it even when the context is full, or unpin it.",
        group=_GROUP,
    ),
    Command(
        id="turn.leave",
        keys="escape",
        run=lambda c: c.turns.leave(),
        needs=(*IN_CHAT, _has_cursor_or_edit),
        worker=_TURN,
        label="Leave",
        help="Cancel the edit, or clear the selection.",
        group=_GROUP,
        palette=False,
    ),
)
