"""Converts a Chat or Complete command to a prompt, a grammar and a reader of the reply."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from spnl_tui.engine.mistralrs import wire
from spnl_tui.engine.mistralrs.continuation import Continuation
from spnl_tui.engine.mistralrs.runner.prompts import PromptWriter
from spnl_tui.engine.mistralrs.runner.structured import ThoughtRule, grammar_arguments
from spnl_tui.engine.mistralrs.runner.thoughts import Splitter
from spnl_tui.models.prompts.thought_markers import ThoughtMarkers
from spnl_tui.models.request import Grammar, Message, Sampling
from spnl_tui.models.tool_formats.grammar import MOST_CALLS, call_grammar
from spnl_tui.models.tool_formats.splitter import CallSplitter
from spnl_tui.models.tool_formats.table import MARKERS


@dataclass(frozen=True, slots=True)
class EngineRequest:
    """A prompt for mistral.rs, with the objects that read its reply."""

    prompt: str
    sampling: Sampling
    grammar: Mapping[str, Any] = field(default_factory=dict)
    ends: tuple[str, ...] = ()
    """Words that end the reply but are not tokens."""
    begun: Continuation | None = None
    splitter: Splitter | None = None
    calls: CallSplitter | None = None
    """None if the reply cannot contain tool calls."""


def completion_request(command: wire.Complete) -> EngineRequest:
    """Return the request to continue a text. Control words in the text have their effect."""
    return EngineRequest(command.prompt, command.sampling, grammar_arguments(command.grammar))


def chat_request(
    prompts: PromptWriter, command: wire.Chat, messages: tuple[Message, ...], count: Callable[[str], int]
) -> EngineRequest:
    """Return the request for a reply to these messages. `count` counts the tokens of a text.

    Raises:
        TemplateError: the template refuses the messages.
    """
    begun: Continuation | None = None
    inside: ThoughtMarkers | None = None
    resumed: Literal["text", "thought"] | None = None
    if command.continue_reply and command.begun_thought:
        resumed = "thought"
        begun, inside = prompts.resume_thought(
            messages, command.begun_thought, command.thinking, command.tools
        )
    elif command.continue_reply:
        resumed = "text"
        begun = prompts.resume(messages, command.thinking, command.tools)
    prompt = begun.prompt if begun else prompts.write(messages, command.thinking, command.tools)
    if begun is None:
        inside = prompts.open_thought(prompt)
    calls = None
    if command.tools and command.tool_choice != "none" and command.grammar is None:
        calls = CallSplitter(prompts.tool_traits.format, command.tools)
    splitter = prompts.splitter(prompt, inside, resumed, calls=calls is not None)
    sampling = command.sampling
    if begun is None and command.grammar is None and (grammar := _tool_grammar(prompts, command)):
        markers = inside or next(iter(prompts.traits.thoughts), None)
        rule = ThoughtRule(markers=markers, inside=inside is not None) if markers else None
        arguments = grammar_arguments(grammar, rule, prompts.tokens, sampling.max_tokens)
    elif begun is None:
        rule = _thought_rule(prompts, command, inside)
        arguments = grammar_arguments(command.grammar, rule, prompts.tokens, sampling.max_tokens)
    else:
        sampling = replace(sampling, max_tokens=sampling.max_tokens + count(begun.repeated))
        arguments = grammar_arguments(begun.grammar)
    # A reply format ends by itself, and its texts may contain words that would end other replies.
    ends = prompts.end_words if command.grammar is None or begun else ()
    return EngineRequest(prompt, sampling, arguments, ends, begun, splitter, calls)


def _tool_grammar(prompts: PromptWriter, command: wire.Chat) -> Grammar | None:
    """Return a grammar that keeps tool calls valid; None without tools, or if the arguments are not JSON."""
    if not command.tools or (frame := prompts.tool_traits.format.frame) is None:
        return None
    control = {word: prompts.tokens.ids[word] for word in prompts.tokens.control & MARKERS}
    # A model that was not trained on tools repeats the same call endlessly.
    most = MOST_CALLS if prompts.tool_traits.shows_tools else 1
    format = prompts.tool_traits.format
    return call_grammar(format, frame, command.tools, command.tool_choice, control, most=most)


def _thought_rule(
    prompts: PromptWriter, command: wire.Chat, inside: ThoughtMarkers | None
) -> ThoughtRule | None:
    """Return the rule for a thought before a formatted reply; None if the format applies from the first
    token.

    A model that opens its thoughts itself gets no thought, unless thinking was requested.
    """
    if prompts.traits.harmony:
        return ThoughtRule(markers=None, inside=False)
    markers = inside or next(iter(prompts.traits.thoughts), None)
    if markers is None or command.grammar is None or not (inside or command.thinking):
        return None
    if markers.close in command.grammar.text.replace("\\", ""):
        return None  # the format itself says where the thought is
    return ThoughtRule(markers=markers, inside=inside is not None)
