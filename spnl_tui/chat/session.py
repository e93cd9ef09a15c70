"""The conversations at work: the one that is seen, and those that are replied to out of sight."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from spnl_tui.conversations.conversation import Conversation

if TYPE_CHECKING:
    from spnl_tui.chat.reply import ReplyRun
    from spnl_tui.ui.messages import CommandSubmitted

Queued: TypeAlias = "str | CommandSubmitted"
"""A prompt, whole, or a command as it came."""


@dataclass(slots=True)
class LiveConversation:
    """A conversation that is seen, or that is replied to out of sight."""

    conversation: Conversation
    runs: dict[str, ReplyRun] = field(default_factory=dict)
    """What is being made, by the id of the turn: one reply, or several candidates."""
    accepted: int = 0
    """Replies that are on their way, and not yet among the runs."""
    queued: list[Queued] = field(default_factory=list)
    """What was typed while there was no way to answer it, in that order; of prompts in a row one is made."""
    taken_up: bool = False
    """A command that waited is being begun; it may come to a reply."""

    @property
    def replying(self) -> bool:
        """Whether a reply is being made."""
        return self.accepted > 0 or bool(self.runs)

    @property
    def busy(self) -> bool:
        """Whether a prompt has to wait."""
        return self.replying or self.taken_up

    @property
    def run(self) -> ReplyRun | None:
        """The one whose activity is shown: the first that does not wait for its turn."""
        runs = self.runs.values()
        working = (run for run in runs if run.activity.state not in ("idle", "queued"))
        return next(working, next(iter(runs), None))


class LiveConversations:
    """What is at work in each conversation, from when it is seen until it is neither seen nor replied to."""

    def __init__(self, seen: Callable[[], Conversation]) -> None:
        """`seen` gives the conversation that is seen."""
        self._seen = seen
        self._live: dict[str, LiveConversation] = {}

    def __iter__(self) -> Iterator[LiveConversation]:
        return iter(tuple(self._live.values()))

    @property
    def seen(self) -> LiveConversation:
        """The one that is seen."""
        return self.of(self._seen())

    @property
    def replying(self) -> frozenset[str]:
        """The ids of the conversations in which a reply is being made."""
        return frozenset(id for id, each in self._live.items() if each.replying)

    def is_seen(self, conversation: Conversation) -> bool:
        """Whether it is this one that is seen."""
        return conversation is self._seen()

    def of(self, conversation: Conversation) -> LiveConversation:
        """What is at work in this conversation, which counts as live from now on."""
        each = self._live.get(conversation.id)
        if each is None or each.conversation is not conversation:
            each = self._live[conversation.id] = LiveConversation(conversation)
        return each

    def get(self, id: str) -> LiveConversation | None:
        """What is at work in the conversation of this id; None: nothing, and it was not seen lately."""
        return self._live.get(id)

    def unsaved(self, id: str) -> Conversation | None:
        """The conversation of this id in which a reply is made or a prompt waits: the store has neither."""
        each = self._live.get(id)
        return each.conversation if each is not None and (each.busy or each.queued) else None

    def forget_idle(self) -> None:
        """Forget those in which nothing is at work."""
        for each in self:
            if not each.busy and not each.queued:
                del self._live[each.conversation.id]
