"""The messages of the interface. Panes post them upwards; the screen decides."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from textual.message import Message

from spnl_tui.conversations.turn import FinishReason

if TYPE_CHECKING:
    from spnl_tui.hub.pulls.pull import PullRequest
    from spnl_tui.hub.pulls.queued_pull import QueuedPull
    from spnl_tui.models.files.local import LocalModel
    from spnl_tui.tools.agent import Answer, Question


@dataclass(eq=False, repr=False)  # a message is itself, and Textual shows it
class PromptSubmitted(Message):
    """The user pressed the key that sends. The text may be blank."""

    text: str
    """The typed text, with mentions of files and placeholders of pastes."""


@dataclass(eq=False, repr=False)
class CommandSubmitted(Message):
    """The user typed a command and pressed the key that sends."""

    command: str
    """The id of the command."""
    argument: str
    """The text after its name."""
    text: str
    """The whole typed text."""


@dataclass(eq=False, repr=False)
class KeyInVain(Message):
    """The user pressed a key that the prompt does not handle."""

    key: str


@dataclass(eq=False, repr=False)
class FollowRequested(Message):
    """The user wants to follow the end of the conversation."""


@dataclass(eq=False, repr=False)
class FindChanged(Message):
    """The user changed the words to find."""


@dataclass(eq=False, repr=False)
class FindEarlierRequested(Message):
    """The user wants to go to the previous match."""


@dataclass(eq=False, repr=False)
class CandidateMoveRequested(Message):
    """The user wants the previous (-1) or next (1) candidate highlighted."""

    by: int


@dataclass(eq=False, repr=False)
class ReplyBegan(Message):
    """The engine has received this prompt."""

    prompt: str


@dataclass(eq=False, repr=False)
class ReplyEnded(Message):
    """The reply has ended and is in the conversation and on the screen."""

    finish_reason: FinishReason
    text: str
    conversation: str
    """The id of the conversation."""


@dataclass(eq=False, repr=False)
class NewConversationRequested(Message):
    """The user wants a new conversation."""


@dataclass(eq=False, repr=False)
class ConversationRequested(Message):
    """The user wants to see this conversation, or a turn in it."""

    id: str
    """The id or its beginning; empty means the last conversation."""
    turn: str | None = None


@dataclass(eq=False, repr=False)
class ModelChosen(Message):
    """The user wants this model, which is on this machine, to answer."""

    model: LocalModel
    context: int | None = None
    """The tokens of context that the user chose; None if the user made no choice."""


@dataclass(eq=False, repr=False)
class ServerModelChosen(Message):
    """The user wants this model, which is on a server, to answer."""

    name: str
    """Its reference."""


@dataclass(eq=False, repr=False)
class PromptRejected(Message):
    """The prompt of this reply does not fit into the context."""

    reply: str
    """The id of its turn."""


@dataclass(eq=False, repr=False)
class PullRequested(Message):
    """The user wants to pull this model."""

    request: PullRequest
    name: str
    """The user's name for it."""


PullChange = Literal["pause", "resume", "up", "down", "cancel", "cancel but keep"]


@dataclass(eq=False, repr=False)
class PullChangeRequested(Message):
    """The user wants an action on the pull with this id."""

    change: PullChange
    id: str


@dataclass(eq=False, repr=False)
class FinishedPullsClearRequested(Message):
    """The user wants these finished pulls off the list."""

    ids: tuple[str, ...]


PullWish: TypeAlias = PullRequested | PullChangeRequested | FinishedPullsClearRequested


@dataclass(eq=False, repr=False)
class UndoRequested(Message):
    """The user wants to undo, and the prompt has nothing newer to undo itself."""


@dataclass(eq=False, repr=False)
class UndoOffered(Message):
    """Something was changed that can be undone."""

    title: str
    undo: Callable[[], Awaitable[object]]
    detail: str = ""


@dataclass(eq=False, repr=False)
class PullEnded(Message):
    """A pull is complete or has failed."""

    pull: QueuedPull


@dataclass
class CallAnswered(Message):
    """The user has answered a question about a call."""

    question: Question
    answer: Answer
    keep: str = ""
    """"conversation" or "always" to allow such calls from now on."""
