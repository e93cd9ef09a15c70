"""What happens in the interface. Panes ask and tell upwards; the screen decides."""

from __future__ import annotations

from dataclasses import dataclass

from textual.message import Message

from spnl_tui.conversations.conversation import FinishReason


@dataclass
class PromptSubmitted(Message):
    """The user pressed the key that sends. The text may be blank."""

    text: str


@dataclass
class FollowRequested(Message):
    """The user wants to see the end of the conversation, and what is added to it."""


@dataclass
class ReplyBegan(Message):
    """The engine was asked for a reply to this prompt."""

    prompt: str


@dataclass
class ReplyEnded(Message):
    """The reply is as complete as it gets, and stands in the conversation and on the screen."""

    finish_reason: FinishReason
    text: str


@dataclass
class NewConversationRequested(Message):
    """The user wants to begin anew."""
