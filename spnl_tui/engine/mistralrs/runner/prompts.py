"""Writes the prompts of one model: its chat template, and what the template cannot do by itself.

mistral.rs receives the finished prompt as one message. A system prompt that the template refuses stands
before the first prompt, messages of one role in a row are joined where they must alternate, and control
words in a text stay text.
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
"""From the private use area: no text has it that a person wrote or a model made."""

_MARK = re.compile(r"<[|｜].+[|｜]>|\[/?[A-Z_]+\]")
"""The pattern of words that only serve to control a model."""


Dict = Mapping[str, Any]
"""A message as a template takes it."""


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
        """`image_words` stand for images in prompts, so a text must never hold them."""
        self.tokens = tokens
        self._prompt = ChatPrompt(template, tokens.named)
        self.traits: TemplateTraits = read_traits(self._prompt, tokens.ids)
        self._ends = frozenset(self.traits.ends) | tokens.ends
        if self.traits.harmony:
            self._ends -= {"<|end|>"}  # it ends a message, and a reply is several
        words = () if obey_control_words else self._control_words(template)
        self._words = ControlWords({*words, *image_words})

    @property
    def end_tokens(self) -> tuple[int, ...]:
        """The tokens that end a reply: what the model declares, and what its template ends a turn with."""
        return tuple(sorted(self.tokens.ids[word] for word in self._ends & self.tokens.ids.keys()))

    @property
    def end_words(self) -> tuple[str, ...]:
        """The text with which the template ends a turn, if it is not a token."""
        return tuple(sorted(self._ends - self.tokens.ids.keys()))

    @functools.cached_property
    def tool_traits(self) -> ToolTraits:
        """The template's support for tools. Found on first use."""
        return read_tool_traits(self._prompt, self.traits.typed)

    def splitter(
        self,
        prompt: str,
        inside: ThoughtMarkers | None,
        resumed: Literal["text", "thought"] | None,
        *,
        calls: bool = False,
    ) -> Splitter:
        """Return what splits the reply to this prompt. `resumed`: the part of a reply that it continues.

        `calls`: the markers of tool calls stay in the text.
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
        """Return the content as the model reads it."""
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
        """Return the markers of the thought that this prompt begins for the model, if it does."""
        open = opened_by(prompt, self.traits.thoughts)
        return next((each for each in self.traits.thoughts if each.open == open), None)

    def resume(
        self, messages: Sequence[Message], thinking: bool | None = None, tools: Sequence[Tool] = ()
    ) -> Continuation:
        """Return how to continue the last message, which is the assistant's."""
        *before, begun = messages
        marked = Message(begun.role, begun.model_text.replace(_CUT, "") + _CUT)
        head, found, _ = self._write([*before, marked], thinking, tools).partition(_CUT)
        text = self._words.as_text(begun.model_text)
        if not found or not head.endswith(text):  # the template changes replies
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
        """Return how to continue a thought that was the reply to these messages, and the thought's
        markers.
        """
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
        # It may refuse something about them, as a second system message or two calls at once.
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
        """Return the tokens that a text must not hold.

        Some tokens that are no control tokens, as Qwen's <think>, act like them; others are only frequent
        text.
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
    """Return the messages as a template with these traits accepts them."""
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
    """True if all that these messages have is a role and a content."""
    return all(message.keys() == {"role", "content"} for message in messages)


def _typed(message: Dict) -> Dict:
    return {**message, "content": [{"type": "text", "text": message["content"]}]}
