"""System prompt and sampling of the visible conversation: by persona, edited, or saved as one."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from spnl_tui.chat.events import SessionShown
from spnl_tui.settings import Persona, Settings
from spnl_tui.text import plain
from spnl_tui.ui.services import InterfaceServices
from spnl_tui.ui.widgets.background import start

if TYPE_CHECKING:
    from textual.screen import Screen

    from spnl_tui.chat.events import SessionEvent
    from spnl_tui.chat.model import CurrentModel
    from spnl_tui.chat.recording import ReportingStore
    from spnl_tui.chat.session import ChatSession
    from spnl_tui.chat.sessions import Sessions
    from spnl_tui.chat.status import Status
    from spnl_tui.conversations.conversation import Conversation


class PersonaController:
    """Changes system prompt and sampling from the next turn on."""

    def __init__(
        self,
        screen: Screen[Any],
        sessions: Sessions,
        store: ReportingStore,
        model: CurrentModel,
        services: InterfaceServices,
        settings: Settings,
        status: Status,
    ) -> None:
        self._screen = screen
        self._sessions = sessions
        self._store = store
        self._model = model
        self._services = services
        self._settings = settings
        self._known = dict(settings.personas)
        self._status = status
        sessions.subscribe(self._on_event)

    async def _on_event(self, session: ChatSession, event: SessionEvent) -> None:
        if isinstance(event, SessionShown):
            self._show_status(session.conversation)

    def _show_status(self, conversation: Conversation) -> None:
        self._status.system_prompt_set(bool(conversation.system_prompt.strip()))

    async def edit(self) -> None:
        """Show the editor, and apply what the user chooses.

        Raises:
            SpnlError: the persona's model is no model, or the store cannot be written.
        """
        from spnl_tui.ui.conversations.persona_screen import PersonaScreen

        conversation = self._sessions.visible.conversation
        now = Persona(system_prompt=conversation.system_prompt, sampling=conversation.sampling)
        keep = None if self._services.keep_persona is None else self._keep
        editor = PersonaScreen(self._known, now, keep, name=self._name_of(now))
        chosen = await self._screen.app.push_screen_wait(editor)
        if chosen is None:
            return
        conversation.system_prompt = chosen.system_prompt or ""
        conversation.sampling = chosen.sampling
        await self._save(conversation, "Persona and sampling changed")
        if chosen.model is not None:
            model = await self._services.find_model(chosen.model)
            if model is None:
                self._screen.notify(
                    f"{plain(chosen.model)} is not on this machine. The model stays.", markup=False
                )
            elif model != self._model.model:
                start(self._screen, "model", self._model.use, model)

    async def set_system_prompt(self, text: str) -> None:
        """Set the system prompt of the visible conversation; empty: let the user edit it.

        Raises:
            StoreError: the store cannot be written.
        """
        if not text:
            await self.edit()
            return
        conversation = self._sessions.visible.conversation
        conversation.system_prompt = text
        await self._save(conversation, "System prompt changed")

    async def set_value(self, name: str, value: str) -> None:
        """Set one value of the visible conversation's sampling, as typed.

        Raises:
            CommandError: there is no such value, or it cannot be this.
            StoreError: the store cannot be written.
        """
        from spnl_tui.conversations.sampling_values import with_value

        conversation = self._sessions.visible.conversation
        conversation.sampling = with_value(conversation.sampling, name, value)
        new = getattr(conversation.sampling, name)
        await self._save(conversation, f"{name}: {'not set' if new is None else new}")

    async def _save(self, conversation: Conversation, title: str) -> None:
        self._show_status(self._sessions.visible.conversation)
        store = await self._store.open()
        if store is not None and len(conversation):
            await store.save_persona(conversation)
        text = "In this conversation, from the next turn on."
        self._screen.notify(text, title=title, markup=False, timeout=3)

    def _name_of(self, now: Persona) -> str | None:
        """Return the persona that the conversation matches, preferring the one the program started with.

        Other personas with a model never match, because choosing one chooses the model.
        """
        settings = self._settings
        begun = Persona(system_prompt=settings.chat.system_prompt, sampling=settings.sampling)
        if settings.persona is not None and now == begun:
            return settings.persona
        alike = (
            name
            for name, persona in sorted(self._known.items())
            if persona.model is None
            and (persona.system_prompt or "", persona.sampling) == (now.system_prompt, now.sampling)
        )
        return next(alike, None)

    async def _keep(self, name: str, persona: Persona) -> None:
        assert self._services.keep_persona is not None
        before = self._known.get(name)
        if before is not None:
            persona = replace(persona, description=before.description)
        await asyncio.to_thread(self._services.keep_persona, name, persona)
        self._known[name] = persona
