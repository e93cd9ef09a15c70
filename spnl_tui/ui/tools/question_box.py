"""The question before a call, between the transcript and the prompt.

It shows all that the call will do, inert. A key that was pressed before the question could be read does not
answer it: such keys go to the prompt, which they were meant for.
"""

from __future__ import annotations

import json
import time
from dataclasses import replace

from textual import events, on
from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Input, Static

from spnl_tui.models.tool_formats.calls import as_object
from spnl_tui.text import plain
from spnl_tui.tools.agent import Answer, Question
from spnl_tui.tools.inert import inert, look_alikes
from spnl_tui.tools.permissions import rule_for
from spnl_tui.tools.tool import BUILT_IN
from spnl_tui.ui.messages import CallAnswered
from spnl_tui.ui.tools.call_block import diff_content

READING_S = 0.4
"""A key earlier than this after the question appeared was not an answer to it."""


class QuestionBox(Vertical, can_focus=True):
    """Asks one question at a time."""

    def __init__(self, prompt: Widget) -> None:
        """`prompt` receives the keys that are not for the question."""
        super().__init__()
        self._prompt = prompt
        self._question: Question | None = None
        self._shown_at = float("inf")
        self._editing: str = ""
        self._detail = Static(markup=False)
        self._scroll = VerticalScroll(self._detail, can_focus=False)
        self._about = Static(markup=False, classes="question--about")
        self._keys = Static(markup=False, classes="question--keys")
        self._input = Input(compact=True, select_on_focus=False)
        self._input.display = False
        self.display = False

    def compose(self) -> ComposeResult:
        yield self._scroll
        yield self._about
        yield self._keys
        yield self._input

    @property
    def question(self) -> Question | None:
        """The question that is shown, or None."""
        return self._question

    def ask(self, question: Question, *, focus: bool) -> None:
        """Show this question. It takes the keys only if `focus`, so that typing is not interrupted."""
        self._question = question
        effect, tool = question.effect, question.tool
        self.border_title = f"{plain(tool.tool.name)} wants to run"
        text = effect.detail or effect.summary
        shown = inert(text)
        self._detail.update(diff_content(shown) if effect.kind == "diff" else Content(shown))
        lines = shown.count("\n") + 1
        origin = "built-in tool" if tool.origin == BUILT_IN else inert(tool.origin)
        about = [f"asked by {inert(question.model)}", origin]
        if effect.detail and effect.summary != effect.detail:
            about.insert(0, inert(effect.summary))
        about += [inert(effect.note)] if effect.note else []
        about += [f"{lines} lines, ↑ ↓ scroll"] if lines > 10 else []
        parts: list[str | tuple[str, str]] = [(" · ".join(about), "$text-muted")]
        if warning := look_alikes(f"{effect.summary}\n{effect.detail}"):
            parts.append((f"\n{warning}", "bold $text-warning"))
        self._about.update(Content.assemble(*parts))
        self._edit_ended()
        self.display = True
        self._scroll.scroll_home(animate=False)
        self._shown_at = float("inf")
        self.call_after_refresh(self._note_shown)
        if focus:
            self.focus()

    def close(self) -> None:
        """Hide the question, and give the keys back to the prompt."""
        had_keys = self.has_focus or self._input.has_focus
        self._question = None
        self.display = False
        if had_keys:
            self._prompt.focus()

    def _note_shown(self) -> None:
        self._shown_at = time.monotonic()

    def _show_keys(self, *, focused: bool) -> None:
        assert self._question is not None
        rule = replace(rule_for(self._question.tool, self._question.effect), fingerprint="")
        what = inert(str(rule))
        keys = [
            ("y", "once"),
            ("c", "in this chat"),
            ("a", f"always {what}"),
            ("e", "edit"),
            ("n", "no, because …"),
        ]
        hint = [] if focused else [("alt+h", "answer")]
        parts: list[str | tuple[str, str]] = []
        for key, label in [*hint, *keys, ("esc", "stop")]:
            parts += [(key, "bold $text-primary"), f" {label}   "]
        self._keys.update(Content.assemble(*parts))

    def on_focus(self) -> None:
        """Show the keys that work now."""
        if self._question is not None:
            self._show_keys(focused=True)

    def on_blur(self) -> None:
        """Show how to come back."""
        if self._question is not None:
            self._show_keys(focused=False)

    def on_key(self, event: events.Key) -> None:
        """Answer, or hand the key on to the prompt."""
        if self._question is None or not self.has_focus:
            return
        if event.key in ("up", "down", "pageup", "pagedown"):
            event.stop()
            by = self._scroll.size.height - 1 if event.key.startswith("page") else 1
            self._scroll.scroll_relative(y=by if event.key.endswith("down") else -by, animate=False)
            return
        early = event.time < self._shown_at + READING_S
        if early or event.key not in ("y", "c", "a", "e", "n"):
            if event.is_printable or event.key in ("enter", "backspace"):
                event.stop()
                event.prevent_default()
                self._prompt.focus()
                if event.is_printable:
                    self._prompt.post_message(events.Key(event.key, event.character))
            return
        event.stop()
        event.prevent_default()
        match event.key:
            case "y":
                self._answer(Answer(allowed=True))
            case "c":
                self._answer(Answer(allowed=True), keep="conversation")
            case "a":
                self._answer(Answer(allowed=True), keep="always")
            case "e":
                self._edit("arguments", _one_line(self._question.call.arguments), "Arguments as JSON")
            case "n":
                self._edit("reason", "", "Why not? Enter denies, with or without a reason")

    def _edit(self, what: str, value: str, placeholder: str) -> None:
        self._editing = what
        self._input.placeholder = placeholder
        self._input.border_title = placeholder
        self._input.value = value
        self._input.display = True
        self._keys.display = False
        self._input.focus()

    def _edit_ended(self) -> None:
        self._editing = ""
        self._input.display = False
        self._keys.display = True
        self._show_keys(focused=self.has_focus)

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        text = event.value.strip()
        if self._editing == "reason":
            self._answer(Answer(allowed=False, reason=text))
        elif as_object(text) is None:
            self._about.update(Content.styled("The arguments are not a JSON object.", "bold $text-error"))
        else:
            self._edit_ended()
            self.focus()
            self._answer(Answer(allowed=True, arguments=text))

    def _answer(self, answer: Answer, keep: str = "") -> None:
        assert self._question is not None
        self.post_message(CallAnswered(self._question, answer, keep))


def _one_line(arguments: str) -> str:
    values = as_object(arguments)
    return arguments if values is None else json.dumps(values, ensure_ascii=True)
