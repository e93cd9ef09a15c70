"""What is being typed is read by the model meanwhile: sent, it is answered the sooner.

That pays where much is new to the model: a conversation of another day, a long prompt, a page that was
pasted.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from spnl_tui.chat.tokens import TokenMeters
from spnl_tui.models.parts import as_content
from spnl_tui.models.request import Message
from spnl_tui.ui.services import Services
from spnl_tui.ui.widgets.background import restart

if TYPE_CHECKING:
    from spnl_tui.engine.backend import ModelHandle
    from spnl_tui.engine.prefetch import Prefetch
    from spnl_tui.settings import Settings
    from spnl_tui.ui.main_screen import MainScreen

_REST_S = 0.7
"""So long after the last key what is typed is read."""
_TEMPLATE_TOKENS = 24
"""At least what a chat template adds to a prompt."""


class ReadingAhead:
    """Has the model read the conversation that is seen, and what is being typed in it."""

    def __init__(
        self, screen: MainScreen, meters: TokenMeters, services: Services, settings: Settings
    ) -> None:
        self._screen = screen
        self._meters = meters
        self._services = services
        self._settings = settings
        self._reading: Prefetch | None = None
        self._model: ModelHandle | None = None
        """Which reads."""

    def look(self) -> None:
        """Something has changed of what will be sent, or of whether there is time to read it."""
        if self._settings.chat.read_ahead and (self._reading is not None or self._screen.chat.prompt.text):
            restart(self._screen, "ahead", self._look)

    async def _look(self) -> None:
        from spnl_tui.engine.prefetch import Prefetch

        await asyncio.sleep(_REST_S)
        model = self._screen.current_model.model
        messages = await self._messages(model) if model is not None else ()
        if (reading := self._reading) is not None:
            if model != self._model or not reading.serves(messages):
                reading.stop()
            await self._end(reading)
        if model is not None and messages:
            sampling = self._screen.conversation.sampling
            reading = self._reading = Prefetch(messages, sampling, self._progressed)
            self._model = model
            self._services.engine.prefetch(model, reading)
            await self._end(reading)

    async def _messages(self, model: ModelHandle) -> tuple[Message, ...]:
        """What will be sent, but for the word that is being typed; empty: nothing, as far as is known."""
        from spnl_tui.conversations.context import Budget, request_messages
        from spnl_tui.conversations.turn import Turn
        from spnl_tui.engine.backend import loaded_model

        screen, conversation = self._screen, self._screen.conversation
        typed = await screen.prompts.unsent()
        path = screen.turns.answered
        if not typed or path is None or screen.live.seen.busy or screen.live.seen.queued:
            return ()
        engine, meter = self._services.engine, self._meters.of(model)
        if engine.idle_unloaded(model):
            screen.current_model.load_again()  # then this looks again
            return ()
        loaded = loaded_model(engine, model)
        length = None if loaded is None else loaded.context_length
        tokens = await meter.count_unsent(typed)
        if length is None or tokens is None:
            return ()
        budget = Budget(length - tokens - _TEMPLATE_TOKENS, conversation.sampling.max_tokens)
        plan = await meter.plan(
            path, budget, system_prompt=conversation.system_prompt, policy=self._settings.context.policy
        )
        if plan is None or plan.action != "send" or plan.left_out:
            return ()
        prompt = Turn(id="", parent=None, role="user", content=as_content(_without_last_word(typed)))
        return request_messages(conversation.system_prompt, (*plan.sent, prompt))

    def _progressed(self, done: int, total: int) -> None:
        wanted = self._reading is not None and not self._reading.stopped.is_set()
        if wanted and not self._screen.replying:
            self._screen.status.prefetch_progressed(done, total)

    async def _end(self, reading: Prefetch) -> None:
        await reading.ended.wait()
        self._reading = None
        self._screen.status.prefetch_ended()


def _without_last_word(text: str) -> str:
    """The text without its last word, of which more may be typed: tokens rarely go beyond a word."""
    text = text.rstrip()
    return text[: max(text.rfind(each) for each in " \n\t") + 1].rstrip()
