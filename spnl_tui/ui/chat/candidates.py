"""Several replies to one prompt: requesting them, comparing them and choosing one."""

from __future__ import annotations

import asyncio
import re
import shlex
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from spnl_tui.chat.judge import Judge
from spnl_tui.conversations.conversation import Conversation
from spnl_tui.errors import CommandError, ModelMissingError
from spnl_tui.settings.schema import MOST_CANDIDATES as MOST
from spnl_tui.text import plain
from spnl_tui.ui.widgets.toasts import warn

if TYPE_CHECKING:
    from textual.screen import Screen

    from spnl_tui.chat.candidate_set import CandidateSet
    from spnl_tui.chat.services import ChatServices
    from spnl_tui.chat.session import ChatSession
    from spnl_tui.chat.sessions import Sessions
    from spnl_tui.conversations.turn import Turn
    from spnl_tui.engine.backend import ModelHandle

_COUNT = re.compile(r"(\d+)(?:\s+(.*))?", re.DOTALL)
_ASIDE = re.compile(r"(?:^|\s)--(?:\s|$)|\n")
"""Separates the models of a comparison from its prompt."""


class CandidatesController:
    """Asks for candidates in the visible session, and lets the user choose one."""

    def __init__(
        self,
        screen: Screen[Any],
        sessions: Sessions,
        services: ChatServices,
        *,
        find_model: Callable[[str], Awaitable[ModelHandle | None]],
    ) -> None:
        """`find_model` returns the model of a reference; None if it must be pulled first."""
        self._screen = screen
        self._sessions = sessions
        self._services = services
        self._find_model = find_model
        self._judge = Judge(services)
        self._criteria = services.settings.chat.judge_criteria

    @property
    def shown(self) -> CandidateSet | None:
        """The candidates on the screen."""
        return self._session.candidates.open

    # ── asking ───────────────────────────────────────────────────────────────────────────────────

    async def many(self, argument: str = "", *, conversation: Conversation | None = None) -> None:
        """Ask for several replies: "4 Write a tagline", or "4" for the last prompt."""
        from spnl_tui.chat.shared_request import SharedRequest, Variation

        session = self._session if conversation is None else self._sessions.of(conversation)
        match = _COUNT.fullmatch(argument)
        count, text = (
            (int(match[1]), match[2] or "") if match else (self._services.settings.chat.candidates, argument)
        )
        if not 2 <= count <= MOST:
            raise CommandError("Invalid number of candidates", f"Ask for 2 to {MOST}, not {count}.")
        model, sampling = self._model(), session.conversation.sampling
        if sampling.temperature == 0:
            warn(self._screen, "At temperature 0, all candidates will be the same.")
        if sampling.seed is None:
            shared = SharedRequest(self._services.engine, count)
            variations = [Variation(model=model, shared=shared, candidate=each) for each in range(count)]
        else:
            # Requests with the same seed would get the same reply.
            samplings = [replace(sampling, seed=sampling.seed + number) for number in range(count)]
            one_by_one = asyncio.Lock()
            variations = [Variation(model=model, sampling=each, turns=one_by_one) for each in samplings]
        await session.ask_candidates(text, variations)

    async def compare(self, argument: str = "", *, conversation: Conversation | None = None) -> None:
        """Ask several models: "MODEL… -- PROMPT", or without a prompt for the last one.

        One model alone is compared with the one in use.
        """
        from spnl_tui.chat.shared_request import Variation
        from spnl_tui.ui.dialogs.text_screen import TextScreen

        if not argument:
            ask = TextScreen("Models to compare", shlex.quote(self._model().name) + " ")
            answer = await self._screen.app.push_screen_wait(ask)
            argument = answer or ""
        before, *after = _ASIDE.split(argument, maxsplit=1)
        try:
            names = shlex.split(before)
        except ValueError as error:
            raise CommandError(
                "Cannot read the models", f"{before}: {error}.", "Put quotes around a path with spaces."
            ) from error
        if not names:
            if argument:
                raise CommandError("No model given", "Name at least one model before the prompt.")
            return
        session = self._session if conversation is None else self._sessions.of(conversation)
        with session.accepting():
            models = [await self._find(name) for name in names]
            if len(models) == 1:
                models.insert(0, self._model())
            if len(models) > MOST:
                raise CommandError("Too many models", f"You can compare {MOST} at once, not {len(models)}.")
            # A model may need the memory of the one before it.
            one_by_one = asyncio.Lock()
            variations = [Variation(model=model, turns=one_by_one) for model in models]
            several = len(set(models)) > 1
            labels = [plain(model.name).rpartition("/")[2] if several else "" for model in models]
            text = "".join(after).strip()
            await session.ask_candidates(text, variations, labels)

    async def _find(self, name: str) -> ModelHandle:
        if (model := await self._find_model(name)) is None:
            raise ModelMissingError(name)
        return model

    # ── choosing ─────────────────────────────────────────────────────────────────────────────────

    async def judge(self, criteria: str = "") -> None:
        """Let the model judge the candidates by these criteria, or by those that the user types."""
        from spnl_tui.ui.dialogs.text_screen import TextScreen

        session = self._session
        await self._judge.weighed(session)
        if not criteria:
            chosen = await self._screen.app.push_screen_wait(TextScreen("Judge by", self._criteria))
            if chosen is None or session.candidates.open is None:
                return
            criteria = chosen
        self._criteria = criteria
        await self._judge.judge(session, criteria)

    async def merge(self) -> None:
        """Let the model merge the candidates into another one."""
        await self._judge.merge(self._session)

    async def highlight(self, turn_id: str) -> None:
        """Highlight this candidate."""
        await self._session.candidates.highlight(turn_id)

    async def move(self, by: int) -> None:
        """Highlight the candidate before (-1) or after (1)."""
        await self._session.candidates.move(by)

    async def pick(self, argument: str = "") -> None:
        """Continue with the highlighted candidate, or with one by its number. The others stay siblings."""
        if (candidates := self.shown) is None:
            return
        if argument:
            if not argument.isdecimal() or not 1 <= int(argument) <= len(candidates.turns):
                raise CommandError(
                    "No such candidate", f"Give a number from 1 to {len(candidates.turns)}, not {argument}."
                )
            await self.highlight(candidates.turns[int(argument) - 1])
        await self.close()

    async def close(self) -> None:
        """Continue with the highlighted candidate, if there are any."""
        await self._session.candidates.close()

    def siblings(self) -> tuple[Turn, ...]:
        """Return the last reply and its siblings; nothing if the last turn is not a reply."""
        return self._session.candidates.siblings

    async def side_by_side(self) -> None:
        """Compare the last reply with its siblings."""
        await self._session.candidates.show_siblings()

    # ── helpers ──────────────────────────────────────────────────────────────────────────────────

    @property
    def _session(self) -> ChatSession:
        return self._sessions.visible

    def _model(self) -> ModelHandle:
        model = self._services.model.model
        assert model is not None
        return model
