"""Candidates weighed by the model: judged by criteria, or merged into one."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING

from spnl_tui.chat.events import CandidatesChanged, RunsChanged, VerdictGiven
from spnl_tui.errors import CommandError, QueryError

if TYPE_CHECKING:
    from spnl_tui.chat.candidate_set import CandidateSet
    from spnl_tui.chat.services import ChatServices
    from spnl_tui.chat.session import ChatSession
    from spnl_tui.chat.status import Activity
    from spnl_tui.conversations.turn import Turn
    from spnl_tui.engine.backend import ModelHandle
    from spnl_tui.engine.reply import Reply

_VERDICT = "verdict"
"""The key of the run; a verdict is not a turn."""


class Judge:
    """Asks the current model about candidates. The queries are those of `queries.verdict`."""

    def __init__(self, services: ChatServices) -> None:
        self._services = services

    async def judge(self, session: ChatSession, criteria: str) -> None:
        """Have the candidates judged by these criteria, and highlight the best. The user picks one.

        Raises:
            CommandError: fewer than two candidates have a text.
        """
        from spnl_tui.queries.verdict import read_verdict

        prompt, replies, candidates = await self.weighed(session)
        if session.replying:
            return  # meanwhile, the user asked for something else
        candidates.best, candidates.verdict = None, f"Judging by: {criteria} …"
        await session.emit(CandidatesChanged())
        reply = await self._ask(session, prompt, replies, criteria)
        candidates.verdict = ""
        try:
            if reply.finish_reason == "failed":
                candidates.verdict = f"The judge failed: {reply.error.replace(chr(10), ' ')}"
            elif reply.finish_reason != "cancelled":
                verdict = read_verdict(reply.text, len(replies))
                best = candidates.best = replies[verdict.best].id
                number = candidates.turns.index(best) + 1
                candidates.verdict = f"★ {number} is the best. {verdict.reason}"
        except QueryError as error:
            candidates.verdict = f"{error.title}. {error.message}"
        await session.emit(VerdictGiven())
        if session.candidates.open is candidates:
            await session.emit(CandidatesChanged())
            if candidates.best is not None:
                await session.candidates.highlight(candidates.best)

    async def _ask(self, session: ChatSession, prompt: Turn, replies: list[Turn], criteria: str) -> Reply:
        from spnl_tui.engine.backend import ChatRequest
        from spnl_tui.queries.chat import query_to_messages
        from spnl_tui.queries.run import sampling_of
        from spnl_tui.queries.verdict import judge_query, verdict_grammar

        model = self._model()
        can = model.capabilities
        texts = [reply.text for reply in replies]
        query, messages = query_to_messages(judge_query(model.name, prompt.text, texts, criteria))
        request = ChatRequest(
            messages=messages,
            sampling=sampling_of(query, session.conversation.sampling),
            thinking=False,
            grammar=verdict_grammar(len(replies)) if can.grammars or can.schemas else None,
            ephemeral=True,
        )
        events = self._services.engine.generate(model, request)

        async def draw(reply: Reply, activity: Activity) -> None:
            await session.emit(RunsChanged())

        run = await session.runs.begin(_VERDICT, model)
        try:
            async with aclosing(events):
                try:
                    return await run.run(events, draw)
                finally:
                    await run.close()
        finally:
            await session.runs.end(_VERDICT)
            run.ended.set()

    async def merge(self, session: ChatSession) -> None:
        """Have the candidates merged into one more.

        Raises:
            CommandError: fewer than two candidates have a text.
        """
        from spnl_tui.chat.shared_request import Variation
        from spnl_tui.queries.chat import query_to_messages
        from spnl_tui.queries.verdict import merge_query

        prompt, replies, _ = await self.weighed(session)
        conversation = session.conversation
        query = merge_query(
            self._model().name,
            prompt.text,
            [reply.text for reply in replies],
            system=conversation.system_prompt,
        )
        _, messages = query_to_messages(query)
        sampling = replace(conversation.sampling, seed=None)
        await session.add_candidate("merged", Variation(messages=messages, sampling=sampling))

    async def weighed(self, session: ChatSession) -> tuple[Turn, list[Turn], CandidateSet]:
        """Return the prompt, the candidates that have a text, and their set. Open the set if need be.

        Raises:
            CommandError: fewer than two candidates have a text.
        """
        conversation = session.conversation
        if session.candidates.open is None:
            await session.candidates.show_siblings()
        candidates = session.candidates.open
        turns = [] if candidates is None else [conversation[turn_id] for turn_id in candidates.turns]
        replies = [turn for turn in turns if turn.text.strip()]
        if candidates is None or len(replies) < 2:
            raise CommandError("Too few candidates", "At least two candidates must have a text.")
        parent = replies[0].parent
        assert parent is not None
        return conversation[parent], replies, candidates

    def _model(self) -> ModelHandle:
        model = self._services.model.model
        assert model is not None
        return model
