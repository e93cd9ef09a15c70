"""Writes one model's prompts with its chat template, working around the template's limits.

mistral.rs receives the finished prompt as one message. If the template refuses a system prompt, it is put
before the first prompt; if roles must alternate, messages of the same role are joined; control words in a
text stay plain text.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from spnl_tui.engine.mistralrs.cache.cache_reuse import AGAIN, as_read
from spnl_tui.engine.mistralrs.continuation import Continuation
from spnl_tui.engine.mistralrs.runner.control_words import ControlWords
from spnl_tui.engine.mistralrs.runner.thoughts import HarmonySplitter, Splitter, ThoughtSplitter
from spnl_tui.engine.mistralrs.runner.tool_prompts import (
    ToolTraits,
    message_dicts,
    one_call_each,
    read_tool_traits,
)
from spnl_tui.models.files.vocabulary import SpecialTokens
from spnl_tui.models.parts import has_calls
from spnl_tui.models.prompts.chat_prompt import ChatPrompt, TemplateError
from spnl_tui.models.prompts.template_traits import TemplateTraits, opened_by, read_traits
from spnl_tui.models.prompts.thought_markers import HARMONY, ThoughtMarkers
from spnl_tui.models.request import Message
from spnl_tui.models.tool_formats.table import MARKERS
from spnl_tui.models.tools import Tool

_CUT = "\ue000cut here\ue000"
"""A mark from the private use area, which no text of a person or a model contains."""

_MARK = re.compile(r"<[|｜].+[|｜]>|\[/?[A-Z_]+\]")
"""The pattern of words that only control a model."""


Dict = Mapping[str, Any]
"""A message in the form that a template takes."""


class PromptWriter:
    """Writes prompts with a chat template.

    Raises:
        TemplateError: the template cannot be read, or writes no prompt.
    """

    def __init__(
        self,
        template: str,
        tokens: SpecialTokens,
        *,
        obey_control_words: bool = False,
        image_words: Collection[str] = (),
    ) -> None:
        """`image_words` stand for images in prompts, so texts must not contain them."""
        self.tokens = tokens
        self._prompt = ChatPrompt(template, tokens.named)
        self.traits: TemplateTraits = read_traits(self._prompt, tokens.ids)
        self._ends = frozenset(self.traits.ends) | tokens.ends
        if self.traits.harmony:
            self._ends -= {"<|end|>"}  # it ends a message, but a reply has several
        words = () if obey_control_words else self._control_words(template)
        self._words = ControlWords({*words, *image_words})

    @property
    def end_tokens(self) -> tuple[int, ...]:
        """The tokens that end a reply: those that the model declares, and those that end a turn in its
        template."""
        return tuple(sorted(self.tokens.ids[word] for word in self._ends & self.tokens.ids.keys()))

    @property
    def end_words(self) -> tuple[str, ...]:
        """The texts that end a turn in the template without being tokens."""
        return tuple(sorted(self._ends - self.tokens.ids.keys()))

    @functools.cached_property
    def tool_traits(self) -> ToolTraits:
        """The template's support for tools, detected on first use."""
        return read_tool_traits(self._prompt, self.traits.typed)

    def splitter(
        self,
        prompt: str,
        inside: ThoughtMarkers | None,
        resumed: Literal["text", "thought"] | None,
        *,
        calls: bool = False,
    ) -> Splitter:
        """Return the splitter for the reply to this prompt. `resumed` is the part of a reply that it
        continues.

        With `calls`, the markers of tool calls stay in the text.
        """
        tokens, hidden, ends = self.tokens.ids.keys(), self.tokens.control, self._ends
        if calls:
            ends = ends | set(self.tool_traits.format.stops)
            hidden = frozenset(word for word in hidden if word in ends or word not in MARKERS)
        if self.traits.harmony:
            channels = {"text": "final", "thought": "analysis"}
            opened = re.search(r"<\|channel\|>(\w+)<\|message\|>\s*\Z", prompt)
            channel = channels[resumed] if resumed else opened and opened.group(1)
            return HarmonySplitter(tokens=tokens, hidden=hidden, channel=channel, calls=calls)
        return ThoughtSplitter(
            self.traits.thoughts,
            tokens=tokens,
            hidden=hidden,
            ends=ends & tokens,
            inside=inside,
            begun=resumed == "text",
        )

    def as_text(self, content: str) -> str:
        """Return the content in the form that goes into the prompt: with control words as plain text."""
        return self._words.as_text(as_read(content))

    def write(
        self, messages: Sequence[Message], thinking: bool | None = None, tools: Sequence[Tool] = ()
    ) -> str:
        """Return the prompt for a reply to these messages with these tools.

        Raises:
            TemplateError: the template refuses the messages.
        """
        return self._write(messages, thinking, tools).replace(AGAIN, "\n")

    def open_thought(self, prompt: str) -> ThoughtMarkers | None:
        """Return the markers of the thought that this prompt opens; None if it opens none."""
        open = opened_by(prompt, self.traits.thoughts)
        return next((each for each in self.traits.thoughts if each.open == open), None)

    def resume(
        self, messages: Sequence[Message], thinking: bool | None = None, tools: Sequence[Tool] = ()
    ) -> Continuation:
        """Return the continuation of the last message, which is the assistant's."""
        *before, begun = messages
        marked = Message(begun.role, begun.model_text.replace(_CUT, "") + _CUT)
        head, found, _ = self._write([*before, marked], thinking, tools).partition(_CUT)
        text = self._words.as_text(begun.model_text)
        if not found or not head.endswith(text):  # the template alters replies
            prompt = self.write(before, thinking, tools)
            if markers := self.open_thought(prompt):
                prompt += f"\n{markers.close}\n\n"
            return Continuation.after(prompt, text)
        return Continuation.after(head.removesuffix(text).replace(AGAIN, "\n"), text)

    def resume_thought(
        self,
        messages: Sequence[Message],
        thought: str,
        thinking: bool | None = None,
        tools: Sequence[Tool] = (),
    ) -> tuple[Continuation, ThoughtMarkers | None]:
        """Return the continuation of a thought that began the reply to these messages, and the thought's
        markers."""
        prompt = self.write(messages, thinking, tools)
        markers = self.open_thought(prompt)
        if markers is None and self.traits.thoughts:
            markers = self.traits.thoughts[0]
            prompt += f"{markers.open}{markers.heading or chr(10)}"
        elif self.traits.harmony:
            prompt += "<|channel|>analysis<|message|>"
        close = self.tokens.ids[markers.close] if markers and markers.close in self.tokens.control else None
        return Continuation.after(prompt, self._words.as_text(thought), close), markers

    def _write(self, messages: Sequence[Message], thinking: bool | None, tools: Sequence[Tool]) -> str:
        if tools or any(has_calls(message.content) for message in messages):
            plain = message_dicts(messages, tools, self.tool_traits, self._words.as_text)
            shown = [tool.as_function() for tool in tools if self.tool_traits.shows_tools]
        else:
            plain = [
                {"role": each.role, "content": self._words.as_text(each.model_text)} for each in messages
            ]
            shown = []
        # The template may refuse a second system message, or two calls in one message.
        simplest = replace(self.traits, takes_system=False, alternates=True)
        attempts = [
            _arranged(plain, self.traits),
            _arranged(plain, simplest),
            _arranged(one_call_each(plain), self.traits),
        ]
        refusal: TemplateError | None = None
        for number, attempt in enumerate(attempts):
            if attempt in attempts[:number]:
                continue
            try:
                typed = [_typed(each) for each in attempt] if self.traits.typed else attempt
                return self._prompt.write(typed, thinking=thinking, tools=shown)
            except TemplateError as error:
                refusal = error
        assert refusal is not None
        raise refusal

    def _control_words(self, template: str) -> set[str]:
        """Return the words that texts must not contain as tokens.

        Some tokens without the control type act as control words, such as Qwen's <think>; others are just
        frequent text.
        """
        thoughts = {word for each in self.traits.thoughts for word in (each.open, each.close)}
        harmony = set(HARMONY) if self.traits.harmony else set()
        return {
            word
            for word in self.tokens.ids
            if word in self.tokens.control
            or word in template
            or word in thoughts
            or word in harmony
            or _MARK.fullmatch(word)
        }


def _arranged(messages: Sequence[Dict], traits: TemplateTraits) -> list[Dict]:
    """Return the messages, rearranged as a template with these traits requires."""
    arranged: list[Dict] = []
    before = ""
    first = next((index for index, each in enumerate(messages) if each["role"] != "system"), len(messages))
    if traits.alternates and first < len(messages) and messages[first]["role"] == "assistant":
        messages = [*messages[:first], {"role": "user", "content": ""}, *messages[first:]]
    for message in messages:
        role, content = message["role"], message["content"]
        if role == "system" and not traits.takes_system:
            before += f"{content}\n\n"
            continue
        if before and role == "user":
            content, before = before + content, ""
        last = arranged[-1] if arranged else None
        if traits.alternates and last is not None and last["role"] == role and _is_plain(last, message):
            content = f"{arranged.pop()['content']}\n\n{content}"
        arranged.append({**message, "content": content})
    if before:
        arranged.append({"role": "user", "content": before.rstrip()})
    return arranged


def _is_plain(*messages: Dict) -> bool:
    """True if these messages have only a role and a content."""
    return all(message.keys() == {"role", "content"} for message in messages)


def _typed(message: Dict) -> Dict:
    return {**message, "content": [{"type": "text", "text": message["content"]}]}
