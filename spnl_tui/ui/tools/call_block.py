"""A call in a reply: one line with its name, arguments, state and time, and the result that unfolds."""

from __future__ import annotations

import json

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static

from spnl_tui.engine.backend import CallProgressed
from spnl_tui.models.parts import ToolCallPart, ToolResultPart, as_text
from spnl_tui.models.tool_formats.calls import as_object
from spnl_tui.text import first_line, plain
from spnl_tui.tools.agent import DENIED
from spnl_tui.tools.inert import inert

_MOST_SHOWN = 20_000
"""Characters of a result on the screen."""
_STATES = {
    "waiting": "waits for you",
    "running": "running …",
    "done": "done",
    "failed": "failed",
    "denied": "denied",
}


class CallBlock(Vertical):
    """Shows one call. Folded, it is one line."""

    def __init__(self, call: ToolCallPart) -> None:
        super().__init__(name=call.id)
        self._call = call
        self._result: ToolResultPart | None = None
        self._state = "waiting"
        self._head = Static(markup=False, classes="call--head")
        self._body = Static(markup=False, classes="call--body")
        self._body.display = False

    def compose(self) -> ComposeResult:
        yield self._head
        yield self._body

    def on_mount(self) -> None:
        """Show the line."""
        self._refresh_head()

    def show(self, result: ToolResultPart | None, step: CallProgressed | None) -> None:
        """Show the state of the call. Without a step, the result alone tells it."""
        state: str
        if step is not None:
            state = step.state
        elif result is None:
            state = "waiting"
        elif not result.error:
            state = "done"
        else:
            state = "denied" if as_text(result.content).startswith(DENIED) else "failed"
        if (result, state) == (self._result, self._state):
            return
        self._result, self._state = result, state
        self._refresh_head()
        if not self.folded:
            self._show_body()

    @property
    def folded(self) -> bool:
        """True if only the line is shown."""
        return not self._body.display

    def fold(self, folded: bool) -> None:
        """Show the line, or arguments and result below it."""
        self._body.display = not folded
        self._refresh_head()
        if not folded:
            self._show_body()

    def on_click(self) -> None:
        """Fold or unfold on a click."""
        self.fold(not self.folded)

    def _refresh_head(self) -> None:
        sign = "▸" if self.folded else "▾"
        state = _STATES[self._state]
        if self._result is not None and self._result.error:
            reason = as_text(self._result.content).removeprefix(DENIED).strip()
            state = f"{state}: {first_line(inert(reason), 120)}" if reason else state
        took = 0.0 if self._result is None else self._result.seconds
        seconds = f" · {took:.1f} s" if took >= 0.05 else ""
        colour = {"failed": "$text-error", "denied": "$text-warning"}.get(self._state, "$text-muted")
        self._head.update(
            Content.assemble(
                (f"{sign} ", "$text-muted"),
                (plain(self._call.name), "bold"),
                f"  {arguments_line(self._call.arguments)}  ",
                (f"{state}{seconds}", colour),
            )
        )

    def _show_body(self) -> None:
        parts: list[str | tuple[str, str]] = [(_whole(self._call.arguments), "$text-muted")]
        if self._result is not None:
            text = as_text(self._result.content)
            parts += ["\n", inert(_whole(text[:_MOST_SHOWN]))]
            if len(text) > _MOST_SHOWN:
                parts.append((f"\n… {len(text) - _MOST_SHOWN:,} more characters", "$text-muted"))
        self._body.update(Content.assemble(*parts))


def arguments_line(arguments: str) -> str:
    """Return arguments on one line: a single value alone, several with their names."""
    values = as_object(arguments)
    if values is None:
        return first_line(inert(arguments), 200)
    if len(values) == 1:
        (value,) = values.values()
        return first_line(inert(_value(value)), 200)
    return first_line(inert(", ".join(f"{name}: {_value(each)}" for name, each in values.items())), 200)


def diff_content(diff: str) -> Content:
    """Return a diff with a colour for what is added and what is removed; the signs say the same."""
    colours = {"+": "$text-success", "-": "$text-error", "@": "$text-muted"}
    lines = [(f"{line}\n", colours.get(line[:1], "")) for line in diff.split("\n")]
    return Content.assemble(*[(text, colour) if colour else text for text, colour in lines]).rstrip()


def _value(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _whole(text: str) -> str:
    """Return JSON with an indentation, and other text as it is."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return json.dumps(value, indent=2, ensure_ascii=False) if isinstance(value, dict | list) else text
