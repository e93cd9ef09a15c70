"""Shows the question of the visible conversation, and passes the answer on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from spnl_tui.chat import events
from spnl_tui.errors import CommandError, SettingsError
from spnl_tui.ui.widgets.toasts import tell

if TYPE_CHECKING:
    from textual.screen import Screen
    from textual.widgets import TextArea

    from spnl_tui.chat.session import ChatSession
    from spnl_tui.chat.sessions import Sessions
    from spnl_tui.chat.tools import ConversationTools
    from spnl_tui.conversations.conversation import Conversation
    from spnl_tui.tools.permissions import Rule
    from spnl_tui.ui.messages import CallAnswered
    from spnl_tui.ui.tools.question_box import QuestionBox


class ToolsController:
    """Connects the tools of conversations to the screen."""

    def __init__(
        self,
        screen: Screen[Any],
        sessions: Sessions,
        tools: ConversationTools,
        prompt: TextArea,
        make_box: Callable[[], QuestionBox],
        is_visible: Callable[[Conversation], bool],
    ) -> None:
        """`make_box` mounts the question between transcript and prompt; most sessions never need one."""
        self._screen = screen
        self._sessions = sessions
        self._tools = tools
        self._prompt = prompt
        self._make_box = make_box
        self._is_visible = is_visible
        self._box: QuestionBox | None = None
        sessions.subscribe(self._on_event)

    @property
    def asking(self) -> bool:
        """True while a question is on the screen."""
        return self._box is not None and self._box.question is not None

    async def _on_event(self, session: ChatSession, event: events.SessionEvent) -> None:
        match event:
            case events.QuestionAsked() | events.QuestionAnswered() | events.SessionShown():
                if self._is_visible(session.conversation):
                    self._show(session)
                elif isinstance(event, events.QuestionAsked):
                    title = "A conversation waits for your permission"
                    self._screen.notify(session.conversation.title, title=title, markup=False)

    def _show(self, session: ChatSession) -> None:
        question = session.questions.current
        if question is None:
            if self._box is not None:
                self._box.close()
            return
        if self._box is None:
            self._box = self._make_box()
        if self._box.question is not question:
            focused = self._screen.focused
            # Moving the focus takes a moment, so it may still be in the question before.
            free = focused is None or focused is self._prompt or self._box in focused.ancestors_with_self
            self._box.ask(question, focus=free and not self._prompt.text)
        self._screen.refresh_bindings()

    def focus(self) -> None:
        """Give the keys to the question."""
        if self._box is not None and self._box.question is not None:
            self._box.focus()

    def answered(self, message: CallAnswered) -> None:
        """Pass an answer on, and remember it if the user wants that."""
        from spnl_tui.tools.permissions import rule_for

        session, question = self._sessions.visible, message.question
        rule = rule_for(question.tool, question.effect)
        try:
            if message.keep == "always":
                self._tools.allow_always(rule)
            elif message.keep == "conversation":
                self._tools.permissions(session.conversation.id).conversation.append(rule)
        except SettingsError as error:
            tell(self._screen, error)
        session.questions.answer(question, message.answer)

    # ── commands ─────────────────────────────────────────────────────────────────────────────────

    def choose(self, argument: str) -> None:
        """Give the visible conversation these tools; if none are named, show its current ones.

        Raises:
            SettingsError: there are no such tools.
        """
        from spnl_tui.tools.toolbox import GROUPS

        id = self._sessions.visible.conversation.id
        names = [name for name in argument.replace(",", " ").split() if name]
        if names:
            self._tools.choose(id, [] if names in (["none"], ["off"]) else names)
        chosen = self._tools.groups(id)
        known = ", ".join([*GROUPS, *self._tools.servers()])
        states = [f"{name}: {state}" for name, state in self._tools.servers().items() if name in chosen]
        if chosen:
            text = f"{', '.join(chosen)}, in {self._tools.workspace}. /tools none turns them off."
        else:
            text = f"None. /tools {next(iter(GROUPS))} turns some on; there are {known}."
        text = "\n".join([text, *states])
        self._screen.notify(text, title="Tools of this conversation", markup=False)

    def rules(self) -> Sequence[tuple[str, Rule]]:
        """Return the rules that apply to the visible conversation, with the kind of each."""
        permissions = self._tools.permissions(self._sessions.visible.conversation.id)
        return [
            *(("always denied", rule) for rule in permissions.deny),
            *(("always allowed", rule) for rule in permissions.allow),
            *(("allowed in this conversation", rule) for rule in permissions.conversation),
        ]

    async def permissions(self) -> None:
        """Show the rules, and revoke those that the user chooses.

        Raises:
            CommandError: there are none.
            SettingsError: the configuration cannot be written.
        """
        from spnl_tui.ui.tools.permissions_screen import PermissionsScreen

        if not self.rules():
            why = "Every call is asked about."
            raise CommandError("There are no permissions", why, "Press a in a question to allow such calls.")
        while rules := self.rules():
            chosen = await self._screen.app.push_screen_wait(PermissionsScreen(rules))
            if chosen is None:
                return
            self._tools.revoke(self._sessions.visible.conversation.id, rules[chosen][1])
