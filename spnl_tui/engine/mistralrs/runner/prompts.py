"""Writes the prompts of one model: its chat template, and what the template cannot do by itself.

mistral.rs receives the finished prompt as one message. A system prompt that the template refuses stands
before the first prompt, messages of one role in a row are joined where they must alternate, and control
words in a text stay text.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Literal

from spnl_tui.engine.mistralrs.cache.cache_reuse import AGAIN, as_read
from spnl_tui.engine.mistralrs.continuation import Continuation
from spnl_tui.engine.mistralrs.runner.control_words import ControlWords
from spnl_tui.engine.mistralrs.runner.thoughts import HarmonySplitter, Splitter, ThoughtSplitter
from spnl_tui.models.files.vocabulary import SpecialTokens
from spnl_tui.models.prompts.chat_prompt import ChatPrompt, TemplateError
from spnl_tui.models.prompts.template_traits import TemplateTraits, as_dicts, opened_by, read_traits
from spnl_tui.models.prompts.thought_markers import HARMONY, ThoughtMarkers
from spnl_tui.models.request import Message

_CUT = "\ue000cut here\ue000"
"""Of the private use area: no text has it that a person wrote or a model made."""

_MARK = re.compile(r"<[|｜].+[|｜]>|\[/?[A-Z_]+\]")
"""How words look that nobody writes but to control a model."""


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
        """What the template ends a turn with, where it is not a token."""
        return tuple(sorted(self._ends - self.tokens.ids.keys()))

    def splitter(
        self, prompt: str, inside: ThoughtMarkers | None, resumed: Literal["text", "thought"] | None
    ) -> Splitter:
        """Return what splits the reply to this prompt. `resumed`: the part of a reply that it continues."""
        tokens, hidden = self.tokens.ids.keys(), self.tokens.control
        if self.traits.harmony:
            channels = {"text": "final", "thought": "analysis"}
            opened = re.search(r"<\|channel\|>(\w+)<\|message\|>\s*\Z", prompt)
            channel = channels[resumed] if resumed else opened and opened.group(1)
            return HarmonySplitter(tokens=tokens, hidden=hidden, channel=channel)
        return ThoughtSplitter(
            self.traits.thoughts,
            tokens=tokens,
            hidden=hidden,
            ends=self._ends & tokens,
            inside=inside,
            begun=resumed == "text",
        )

    def as_text(self, content: str) -> str:
        """Return the content as the model reads it."""
        return self._words.as_text(as_read(content))

    def write(self, messages: Sequence[Message], thinking: bool | None = None) -> str:
        """Return the prompt for a reply to these messages.

        Raises:
            TemplateError: the template refuses the messages.
        """
        return self._write(messages, thinking).replace(AGAIN, "\n")

    def open_thought(self, prompt: str) -> ThoughtMarkers | None:
        """Return the markers of the thought that this prompt begins for the model, if it does."""
        open = opened_by(prompt, self.traits.thoughts)
        return next((each for each in self.traits.thoughts if each.open == open), None)

    def resume(self, messages: Sequence[Message], thinking: bool | None = None) -> Continuation:
        """Return how to continue the last message, which is the assistant's."""
        *before, begun = messages
        marked = Message(begun.role, begun.model_text.replace(_CUT, "") + _CUT)
        head, found, _ = self._write([*before, marked], thinking).partition(_CUT)
        text = self._words.as_text(begun.model_text)
        if not found or not head.endswith(text):  # the template changes replies
            prompt = self.write(before, thinking)
            if markers := self.open_thought(prompt):
                prompt += f"\n{markers.close}\n\n"
            return Continuation.after(prompt, text)
        return Continuation.after(head.removesuffix(text).replace(AGAIN, "\n"), text)

    def resume_thought(
        self, messages: Sequence[Message], thought: str, thinking: bool | None = None
    ) -> tuple[Continuation, ThoughtMarkers | None]:
        """Return how to continue a thought that was the reply to these messages, and the thought's
        markers.
        """
        prompt = self.write(messages, thinking)
        markers = self.open_thought(prompt)
        if markers is None and self.traits.thoughts:
            markers = self.traits.thoughts[0]
            prompt += f"{markers.open}{markers.heading or chr(10)}"
        elif self.traits.harmony:
            prompt += "<|channel|>analysis<|message|>"
        close = self.tokens.ids[markers.close] if markers and markers.close in self.tokens.control else None
        return Continuation.after(prompt, self._words.as_text(thought), close), markers

    def _write(self, messages: Sequence[Message], thinking: bool | None) -> str:
        plain = [(each.role, self._words.as_text(each.model_text)) for each in messages]
        arranged = _arranged(plain, self.traits)
        try:
            return self._prompt.write(as_dicts(arranged, self.traits.typed), thinking=thinking)
        except TemplateError:
            # It refuses something else about them, as a second system message.
            simplest = _arranged(plain, replace(self.traits, takes_system=False, alternates=True))
            if simplest == arranged:
                raise
            return self._prompt.write(as_dicts(simplest, self.traits.typed), thinking=thinking)

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


def _arranged(messages: Sequence[tuple[str, str]], traits: TemplateTraits) -> list[tuple[str, str]]:
    """Return the messages as a template with these traits accepts them."""
    arranged: list[tuple[str, str]] = []
    before = ""
    first = next((index for index, (role, _) in enumerate(messages) if role != "system"), len(messages))
    if traits.alternates and first < len(messages) and messages[first][0] == "assistant":
        messages = [*messages[:first], ("user", ""), *messages[first:]]
    for role, content in messages:
        if role == "system" and not traits.takes_system:
            before += f"{content}\n\n"
            continue
        if before and role == "user":
            content, before = before + content, ""
        if traits.alternates and arranged and arranged[-1][0] == role:
            content = f"{arranged.pop()[1]}\n\n{content}"
        arranged.append((role, content))
    if before:
        arranged.append(("user", before.rstrip()))
    return arranged
