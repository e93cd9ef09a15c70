"""What happens in the interface. Requests go up as imperative messages, facts as past-tense ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from textual.message import Message

ReplyStatus = Literal["complete", "length", "stopped", "failed"]


@dataclass
class PromptSubmitted(Message):
    """The user sent this prompt."""

    text: str


@dataclass
class FollowRequested(Message):
    """The user wants to see the end of the conversation, and what is added to it."""


@dataclass
class ReplyBegan(Message):
    """The engine was asked for a reply."""

    prompt: str


@dataclass
class ReplyEnded(Message):
    """The reply is as complete as it gets, and stands in the conversation."""

    status: ReplyStatus
    text: str


@dataclass
class GetStarter(Message):
    """The user wants the starter model."""


@dataclass
class OlderTurnsWanted(Message):
    """The user scrolled to the first turn that is shown."""
