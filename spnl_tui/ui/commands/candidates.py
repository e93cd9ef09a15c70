"""Commands for several replies to one prompt."""

from __future__ import annotations

import re

from spnl_tui.ui.commands.command import Availability, Command, Condition, Unavailable, Worker
from spnl_tui.ui.commands.conditions import (
    AT_REST,
    IN_CHAT,
    WITH_TURNS,
    conversation_has_turns,
    model_is_chosen,
    no_reply_in_progress,
    unless,
)
from spnl_tui.ui.commands.context import CommandContext

_GROUP = "Candidates"
_CANDIDATES = Worker(group="choose")
_NO_CANDIDATES = "There is only one reply. Press {many.ask} to ask for several."


def _no_reply_where_asked(context: CommandContext) -> Availability:
    """The conversation in which the command was typed is not being replied to."""
    return unless(
        not context.sessions.of(context.asked_in).replying,
        "A reply is in progress. Press {chat.stop} to stop it.",
    )


def _candidates_are_shown(context: CommandContext) -> Availability:
    return unless(context.candidates.shown is not None, "No candidates are shown.")


def _has_other_replies(context: CommandContext) -> Availability:
    if context.candidates.shown is not None:
        return Unavailable("The replies are already shown side by side.")
    return unless(len(context.candidates.siblings()) > 1, _NO_CANDIDATES)


def _has_several_replies(context: CommandContext) -> Availability:
    several = context.candidates.shown is not None or len(context.candidates.siblings()) > 1
    return unless(several, _NO_CANDIDATES)


_COMPARES: tuple[Condition, ...] = (
    *IN_CHAT,
    model_is_chosen,
    no_reply_in_progress,
    conversation_has_turns,
    _has_several_replies,
)

COMMANDS = (
    Command(
        id="many.ask",
        keys="alt+n",
        run=lambda c: c.candidates.many(c.argument, conversation=c.asked_in),
        needs=(*IN_CHAT, model_is_chosen, _no_reply_where_asked),
        worker=Worker(group="choose", asks_for_reply=True),
        label="Candidates",
        help="Ask for several candidates side by side, for a new prompt or the last one.",
        synonyms="several many replies alternatives variants",
        group=_GROUP,
        slash="n",
        argument="COUNT PROMPT",
        before_prompt=re.compile(r"(?:\d+\s+)?"),
    ),
    Command(
        id="many.compare",
        keys="alt+m",
        run=lambda c: c.candidates.compare(c.argument, conversation=c.asked_in if c.argument else None),
        needs=(*IN_CHAT, model_is_chosen, _no_reply_where_asked),
        worker=Worker(group="choose", asks_for_reply=lambda c: bool(c.argument)),
        label="Compare",
        help="Send the same prompt to several models and show the replies side by side.",
        group=_GROUP,
        slash="compare",
        argument="MODEL… -- PROMPT",
        before_prompt=re.compile(r".*?(?:(?:^|\s)--(?:\s|$)|\n|\Z)", re.DOTALL),
    ),
    Command(
        id="many.side_by_side",
        keys="alt+a",
        run=lambda c: c.candidates.side_by_side(),
        needs=(*AT_REST, _has_other_replies),
        worker=_CANDIDATES,
        label="Side by side",
        help="Show the last reply and its siblings side by side.",
        group=_GROUP,
        slash="side-by-side",
    ),
    Command(
        id="many.before",
        keys="left",
        run=lambda c: c.prompt.go_left(),
        label="Before",
        help="Highlight the previous candidate (while the prompt is empty).",
        group=_GROUP,
        place="prompt",
        palette=False,
    ),
    Command(
        id="many.after",
        keys="right",
        run=lambda c: c.prompt.go_right(),
        label="After",
        help="Highlight the next candidate (while the prompt is empty).",
        group=_GROUP,
        place="prompt",
        palette=False,
    ),
    Command(
        id="many.pick",
        keys="alt+p",
        run=lambda c: c.candidates.pick(c.argument),
        needs=(*WITH_TURNS, _candidates_are_shown),
        worker=_CANDIDATES,
        label="Pick",
        help="Continue with the highlighted candidate, or with one by its number. Enter on an empty prompt"
        " does the same.",
        group=_GROUP,
        slash="pick",
        argument="NUMBER",
    ),
    Command(
        id="many.judge",
        keys="alt+v",
        run=lambda c: c.candidates.judge(c.argument),
        needs=_COMPARES,
        worker=_CANDIDATES,
        label="Judge",
        help="Let the model choose the best candidate and give its reasons.",
        group=_GROUP,
        slash="judge",
        argument="CRITERIA",
    ),
    Command(
        id="many.merge",
        keys="alt+g",
        run=lambda c: c.candidates.merge(),
        needs=_COMPARES,
        worker=_CANDIDATES,
        label="Merge",
        help="Let the model merge the candidates into one more candidate.",
        group=_GROUP,
        slash="merge",
    ),
)
