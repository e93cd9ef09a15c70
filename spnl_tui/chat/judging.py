"""Candidates weighed by the model: judged by criteria, or merged into one."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING

from spnl_tui.conversations.turn import Turn
from spnl_tui.errors import CommandError, QueryError
from spnl_tui.settings import Settings
from spnl_tui.ui.chat.branching import gone
from spnl_tui.ui.services import Services

if TYPE_CHECKING:
    from spnl_tui.chat.reply import ReplySoFar
    from spnl_tui.chat.status import Activity
    from spnl_tui.engine.backend import ModelHandle
    from spnl_tui.ui.chat.candidates import CandidatesController
    from spnl_tui.ui.main_screen import MainScreen

VERDICT = "verdict"
"""In place of a turn's id: what is being made is a verdict, which is no turn."""


class Judge:
    """Asks the model in use about candidates; the queries are those of `queries.judging`."""

    def __init__(
        self, screen: MainScreen, choosing: CandidatesController, services: Services, settings: Settings
    ) -> None:
        self._screen = screen
        self._choosing = choosing
        self._services = services
        self._criteria = settings.chat.judge_criteria

    async def judge(self, criteria: str = "") -> None:
        """Have the candidates judged by these criteria, or those that the user is asked for.

        The verdict is shown and its candidate highlighted; to pick it is for the user.
        """
        from spnl_tui.chat.reply import ReplyRun
        from spnl_tui.engine.backend import ChatRequest
        from spnl_tui.queries.chat import query_to_messages
        from spnl_tui.queries.judging import judge_query, read_verdict, verdict_grammar
        from spnl_tui.queries.run import sampling_of
        from spnl_tui.ui.dialogs.text_screen import TextScreen

        prompt, replies = await self._weighed()
        if not criteria:
            chosen = await self._screen.app.push_screen_wait(TextScreen("Judge by", self._criteria))
            if chosen is None:
                return
            criteria = chosen
        self._criteria = criteria
        model, conversation, fan = self._model(), self._screen.conversation, self._choosing.fan
        if fan is None or self._screen.replying:
            return  # while the user was asked, something else began
        texts = [reply.text for reply in replies]
        query, messages = query_to_messages(judge_query(model.name, prompt.text, texts, criteria))
        request = ChatRequest(
            messages=messages,
            sampling=sampling_of(query, conversation.sampling),
            thinking=False,
            grammar=verdict_grammar(len(replies)) if model.capabilities.grammars else None,
            ephemeral=True,
        )
        events = self._services.engine.generate(model, request)

        async def draw(so_far: ReplySoFar, activity: Activity) -> None:
            self._screen.answering.show_activity(conversation)

        run = ReplyRun(self._screen.answering.activity_for(model), self._services.clock)
        fan.best, fan.said = "", f"Judging by: {criteria} …"
        self._choosing.say()
        self._screen.answering.begin(conversation, VERDICT, run)
        try:
            async with aclosing(events):
                try:
                    so_far = await run.run(events, draw)
                finally:
                    await run.close()
            fan.said = ""
            if so_far.finish_reason == "failed":
                fan.said = f"The judge failed: {so_far.error.replace(chr(10), ' ')}"
            elif so_far.finish_reason != "cancelled":
                verdict = read_verdict(so_far.text, len(replies))
                fan.best = replies[verdict.best].id
                number = fan.turns.index(fan.best) + 1
                fan.said = f"★ {number} is the best. {verdict.reason}"
        except QueryError as error:
            fan.said = f"{error.title}. {error.message}"
        finally:
            self._screen.answering.end(conversation, VERDICT)
            run.ended.set()
        if conversation is self._screen.conversation:
            self._screen.conversation_view.show_figures()  # those of the verdict are not the conversation's
            if self._choosing.fan is fan:
                await self._choosing.judged()

    async def merge(self) -> None:
        """Have the candidates merged into one more."""
        from spnl_tui.chat.request import Variation
        from spnl_tui.queries.chat import query_to_messages
        from spnl_tui.queries.judging import merge_query

        prompt, replies = await self._weighed()
        conversation = self._screen.conversation
        query = merge_query(
            self._model().name,
            prompt.text,
            [reply.text for reply in replies],
            system=conversation.system_prompt,
        )
        _, messages = query_to_messages(query)
        sampling = replace(conversation.sampling, seed=None)
        await self._choosing.ask_one_more("merged", Variation(messages=messages, sampling=sampling))

    async def _weighed(self) -> tuple[Turn, list[Turn]]:
        """The prompt, and the candidates that have a text. Replies beside each other are shown so first."""
        if self._choosing.fan is None:
            await self._choosing.side_by_side()
        fan, conversation = self._choosing.fan, self._screen.conversation
        if fan is None:
            raise gone()
        replies = [conversation[turn_id] for turn_id in fan.turns if conversation[turn_id].text.strip()]
        if len(replies) < 2:
            raise CommandError("Too few candidates", "There must be two that have come to a text.")
        parent = replies[0].parent
        assert parent is not None
        return conversation[parent], replies

    def _model(self) -> ModelHandle:
        model = self._screen.current_model.model
        assert model is not None
        return model
