"""The visible session in the chat pane: its transcript, candidates, title and queue."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from textual.content import Content

from spnl_tui.chat import events
from spnl_tui.chat.status import reported_tokens
from spnl_tui.text import plain

if TYPE_CHECKING:
    from spnl_tui.chat.candidate_set import CandidateSet
    from spnl_tui.chat.session import ChatSession
    from spnl_tui.chat.status import Status
    from spnl_tui.ui.chat.pane import ChatPane
    from spnl_tui.ui.chat.turns import Reply

_MOUNTED_SINGLY = 12
"""A longer branch is shown from its end, like a conversation that is opened."""


class ConversationView:
    """Draws the session that its caller names, and each event in it."""

    def __init__(
        self,
        pane: ChatPane,
        status: Status,
        *,
        show_title: Callable[[str], None],
        key_name: Callable[[str], str],
    ) -> None:
        """`key_name` returns the key of a command, as the user writes it."""
        self._pane = pane
        self._status = status
        self._show_title = show_title
        self._key_name = key_name
        self._transcript = pane.transcript
        self._candidates = pane.candidates

    # ── the whole conversation ───────────────────────────────────────────────────────────────────

    async def show(self, session: ChatSession) -> None:
        """Show this session in place of the one before."""
        from spnl_tui.conversations.memory import memory_of

        path = session.conversation.path()
        self._show_title(session.conversation.title)
        self._pane.prompt.border_title = ""
        self._transcript.remember_from(*memory_of(path))
        await self.show_turns(session)
        self._pane.show_welcome(not path)

    async def show_turns(self, session: ChatSession) -> None:
        """Show the turns of the active branch again, all of which may have changed."""
        choosing = session.candidates.refresh()
        await self._transcript.show(session.candidates.above)
        if choosing and session.candidates.open is not None:
            await self._show_candidates(session, session.candidates.open)
            self._show_verdict(session)
        else:
            await self._hide_candidates()

    async def show_branch(self, session: ChatSession, replaced: str, first: str) -> None:
        """Show the active branch from the turn `first` on, where its sibling `replaced` was shown."""
        path = session.conversation.path()
        tail = path[[turn.id for turn in path].index(first) :]
        if len(tail) < _MOUNTED_SINGLY and await self._transcript.remove_from(replaced):
            for turn in tail:
                await self._transcript.add(turn)
        else:
            await self._transcript.show(path)
        self.show_figures(session)

    def show_figures(self, session: ChatSession) -> None:
        """Show how much of the context the branch takes, and no figures of another reply."""
        conversation = session.conversation
        self._status.branch_shown(reported_tokens(conversation.path(), conversation.model))

    async def show_queue(self, session: ChatSession) -> None:
        """Show what waits to be sent."""
        if session.busy:
            why = f"sent when this {'reply' if session.replying else 'command'} ends"
        else:
            why = "waits for your answer" if session.unsettled_model else "sent when there is a model"
        await self._transcript.show_queued(session.queue.text, why)

    def reply(self, turn_id: str) -> Reply | None:
        """Return the widget of a reply, whether it is a candidate or a turn of the transcript."""
        return self._candidates.widget(turn_id) or self._transcript.reply(turn_id)

    # ── what happened in it ──────────────────────────────────────────────────────────────────────

    async def apply(self, session: ChatSession, event: events.SessionEvent) -> None:
        """Show what happened in the session that is shown."""
        transcript = self._transcript
        match event:
            case events.ReplyProgressed(turn, activity):
                if (widget := self.reply(turn.id)) is not None:
                    run = session.runs.get(turn.id)
                    await widget.show(turn, run.reply.calls if run is not None else {})
                self._candidates.progressed(turn, activity)
            case events.ReplyStarted(turn):
                if self.reply(turn.id) is None:
                    await transcript.add(turn)
                transcript.follow()
            case events.ReplyEnded(turn):
                if (widget := self.reply(turn.id)) is not None:
                    await widget.finish(turn)
                self._candidates.progressed(turn, None)
            case events.PromptAdded(turn, replaced):
                self._pane.show_welcome(False)
                if replaced is not None:
                    await self.show_branch(session, replaced, turn.id)
                else:
                    await transcript.add(turn)
            case events.QueueChanged():
                await self.show_queue(session)
            case events.TitleChanged():
                self._show_title(session.conversation.title)
            case events.MemoryChanged(memory):
                transcript.remember_from(*memory)
            case events.TurnsReplaced(first):
                await transcript.remove_from(first)
            case events.BranchChanged(replaced, first):
                await self.show_branch(session, replaced, first)
            case events.TreeChanged():
                await self.show_turns(session)
                self.show_figures(session)
            case events.CursorMoved():
                if session.selection.cursor is not None:
                    await transcript.reveal(session.selection.cursor)
                transcript.mark(session.selection.cursor)
            case events.EditEnded():
                self._pane.prompt.border_title = ""
            case _:
                await self._apply_to_candidates(session, event)

    async def _apply_to_candidates(self, session: ChatSession, event: events.SessionEvent) -> None:
        match event:
            case events.CandidatesOpened(candidates):
                await self._show_candidates(session, candidates)
            case events.CandidatesChanged():
                if session.candidates.open is not None:
                    self._candidates.mark(session.candidates.chosen, best=session.candidates.open.best)
                    self._show_verdict(session)
            case events.CandidateAdded(turn, label):
                await self._candidates.add(turn, label)
                self._candidates.mark(turn.id)
                self._show_verdict(session)
            case events.CandidatesClosed():
                await self._hide_candidates()
            case events.CandidateChosen(turn):
                await self._transcript.add(turn)
                self._transcript.follow()
            case events.VerdictGiven():
                self.show_figures(session)  # those of the verdict are not the conversation's
            case _:
                pass

    async def _show_candidates(self, session: ChatSession, candidates: CandidateSet) -> None:
        turns = [session.conversation[turn_id] for turn_id in candidates.turns]
        chosen = session.candidates.chosen
        await self._candidates.show(turns, [candidates.labels[turn.id] for turn in turns], chosen)
        self._candidates.mark(chosen, best=candidates.best)
        self._pane.show_candidates(True)
        self._transcript.follow()

    async def _hide_candidates(self) -> None:
        self._pane.show_candidates(False)
        await self._candidates.clear()

    def _show_verdict(self, session: ChatSession) -> None:
        """Show what the judge said, and which keys do what."""
        assert session.candidates.open is not None
        judge, merge = (self._key_name(id) for id in ("many.judge", "many.merge"))
        keys = f"← → another · Enter takes it · {judge} judge · {merge} merge"
        if verdict := session.candidates.open.verdict:
            self._candidates.say(Content.assemble((plain(verdict), "$text"), "\n", keys))
        else:
            self._candidates.say(Content(keys))
