"""The events of a chat session, as plain data. Every subscriber receives every event, in order.

A session waits for its subscribers, so they see the conversation as it is at that moment, and a slow screen
slows the drawing of a reply instead of falling behind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from spnl_tui.records import record

if TYPE_CHECKING:
    from spnl_tui.chat.candidate_set import CandidateSet
    from spnl_tui.chat.status import Activity
    from spnl_tui.conversations.memory import Memory
    from spnl_tui.conversations.turn import Turn
    from spnl_tui.tools.agent import Question


@record
class SessionShown:
    """The conversation has become the visible one, or is shown again."""


@record
class PromptAdded:
    """A prompt was added to the conversation."""

    turn: Turn
    replaced: str | None = None
    """The id of the prompt that was edited into this one. None for a new prompt."""


@record
class QueueChanged:
    """The prompts typed ahead have changed."""


@record
class RunsChanged:
    """A reply or a verdict was requested, has made progress or has ended."""


@record
class RunsEnded:
    """Nothing is in progress any more."""

    activity: Activity
    """The activity that ended."""


@record
class ReplyStarted:
    """The engine is asked for a reply."""

    turn: Turn
    prompt: str


@record
class PromptSaved:
    """The store has the prompt that is being answered."""


@record
class MemoryChanged:
    """The model sees less, or more, of the conversation than before."""

    memory: Memory


@record
class ReplyProgressed:
    """More of a reply was received, or its request has made progress."""

    turn: Turn
    activity: Activity


@record
class ReplyEnded:
    """A reply is complete: it has ended, was stopped or has failed."""

    turn: Turn
    too_long: bool = False
    """True if its prompt was rejected because it does not fit into the context."""


@record
class ReplySaved:
    """The store has the complete reply."""

    turn: Turn


@record
class TurnsReplaced:
    """This turn and those below it are about to be replaced by others."""

    first: str


@record
class BranchChanged:
    """Another branch is the active one, from `first` on; before, its sibling `replaced` was."""

    replaced: str
    first: str


@record
class TreeChanged:
    """Turns were deleted or restored, or a turn of another branch was chosen."""


@record
class CursorMoved:
    """The cursor is on another turn, or on none."""


@record
class EditEnded:
    """No turn is being edited any more."""


@record
class CandidatesOpened:
    """Several replies to one prompt are to be compared."""

    candidates: CandidateSet


@record
class CandidatesChanged:
    """Another candidate is highlighted, or the judge has said something."""


@record
class CandidateAdded:
    """One more candidate was requested, and is highlighted."""

    turn: Turn
    label: str


@record
class CandidatesClosed:
    """The candidates are no longer compared."""


@record
class CandidateChosen:
    """The conversation continues with this candidate."""

    turn: Turn


@record
class VerdictGiven:
    """The judge has given a verdict, or has failed."""


@record
class QuestionAsked:
    """The model wants to call a tool, and the user must decide."""

    question: Question


@record
class QuestionAnswered:
    """The question was answered, or withdrawn because the reply was stopped."""

    question: Question


@record
class TitleChanged:
    """The conversation has another title."""


SessionEvent: TypeAlias = (
    SessionShown
    | PromptAdded
    | QueueChanged
    | RunsChanged
    | RunsEnded
    | ReplyStarted
    | PromptSaved
    | MemoryChanged
    | ReplyProgressed
    | ReplyEnded
    | ReplySaved
    | TurnsReplaced
    | BranchChanged
    | TreeChanged
    | CursorMoved
    | EditEnded
    | CandidatesOpened
    | CandidatesChanged
    | CandidateAdded
    | CandidatesClosed
    | CandidateChosen
    | VerdictGiven
    | QuestionAsked
    | QuestionAnswered
    | TitleChanged
)
