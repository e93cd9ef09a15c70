"""The main screen: it constructs the controllers and passes Textual's messages to them."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from textual import events, on, work
from textual.app import ComposeResult
from textual.reactive import reactive
from textual.screen import Screen
from textual.widgets import ContentSwitcher, TextArea

from spnl_tui.chat.draft import BranchTokens, DraftPrefetch, DraftTokens
from spnl_tui.chat.model import CurrentModel
from spnl_tui.chat.recording import ReportingStore
from spnl_tui.chat.services import ChatServices, TokenMeters
from spnl_tui.chat.sessions import Sessions
from spnl_tui.chat.status import Activity, Status
from spnl_tui.chat.titles import TitleWriter
from spnl_tui.conversations.conversation import Conversation
from spnl_tui.settings import Settings
from spnl_tui.ui import messages
from spnl_tui.ui.chat import markdown_stream
from spnl_tui.ui.chat.candidate_list import Candidate
from spnl_tui.ui.chat.candidates import CandidatesController
from spnl_tui.ui.chat.controller import ChatController, blank_conversation
from spnl_tui.ui.chat.conversation_view import ConversationView
from spnl_tui.ui.chat.copying import CopyController
from spnl_tui.ui.chat.find_controller import FindController
from spnl_tui.ui.chat.input.controller import PromptController, as_typed
from spnl_tui.ui.chat.input.draft_controller import DraftController
from spnl_tui.ui.chat.input.file_completer import FileCompleter
from spnl_tui.ui.chat.last_reply import LastReplyController
from spnl_tui.ui.chat.model_controller import ModelController
from spnl_tui.ui.chat.pane import ChatPane
from spnl_tui.ui.chat.turns_controller import TurnsController
from spnl_tui.ui.commands.context import CommandContext, Program
from spnl_tui.ui.commands.registry import CommandRegistry, KeyNames
from spnl_tui.ui.commands.running import CommandRunner
from spnl_tui.ui.commands.slash import CommandCompleter
from spnl_tui.ui.conversations.controller import ConversationsController
from spnl_tui.ui.conversations.export_controller import ExportController
from spnl_tui.ui.conversations.list import ConversationList
from spnl_tui.ui.conversations.persona_controller import PersonaController
from spnl_tui.ui.models.lazy_pane import LazyModelsPane
from spnl_tui.ui.models.switcher import ModelSwitcher
from spnl_tui.ui.panes import PaneSwitcher
from spnl_tui.ui.pulls.captions import summary
from spnl_tui.ui.pulls.controller import PullsController
from spnl_tui.ui.pulls.pane import DownloadsPane
from spnl_tui.ui.services import InterfaceServices
from spnl_tui.ui.textual_patches.compositor import CarefulCompositor
from spnl_tui.ui.widgets.background import ScreenBackground, restart, start
from spnl_tui.ui.widgets.key_line import KeyLine
from spnl_tui.ui.widgets.notice import Notice
from spnl_tui.ui.widgets.scope import bind_keys
from spnl_tui.ui.widgets.status_line import StatusLine
from spnl_tui.ui.widgets.toasts import tell
from spnl_tui.ui.widgets.top_line import TopLine

if TYPE_CHECKING:
    from spnl_tui.hub.pulls.queued_pull import QueuedPull

_WIDE = 110
"""The width in cells from which the list of conversations is beside the chat."""


class MainScreen(Screen[None]):
    """Shows one pane at a time: chat, models or pulls."""

    AUTO_FOCUS = "Prompt"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (_WIDE, "-wide")]

    queued_pulls: reactive[tuple[QueuedPull, ...]] = reactive((), repaint=False)

    def __init__(
        self, services: InterfaceServices, settings: Settings, registry: CommandRegistry, program: Program
    ) -> None:
        """`program` has the actions of commands on the whole program."""
        # Set the class that Textual derives from the width now; setting it later would style everything
        # twice.
        super().__init__(classes="-wide" if self.app.size.width >= _WIDE else "-narrow")
        self._compositor = CarefulCompositor()
        self._services = services
        self._registry = registry
        self.key = KeyNames(self.app, registry)
        """Returns the key of a command, for sentences such as "Press F7 to see progress."."""
        self.notice = Notice(self)
        self.chat = ChatPane(settings.chat, services.now, id="chat")
        self.pulls = DownloadsPane(id="pulls")
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
        shared = ChatServices(
            engine=services.engine,
            model=self.current_model,
            meters=TokenMeters(services.engine),
            status=self.status,
            store=self.store,
            settings=settings,
            background=ScreenBackground(self),
            clock=services.clock,
            may_leave_out=lambda conversation, count: self.chat_controller.may_leave_out(conversation, count),
        )
        self.sessions = Sessions(shared, blank_conversation(settings))
        self.prompts = PromptController(self, chat.prompt, self.sessions, self.current_model)
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
        self.exports = ExportController(self, self.sessions)
        self.personas = PersonaController(
            self, self.sessions, self.store, self.current_model, services, settings
        )
        self.conversations = ConversationsController(
            self, chat, self.sessions, self.store, now=services.now, key_name=self.key
        )
        self.turns = TurnsController(
            self,
            chat,
            self.sessions,
            self.current_model,
            self.store,
            as_typed=self.prompts.as_typed,
            show=self.chat_controller.show,
            push_undo=self.conversations.push_undo,
            explain=self.notice.show,
        )
        self.last_reply = LastReplyController(self.sessions, view, chat.transcript)
        self.finder = FindController(chat, self.sessions, self._registry.bindings("find"))
        self.copier = CopyController(self, self.sessions, services.set_clipboard)
        self.candidates = CandidatesController(self, self.sessions, shared, find_model=services.find_model)
        self.model_controller = ModelController(
            self,
            chat.welcome,
            self.current_model,
            self.sessions,
            self.prompts,
            context_known=lambda: self._prefetch.update(),
            key_name=self.key,
        )
        self.titles = TitleWriter(self.sessions, shared) if settings.chat.automatic_titles else None
        self.drafts = DraftController(chat.prompt, self.sessions, services.drafts, self.prompts.as_typed)

        def typed() -> bool:
            return bool(chat.prompt.text)

        self._draft_tokens = DraftTokens(self.sessions, shared, self.prompts.unsent, typed)
        self._prefetch = DraftPrefetch(self.sessions, shared, self.prompts.unsent, typed)
        BranchTokens(self.sessions, shared)
        chat.transcript.count_texts = self._draft_tokens.count_texts
        chat.transcript.place = self.turns.place

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
            self, settings, services.pull_queue, self._show_pulls, self.key
        )

    def _connect_commands(self, program: Program) -> None:
        """Create the command runner and bind the keys."""
        registry, context = self._registry, self._command_context(program)
        self.commands = CommandRunner(self, registry, self.key, context, self.notice)
        bind_keys(self, registry.bindings("screen"))
        bind_keys(self.chat.prompt, registry.bindings("prompt"))
        bind_keys(self.chat.conversation_list, registry.bindings("talks"))
        bind_keys(self.pulls, registry.bindings("pulls"))
        self.chat.prompt.read_command = registry.read
        self.chat.prompt.completers = (
            CommandCompleter(registry, self.commands.is_available),
            FileCompleter(self, self.chat.prompt.look_again),
        )

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
            turns=self.turns,
            candidates=self.candidates,
            conversations=self.conversations,
            exports=self.exports,
            personas=self.personas,
            find=self.finder,
            clipboard=self.copier,
            pulls=self.pulls_controller,
            pulls_pane=self.pulls,
            choose_model=self.switcher.choose,
            find_model=self._services.find_model,
            switch_model=self.switcher.switch,
        )

    def compose(self) -> ComposeResult:
        yield TopLine(partial(summary, go_on_key=self.key("pulls.go_on"))).data_bind(MainScreen.queued_pulls)
        with ContentSwitcher(initial="chat", id="body"):
            yield self.chat
            yield self.pulls.data_bind(MainScreen.queued_pulls)
        yield StatusLine(self.status, self._services.clock)
        yield KeyLine()

    def on_mount(self) -> None:
        """After the first paint, look for a model and for pulls to resume."""
        self.call_after_refresh(start, self, "model", self.current_model.find)
        self.call_after_refresh(self._open_store)
        self.call_after_refresh(start, self, "pulls", self.pulls_controller.follow)
        self.lazy_models.make_ahead_soon()
        self.set_interval(10, self.current_model.check_loaded)

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
        if left_over:
            self.refresh_bindings()

    @on(messages.PullEnded)
    def _pull_ended(self) -> None:
        if self.panes.models is not None:
            self.panes.models.library_changed()

    @on(messages.PullRequested)
    @on(messages.PullChangeRequested)
    @on(messages.PullUndoRequested)
    def _pull_wished(self, message: messages.PullWish) -> None:
        message.stop()
        self.pulls_controller.grant(message)

    @work(group="store")
    async def _open_store(self) -> None:
        """Open the store of conversations, show its warning if it has one, and load earlier prompts."""
        past = [as_typed(text) for text in await self.store.prompts()]
        self.chat.prompt.past.put_before(past)
        if self._services.resume is not None:
            self.post_message(messages.ConversationRequested(self._services.resume))
        if (opened := self._services.opened) is not None:
            await self.chat_controller.show(opened.conversation)
            self.chat.prompt.give_back(self.prompts.as_typed(opened.prompt))
        await self.drafts.restore(past)
        await asyncio.to_thread(markdown_stream.prepare)  # before the first reply or conversation is shown

    # ── models, prompts and replies ──────────────────────────────────────────────────────────────

    @on(messages.ModelChosen)
    def _model_chosen(self, message: messages.ModelChosen) -> None:
        message.stop()
        handle = self._services.to_handle(message.model)
        self.switcher.switch(replace(handle, wanted_context=message.context))

    @on(messages.PromptSubmitted)
    async def _prompt_submitted(self, message: messages.PromptSubmitted) -> None:
        message.stop()
        await self.candidates.close()
        if message.text:
            await self.prompts.submit(message.text)
        if self.current_model.model is None:
            start(self, "model", self.model_controller.prompted)

    @on(messages.CommandSubmitted)
    async def _command_submitted(self, message: messages.CommandSubmitted) -> None:
        message.stop()
        await self.commands.run_typed(message)

    @on(messages.ReplyEnded)
    def _reply_ended(self, message: messages.ReplyEnded) -> None:
        self.chat_controller.reply_ended(message)
        start(self, "count", self.chat.transcript.count_files)
        self._prefetch.update()
        restart(self, "talks", self.conversations.refresh)

    @on(TextArea.Changed, "Prompt")
    def _prompt_changed(self) -> None:
        if self.titles is not None:
            self.titles.cancel()
        self._draft_tokens.update()
        self._prefetch.update()
        restart(self, "draft", self.drafts.save_soon)

    # ── conversations ────────────────────────────────────────────────────────────────────────────

    @on(messages.ConversationRequested)
    async def _conversation_requested(self, message: messages.ConversationRequested) -> None:
        message.stop()
        await self.chat_controller.open(message.id, message.turn)

    @on(messages.NewConversationRequested)
    async def _new_conversation_requested(self) -> None:
        await self.chat_controller.begin_anew()

    @on(ConversationList.FilterChanged)
    def _conversations_filtered(self, message: ConversationList.FilterChanged) -> None:
        message.stop()
        restart(self, "talks", self.conversations.refresh)

    @on(messages.PromptRejected)
    def _prompt_rejected(self, message: messages.PromptRejected) -> None:
        message.stop()
        start(self, "turn", self.turns.edit_prompt_of, message.reply)

    @on(ConversationList.PastedForPrompt)
    def _pasted_in_list(self, message: ConversationList.PastedForPrompt) -> None:
        message.stop()
        self.chat.prompt.focus()
        self.chat.prompt.post_message(message.paste)

    @on(ConversationList.MoreWanted)
    async def _more_conversations(self, message: ConversationList.MoreWanted) -> None:
        message.stop()
        await self.conversations.more()

    @on(messages.CandidateMoveRequested)
    async def _candidate_move_requested(self, message: messages.CandidateMoveRequested) -> None:
        message.stop()
        await self.candidates.move(message.by)

    @on(Candidate.Clicked)
    async def _candidate_clicked(self, message: Candidate.Clicked) -> None:
        message.stop()
        await self.candidates.highlight(message.turn_id)

    @on(messages.FindChanged)
    def _find_changed(self) -> None:
        restart(self, "find", self.finder.look)

    @on(messages.FindEarlierRequested)
    def _find_earlier_requested(self) -> None:
        restart(self, "find", partial(self.finder.step, -1))

    @on(messages.FollowRequested)
    def _follow_requested(self) -> None:
        self.chat.transcript.follow()

    def on_key(self, event: events.Key) -> None:
        """Show why a key that neither a widget nor a binding handled did nothing."""
        if event.key not in self.active_bindings:
            self.commands.explain_key(event.key)

    @on(messages.KeyInVain)
    def _key_in_vain(self, message: messages.KeyInVain) -> None:
        message.stop()
        self.commands.explain_key(message.key)
