"""What happens in the interface. Panes ask and tell upwards; the screen decides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from textual.message import Message

from spnl_tui.conversations.turn import FinishReason

if TYPE_CHECKING:
    from spnl_tui.hub.pulls.download import Download
    from spnl_tui.hub.pulls.pull import PullRequest
    from spnl_tui.models.files.local import LocalModel


@dataclass
class PromptSubmitted(Message):
    """The user pressed the key that sends. The text may be blank."""

    text: str
    """As it was typed: with mentions of files, and words that stand for what was pasted."""


@dataclass
class CommandSubmitted(Message):
    """The user typed a command and pressed the key that sends."""

    command: str
    """The id of the command."""
    argument: str
    """What was typed after its name."""
    text: str
    """The whole text as it was typed."""


@dataclass
class KeyInVain(Message):
    """The user pressed a key for which the prompt has done nothing."""

    key: str


@dataclass
class FollowRequested(Message):
    """The user wants to see the end of the conversation and what is added to it."""


@dataclass
class FindChanged(Message):
    """The user changed the words to find."""


@dataclass
class FindEarlierRequested(Message):
    """The user wants to go to the match before."""


@dataclass
class CandidateMoveRequested(Message):
    """The user wants another candidate highlighted: the one before (-1) or after (1)."""

    by: int


@dataclass
class ReplyBegan(Message):
    """The engine was asked for a reply to this prompt."""

    prompt: str


@dataclass
class ReplyEnded(Message):
    """The reply is as complete as it gets, and stands in the conversation and on the screen."""

    finish_reason: FinishReason
    text: str
    conversation: str
    """The id of the conversation."""


@dataclass
class NewConversationRequested(Message):
    """The user wants to begin anew."""


@dataclass
class ConversationRequested(Message):
    """The user wants to see this conversation, or a turn in it."""

    id: str
    """Or its beginning; empty: the last one."""
    turn: str | None = None


@dataclass
class ModelChosen(Message):
    """The user wants to talk to this model, which is on this machine."""

    model: LocalModel
    context: int | None = None
    """The tokens of context that the user chose; None if the user made no choice."""


@dataclass
class PromptRejected(Message):
    """The prompt of this reply does not fit into the context."""

    reply: str
    """The id of its turn."""


@dataclass
class PullRequested(Message):
    """The user wants to have this model."""

    request: PullRequest
    name: str
    """What the user calls it."""


PullChange = Literal["pause", "resume", "up", "down", "cancel", "cancel but keep", "clear"]


@dataclass
class PullChangeRequested(Message):
    """The user wants something done to the pull of this id."""

    change: PullChange
    id: str


@dataclass
class PullUndoRequested(Message):
    """The user wants back what was cancelled last."""


PullWish: TypeAlias = PullRequested | PullChangeRequested | PullUndoRequested


@dataclass
class PullEnded(Message):
    """A pull is done, or has failed."""

    download: Download
