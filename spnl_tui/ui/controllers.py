"""Constructs the controllers of the interface and hands each the narrow services that it needs."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING

from textual.reactive import reactive
from textual.screen import Screen

from spnl_tui.chat.draft import BranchTokens, DraftPrefetch, DraftTokens
from spnl_tui.chat.model import CurrentModel
from spnl_tui.chat.recording import ReportingStore
from spnl_tui.chat.services import ChatServices, TokenMeters
from spnl_tui.chat.sessions import Sessions
from spnl_tui.chat.status import Activity, Status
from spnl_tui.chat.titles import TitleWriter
from spnl_tui.chat.tools import ConversationTools
from spnl_tui.conversations.conversation import Conversation
from spnl_tui.settings import Settings
from spnl_tui.ui.chat.candidates import CandidatesController
from spnl_tui.ui.chat.controller import ChatController, blank_conversation
from spnl_tui.ui.chat.conversation_view import ConversationView
from spnl_tui.ui.chat.copying import CopyController
from spnl_tui.ui.chat.find_controller import FindController
from spnl_tui.ui.chat.input.controller import PromptController
from spnl_tui.ui.chat.input.draft_controller import DraftController
from spnl_tui.ui.chat.input.file_completer import FileCompleter
from spnl_tui.ui.chat.input.image_controller import ImageController
from spnl_tui.ui.chat.last_reply import LastReplyController
from spnl_tui.ui.chat.model_controller import ModelController
from spnl_tui.ui.chat.pane import ChatPane
from spnl_tui.ui.chat.turns_controller import TurnsController
from spnl_tui.ui.chat.welcome_controller import WelcomeController
from spnl_tui.ui.commands.context import CommandContext, Program
from spnl_tui.ui.commands.registry import CommandRegistry, KeyNames
from spnl_tui.ui.commands.running import CommandRunner
from spnl_tui.ui.commands.slash import CommandCompleter, PersonalPromptCommands
from spnl_tui.ui.conversations.controller import ConversationsController
from spnl_tui.ui.conversations.export_controller import ExportController
from spnl_tui.ui.conversations.persona_controller import PersonaController
from spnl_tui.ui.models.lazy_pane import LazyModelsPane
from spnl_tui.ui.models.serving_controller import ServingController
from spnl_tui.ui.models.switcher import ModelSwitcher
from spnl_tui.ui.panes import PaneSwitcher
from spnl_tui.ui.pulls.captions import total_share
from spnl_tui.ui.pulls.controller import PullsController
from spnl_tui.ui.pulls.pane import PullsPane
from spnl_tui.ui.services import InterfaceServices
from spnl_tui.ui.textual_patches.compositor import CarefulCompositor
from spnl_tui.ui.tools.controller import ToolsController
from spnl_tui.ui.widgets.background import ScreenBackground, restart
from spnl_tui.ui.widgets.key_text import key_pair
from spnl_tui.ui.widgets.notice import Notice
from spnl_tui.ui.widgets.scope import bind_keys
from spnl_tui.ui.widgets.terminal_progress import TerminalProgress
from spnl_tui.ui.widgets.toasts import tell
from spnl_tui.ui.widgets.top_line import TopLine
from spnl_tui.ui.widgets.undo import UndoStack

if TYPE_CHECKING:
    from spnl_tui.hub.pulls.queued_pull import QueuedPull

WIDE = 110
"""The width in cells from which the list of conversations is beside the chat."""


class ControllerScreen(Screen[None]):
    """Owns the chat sessions, the controllers and the command runner. Composes and handles nothing."""

    queued_pulls: reactive[tuple[QueuedPull, ...]] = reactive((), repaint=False)

    def __init__(
        self, services: InterfaceServices, settings: Settings, registry: CommandRegistry, program: Program
    ) -> None:
        """`program` has the actions of commands on the whole program."""
        # Set the class that Textual derives from the width now; setting it later would style everything
        # twice.
        super().__init__(classes="-wide" if self.app.size.width >= WIDE else "-narrow")
        self._compositor = CarefulCompositor()
        self._services = services
        self._registry = registry
        self.key = KeyNames(self.app, registry)
        """Returns the key of a command, for sentences such as "Press F7 to see progress."."""
        self.notice = Notice(self)
        self.terminal_progress = TerminalProgress(self.app)
        self.undo = UndoStack(self, partial(self.key, "talks.undo"))
        self.chat = ChatPane(settings.chat, services.now, services.clock, id="chat")
        self.pulls = PullsPane(id="pulls")
        self._connect_chat(settings)
        self._connect_panes(settings)
        self._connect_commands(program)

    def _connect_chat(self, settings: Settings) -> None:
        """Create the chat sessions and their controllers."""
        services, chat = self._services, self.chat
        self.status = Status(services.clock)
        self.store = ReportingStore(services.store, partial(tell, self))
        self.current_model = CurrentModel(
            services.engine,
            self.status,
            first_model=services.first_model,
            starter=services.starter,
            replying=lambda: self.replying,
        )
        tools = ConversationTools(
            settings, services.engine, partial(tell, self), services.save_rules, services.mcp
        )
        shared = ChatServices(
            engine=services.engine,
            model=self.current_model,
            meters=TokenMeters(services.engine),
            status=self.status,
            store=self.store,
            settings=settings,
            background=ScreenBackground(self),
            clock=services.clock,
            tools=tools,
            may_leave_out=lambda conversation, count: self.chat_controller.may_leave_out(conversation, count),
        )
        self.sessions = Sessions(shared, blank_conversation(settings))
        self.images = ImageController(services.media, os.environ)
        self.prompts = PromptController(
            self,
            chat.prompt,
            self.sessions,
            self.current_model,
            services.media,
            services.models_that_see,
        )
        view = ConversationView(chat, self.status, show_title=self._show_title, key_name=self.key)
        self.chat_controller = ChatController(
            self,
            chat,
            view,
            self.sessions,
            self.current_model,
            self.status,
            settings,
            self.prompts,
            load=lambda id: self.conversations.load(id),
        )
        self.tools = ToolsController(
            self, self.sessions, tools, chat.prompt, chat.make_question_box, self.chat_controller.is_visible
        )
        self.exports = ExportController(self, self.sessions, services.media)
        self.personas = PersonaController(
            self, self.sessions, self.store, self.current_model, services, settings, self.status
        )
        self.conversations = ConversationsController(
            self,
            chat,
            self.sessions,
            self.store,
            is_visible=self.chat_controller.is_visible,
            settings=settings,
            now=services.now,
            undo=self.undo,
            changed=self._refresh_welcome,
        )
        self.turns = TurnsController(
            self,
            chat,
            self.sessions,
            self.current_model,
            self.store,
            as_typed=self.prompts.as_typed,
            show=self.chat_controller.show,
            is_visible=self.chat_controller.is_visible,
            undo=self.undo,
            explain=self.notice.show,
        )
        self.last_reply = LastReplyController(self.sessions, view, chat.transcript)
        self.finder = FindController(chat, self.sessions, self._registry.bindings("find"))
        self.copier = CopyController(self, self.sessions, services.set_clipboard)
        self.candidates = CandidatesController(self, self.sessions, shared, find_model=services.find_model)
        self.welcome = WelcomeController(
            self,
            chat.welcome,
            self.current_model,
            self.store,
            model_offers=services.model_offers,
            find_model=services.find_model,
            use_model=lambda model: self.switcher.switch(model),
            pull=self._pull_first,
            prompts=lambda: len(chat.prompt.past.prompts),
            now=services.now,
            key_name=self.key,
        )
        self.model_controller = ModelController(
            self,
            self.welcome,
            self.current_model,
            self.sessions,
            self.prompts,
            find_model=services.find_model,
            key_name=self.key,
        )
        self.titles = TitleWriter(self.sessions, shared) if settings.chat.automatic_titles else None
        self.drafts = DraftController(chat.prompt, self.sessions, services.drafts, self.prompts.as_typed)

        def typed() -> bool:
            return bool(chat.prompt.text)

        self._draft_tokens = DraftTokens(self.sessions, shared, self.prompts.unsent, typed)
        self._prefetch = DraftPrefetch(self.sessions, shared, self.prompts.unsent, typed)
        BranchTokens(self.sessions, shared)
        chat.transcript.preview = self.images.preview
        chat.transcript.count_texts = self._draft_tokens.count_texts
        chat.transcript.place = self.turns.place
        earlier, later = self.key("turn.earlier"), self.key("turn.later")
        chat.transcript.branch_keys = key_pair(earlier, later)

    def _connect_panes(self, settings: Settings) -> None:
        """Create the controllers of the panes."""
        services, bindings = self._services, self._registry.bindings("models")
        self.lazy_models = LazyModelsPane(self, self.status, self.sessions, services, settings, bindings)
        self.panes = PaneSwitcher(self, self.chat, self.pulls, self.lazy_models)
        self.switcher = ModelSwitcher(
            self,
            services,
            self.current_model,
            self.lazy_models,
            self._registry.bindings("loaded"),
            show_chat=partial(self.panes.show, "chat"),
            key_name=self.key,
        )
        self.pulls_controller = PullsController(
            self,
            settings,
            services.pull_queue,
            self._show_pulls,
            self.key,
            self.undo.push,
            services.interrupted_pulls,
        )

    def _connect_commands(self, program: Program) -> None:
        """Create the command runner and bind the keys."""
        registry, context = self._registry, self._command_context(program)
        self.commands = CommandRunner(self, registry, self.key, context, self.notice)
        bind_keys(self, registry.bindings("screen"))
        bind_keys(self.chat.prompt, registry.bindings("prompt"))
        bind_keys(self.chat.conversation_list, registry.bindings("talks"))
        bind_keys(self.pulls, registry.bindings("pulls"))
        self.personal_prompts = PersonalPromptCommands(self._services.prompts, registry)
        self.chat.prompt.read_command = self.personal_prompts.read
        self.chat.prompt.move_above = self.chat.welcome.move
        self.chat.prompt.undo_elsewhere = lambda: self.undo.newest
        self.chat.prompt.completers = (
            CommandCompleter(registry, self.commands.is_available, self.personal_prompts.all),
            FileCompleter(self, self.chat.prompt.look_again),
        )

    def _refresh_welcome(self) -> None:
        if self.is_mounted and self.chat.welcoming:
            restart(self, "recent", self.welcome.show_recent)

    async def _pull_first(self, reference: str) -> None:
        """Pull a model that the welcome offers. May raise SpnlError."""
        wanted = await self.lazy_models.request_pull(reference)
        self.welcome.pull_requested(reference, wanted.name)
        self.post_message(wanted)

    def _show_title(self, title: str) -> None:
        self.query_one(TopLine).title = title

    def _command_context(self, program: Program) -> CommandContext:
        return CommandContext(
            program=program,
            panes=self.panes,
            chat=self.chat,
            prompts=self.prompts,
            view=self.chat_controller,
            sessions=self.sessions,
            store=self.store,
            model=self.current_model,
            model_controller=self.model_controller,
            reply=self.last_reply,
            tools=self.tools,
            turns=self.turns,
            images=self.images,
            candidates=self.candidates,
            conversations=self.conversations,
            exports=self.exports,
            personas=self.personas,
            find=self.finder,
            clipboard=self.copier,
            pulls=self.pulls_controller,
            pulls_pane=self.pulls,
            serving=ServingController(self, self._services.server),
            undo=self.undo,
            choose_model=self.switcher.choose,
            find_model=self._services.find_model,
            switch_model=self.switcher.switch,
        )

    @property
    def conversation(self) -> Conversation:
        """The visible conversation."""
        return self.sessions.visible.conversation

    @property
    def activity(self) -> Activity:
        """The status that the status line shows."""
        return self.status.activity

    @property
    def replying(self) -> bool:
        """True while a reply is in progress in the visible conversation."""
        return self.sessions.visible.replying

    def _show_pulls(self, queued_pulls: tuple[QueuedPull, ...]) -> None:
        left_over = any(pull.left_over for pull in (*self.queued_pulls, *queued_pulls))
        self.queued_pulls = queued_pulls
        self.welcome.show_pulls(queued_pulls)
        self.terminal_progress.show(total_share(queued_pulls))
        if left_over:
            self.refresh_bindings()
