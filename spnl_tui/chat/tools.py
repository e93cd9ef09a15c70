"""The tools of each conversation, what the user has allowed, and what the user is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from spnl_tui.chat.events import QuestionAnswered, QuestionAsked, SessionEvent
from spnl_tui.errors import SettingsError

if TYPE_CHECKING:
    from spnl_tui.engine.backend import Backend
    from spnl_tui.errors import SpnlError
    from spnl_tui.models.tools import Tool
    from spnl_tui.settings import Settings
    from spnl_tui.tools.agent import Agent, Answer, Ask, Question
    from spnl_tui.tools.mcp.servers import McpServers
    from spnl_tui.tools.permissions import Permissions, Rule
    from spnl_tui.tools.tool import BoundTool
    from spnl_tui.tools.toolbox import Toolbox, ToolSource


SaveRules: TypeAlias = Callable[[str, Sequence[str]], None]
"""Writes a list of rules under the name of its setting. May raise SpnlError."""


class ConversationTools:
    """Knows which tools each conversation has. A new one has those of the settings, or of its persona."""

    def __init__(
        self,
        settings: Settings,
        engine: Backend,
        report: Callable[[SpnlError], None],
        save_rules: SaveRules | None = None,
        servers: Callable[[], McpServers] | None = None,
    ) -> None:
        """`save_rules` writes the list "tools.allow" or "tools.deny" to the configuration. `servers` returns
        the MCP servers, constructed on the first call.
        """
        self._report = report
        self._servers = servers
        self._configured = frozenset(settings.mcp) if servers is not None else frozenset()
        self._settings = settings.tools
        self._engine = engine
        self._save_rules = save_rules
        self._groups: dict[str, tuple[str, ...]] = {}
        self._permissions: dict[str, Permissions] = {}

    @cached_property
    def _always(self) -> Permissions:
        """The rules of the settings. Read on first use, because the start does not need them."""
        from spnl_tui.tools.permissions import Permissions

        return Permissions(self._settings.allow, self._settings.deny)

    @property
    def workspace(self) -> Path:
        """The folder of file tools and commands."""
        return self._settings.workspace or Path.cwd()

    def groups(self, conversation: str) -> tuple[str, ...]:
        """Return the names of the tools that the conversation with this id has."""
        return self._groups.get(conversation, self._settings.enabled)

    def choose(self, conversation: str, groups: Sequence[str]) -> None:
        """Give the conversation these tools instead.

        Raises:
            SettingsError: there are no such tools.
        """
        chosen = tuple(dict.fromkeys(groups))
        self._built_in(chosen)
        if self._servers is not None and (names := self._chosen_servers(chosen)):
            self._servers().forget_failures(names)
        self._groups[conversation] = chosen

    def permissions(self, conversation: str) -> Permissions:
        """Return the rules that apply to the conversation."""
        if conversation not in self._permissions:
            self._permissions[conversation] = self._always.for_conversation()
        return self._permissions[conversation]

    def allow_always(self, rule: Rule) -> None:
        """Allow such calls from now on, in every conversation.

        Raises:
            SettingsError: the configuration cannot be written. The rule holds until the program ends.
        """
        if rule not in self._always.allow:
            self._always.allow.append(rule)
        self._save()

    def revoke(self, conversation: str, rule: Rule) -> None:
        """Remove a rule, wherever it is.

        Raises:
            SettingsError: the configuration cannot be written.
        """
        saved = rule in self._always.allow or rule in self._always.deny
        self.permissions(conversation).revoke(rule)
        if saved:
            self._save()

    def offered(self, conversation: str) -> tuple[Tool, ...]:
        """Return the tools that the model is offered, as far as they are known before a reply."""
        try:
            toolbox = self._toolbox(conversation)
        except SettingsError:  # the reply reports it
            return ()
        return () if toolbox is None else toolbox.tools

    def agent(self, conversation: str, ask: Ask) -> Agent | None:
        """Return the agent that answers for the conversation; None if it has no tools.

        Tools that do not exist are reported, and the conversation then has none.
        """
        try:
            toolbox = self._toolbox(conversation)
        except SettingsError as error:
            self._report(error)
            return None
        if toolbox is None:
            return None
        from spnl_tui.tools.agent import Agent

        return Agent(
            self._engine,
            toolbox,
            self.permissions(conversation),
            ask,
            max_rounds=self._settings.max_rounds,
            report=self._report,
        )

    def _toolbox(self, conversation: str) -> Toolbox | None:
        if not (groups := self.groups(conversation)):
            return None
        from spnl_tui.tools.toolbox import Toolbox

        source: ToolSource | None = None
        if self._servers is not None and (names := self._chosen_servers(groups)):
            from spnl_tui.tools.mcp.servers import ChosenServers

            source = ChosenServers(self._servers(), names)
        return Toolbox(self._built_in(groups), source)

    def servers(self) -> dict[str, str]:
        """Return the state of each MCP server, in words, by its name."""
        if self._servers is None or not self._server_names:
            return {}
        found = [self._servers()[name] for name in sorted(self._server_names)]
        return {each.name: f"{each.state}: {each.message}" if each.message else each.state for each in found}

    @cached_property
    def _server_names(self) -> frozenset[str]:
        """The servers of the settings; a group of built-in tools keeps its name."""
        from spnl_tui.tools.toolbox import GROUPS

        return self._configured - GROUPS.keys()

    def _chosen_servers(self, groups: Sequence[str]) -> list[str]:
        return [name for name in groups if name in self._server_names]

    def _built_in(self, groups: Sequence[str]) -> Sequence[BoundTool]:
        from spnl_tui.tools.toolbox import built_in_tools

        names = [name for name in groups if name not in self._server_names]
        private = self._settings.private_addresses
        return built_in_tools(names, self.workspace, private_addresses=private)

    def _save(self) -> None:
        if self._save_rules is not None:
            self._save_rules("tools.allow", [str(rule) for rule in self._always.allow])
            self._save_rules("tools.deny", [str(rule) for rule in self._always.deny])


class Questions:
    """Owns the open question of one conversation. The agent asks one at a time."""

    def __init__(self, emit: Callable[[SessionEvent], Awaitable[None]]) -> None:
        self._emit = emit
        self._open: tuple[Question, asyncio.Future[Answer]] | None = None

    @property
    def current(self) -> Question | None:
        """The question that waits for the user, or None."""
        return None if self._open is None else self._open[0]

    async def ask(self, question: Question) -> Answer:
        """Return the user's answer. Cancelling this withdraws the question."""
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._open = (question, answer)
        try:
            await self._emit(QuestionAsked(question))
            return await answer
        finally:
            self._open = None
            await self._emit(QuestionAnswered(question))

    def answer(self, question: Question, answer: Answer) -> None:
        """Answer the question, unless it was withdrawn or answered before."""
        if self._open is not None and self._open[0] is question and not self._open[1].done():
            self._open[1].set_result(answer)
