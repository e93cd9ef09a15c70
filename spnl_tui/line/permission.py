"""Asks in line mode whether the model may make a call. Only whole words answer, as lines are typed ahead."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from spnl_tui.tools.agent import Answer, Question
from spnl_tui.tools.inert import inert, look_alikes
from spnl_tui.tools.permissions import Rule, rule_for

if TYPE_CHECKING:
    from spnl_tui.line.printer import Printer

NO_USER = "No user can be asked here."


async def ask_permission(
    question: Question,
    printer: Printer,
    ask: Callable[[str], Awaitable[str | None]],
    allow_always: Callable[[Rule], None],
) -> Answer:
    """Return the user's answer. `ask` returns a typed line, None at the end of the input."""
    effect, tool = question.effect, question.tool
    printer.end_line()
    printer.note(
        f"{inert(tool.tool.name)} wants to run, asked by {inert(question.model)}, {inert(tool.origin)}:"
    )
    for line in inert(effect.detail or effect.summary).split("\n"):
        printer.line(f"  {line}")
    for note in filter(None, (effect.note, look_alikes(f"{effect.summary}\n{effect.detail}"))):
        printer.note(inert(note))
    while True:
        typed = await ask("yes, always, or no and why> ")
        if typed is None:
            return Answer(allowed=False, reason=NO_USER)
        word, _, reason = typed.strip().partition(" ")
        match word.lower().rstrip(","):
            case "yes":
                return Answer(allowed=True)
            case "always":
                allow_always(rule_for(tool, effect))
                return Answer(allowed=True)
            case "no":
                return Answer(allowed=False, reason=reason)
        printer.note("type yes, always, or no")
