"""The one screen: it owns the state, binds it down to the panes, and does what they ask."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from textual import events, on, work
from textual.app import ComposeResult
from textual.reactive import reactive
from textual.screen import Screen
from textual.widgets import ContentSwitcher, TextArea

from spnl_tui.chat.draft_tokens import Counting
from spnl_tui.chat.model import CurrentModel
from spnl_tui.chat.prefetch import ReadingAhead
from spnl_tui.chat.queue import Sending
from spnl_tui.chat.recording import ReportingStore
from spnl_tui.chat.session import LiveConversations
from spnl_tui.chat.status import Activity, Status
from spnl_tui.chat.tokens import TokenMeters
from spnl_tui.conversations.conversation import Conversation
from spnl_tui.settings import Settings
from spnl_tui.ui import messages
from spnl_tui.ui.chat import markdown_stream
from spnl_tui.ui.chat.branching import TurnsController
from spnl_tui.ui.chat.candidate_list import Candidate
from spnl_tui.ui.chat.candidates import CandidatesController
from spnl_tui.ui.chat.controller import Answering
from spnl_tui.ui.chat.conversation_view import ConversationView
from spnl_tui.ui.chat.copying import CopyController
from spnl_tui.ui.chat.file_completer import FileCompleter
from spnl_tui.ui.chat.finding import FindController
from spnl_tui.ui.chat.last_reply import LastReplyController
from spnl_tui.ui.chat.pane import ChatPane
from spnl_tui.ui.chat.prompting import PromptController, as_typed
from spnl_tui.ui.chat.status_line import StatusLine
from spnl_tui.ui.commands.context import CommandContext, Program
from spnl_tui.ui.commands.registry import CommandRegistry, KeyNames
from spnl_tui.ui.commands.running import CommandRunner
from spnl_tui.ui.commands.slash import CommandCompleter
from spnl_tui.ui.conversations.controller import ConversationsController
from spnl_tui.ui.conversations.list import ConversationList
from spnl_tui.ui.models.lazy_pane import LazyModelsPane
from spnl_tui.ui.panes import PaneSwitcher
from spnl_tui.ui.pulls.controller import PullsController
from spnl_tui.ui.pulls.pane import DownloadsPane
from spnl_tui.ui.services import Services
from spnl_tui.ui.textual_patches.compositor import CarefulCompositor
from spnl_tui.ui.widgets.background import restart, start
from spnl_tui.ui.widgets.key_line import KeyLine
from spnl_tui.ui.widgets.notice import Notice
from spnl_tui.ui.widgets.scope import bind_keys
from spnl_tui.ui.widgets.top_line import TopLine

if TYPE_CHECKING:
    from spnl_tui.engine.backend import ModelHandle
    from spnl_tui.hub.library.scan import LibraryEntry
    from spnl_tui.hub.pulls.download import Download

_WIDE = 110
"""Columns from which the list of conversations stands beside the chat."""


class MainScreen(Screen[None]):
    """Chat and pulls; one pane is seen at a time."""

    AUTO_FOCUS = "Prompt"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (_WIDE, "-wide")]

    downloads: reactive[tuple[Download, ...]] = reactive((), repaint=False)

    def __init__(
        self, services: Services, settings: Settings, registry: CommandRegistry, program: Program
    ) -> None:
        """`program` is what commands can do with the program as a whole."""
        # The class that Textual will give it for its width: given later, it would have all styled twice.
        super().__init__(classes="-wide" if self.app.size.width >= _WIDE else "-narrow")
        self._compositor = CarefulCompositor()
        self._services = services
        self._registry = registry
        self.key = KeyNames(self.app, registry)
        """Returns the key of a command, for sentences such as "Press F7 to see progress."."""
        self.notice = Notice(self)
        self.status = Status(services.clock)
        self.store = ReportingStore(self, services.store)
        self.chat = ChatPane(settings.chat, services.now, id="chat")
        self.pulls = DownloadsPane(id="pulls")
        self.lazy_models = LazyModelsPane(self, services, settings, registry.bindings("models"))
        self.panes = PaneSwitcher(self)
        self.conversation_view = ConversationView(self, settings)
        self.conversations = ConversationsController(self, services, settings)
        self.turns = TurnsController(self)
        self.current_model = CurrentModel(self, services)
        self.live = LiveConversations(lambda: self.conversation)
        meters = TokenMeters(services.engine)
        self.sending = Sending(self, self.live)
        self.answering = Answering(self, self.live, meters, services, settings)
        self.counting = Counting(self, meters)
        self.reading_ahead = ReadingAhead(self, meters, services, settings)
        self.last_reply = LastReplyController(self)
        self.finder = FindController(self, registry.bindings("find"))
        self.prompts = PromptController(self)
        self.copier = CopyController(self, services.set_clipboard)
        self.candidates = CandidatesController(self, services, settings)
        self.chat.transcript.count_texts = self.counting.count_texts
        self.chat.transcript.place = self.turns.place
        self.pulls_controller = PullsController(
            self, settings, services.downloads, self._show_downloads, self.key
        )
        self.commands = CommandRunner(self, registry, self.key, self._command_context(program), self.notice)
        bind_keys(self, registry.bindings("screen"))
        bind_keys(self.chat.prompt, registry.bindings("prompt"))
        bind_keys(self.chat.conversation_list, registry.bindings("talks"))
        bind_keys(self.pulls, registry.bindings("pulls"))
        self.chat.prompt.read_command = registry.read
        self.chat.prompt.completers = (
            CommandCompleter(registry, self.commands.is_available),
            FileCompleter(self, self.chat.prompt.look_again),
        )

    def _command_context(self, program: Program) -> CommandContext:
        return CommandContext(
            program=program,
            panes=self.panes,
            chat=self.chat,
            prompts=self.prompts,
            view=self.conversation_view,
            live=self.live,
            store=self.store,
            queue=self.sending,
            model=self.current_model,
            reply=self.last_reply,
            turns=self.turns,
            candidates=self.candidates,
            conversations=self.conversations,
            find=self.finder,
            clipboard=self.copier,
            pulls=self.pulls_controller,
            pulls_pane=self.pulls,
            choose_model=self._choose_model,
        )

    def compose(self) -> ComposeResult:
        yield TopLine(self.key("pulls.go_on")).data_bind(MainScreen.downloads)
        with ContentSwitcher(initial="chat", id="body"):
            yield self.chat
            yield self.pulls.data_bind(MainScreen.downloads)
        yield StatusLine(self.status, self._services.clock)
        yield KeyLine()

    def on_mount(self) -> None:
        """Look for a model, and for pulls that are to go on, once the prompt can be seen."""
        self.call_after_refresh(start, self, "model", self.current_model.find)
        self.call_after_refresh(self._open_store)
        self.call_after_refresh(start, self, "pulls", self.pulls_controller.follow)
        self.lazy_models.make_ahead_soon()

    @property
    def conversation(self) -> Conversation:
        """The conversation that is seen."""
        return self.conversation_view.conversation

    @property
    def activity(self) -> Activity:
        """What the status line shows."""
        return self.status.activity

    @property
    def replying(self) -> bool:
        """Whether a reply is being made in it."""
        return self.conversation.id in self.live.replying

    def now(self) -> float:
        """The time, as Unix seconds."""
        return self._services.now()

    # ── pulls ────────────────────────────────────────────────────────────────────────────────────

    def _show_downloads(self, downloads: tuple[Download, ...]) -> None:
        left_over = any(download.left_over for download in (*self.downloads, *downloads))
        self.downloads = downloads
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
        """Open the store of conversations, which may have something to say, and remember earlier prompts."""
        self.chat.prompt.past.put_before([as_typed(text) for text in await self.store.prompts()])
        if self._services.resume is not None:
            self.post_message(messages.ConversationRequested(self._services.resume))
        if (opened := self._services.opened) is not None:
            await self.conversation_view.show(opened.conversation)
            self.chat.prompt.give_back(self.prompts.as_typed(opened.prompt))
        await asyncio.to_thread(markdown_stream.prepare)  # before there is a reply, or a conversation to show

    # ── models, prompts and replies ──────────────────────────────────────────────────────────────

    @on(messages.ModelChosen)
    def _model_chosen(self, message: messages.ModelChosen) -> None:
        message.stop()
        self.panes.show("chat")
        start(self, "model", self.current_model.use, self._services.to_handle(message.model))

    async def _choose_model(self) -> None:
        """Show the loaded models and those on this machine, and switch to the one that the user chooses."""
        from spnl_tui.ui.models.loaded_screen import LoadedScreen

        async def library() -> list[tuple[ModelHandle, LibraryEntry]]:
            entries = await self.lazy_models.library()
            return [(self._services.to_handle(entry.model), entry) for entry in entries]

        dialog = LoadedScreen(
            self._services.engine,
            self.current_model.model,
            library,
            self._registry.bindings("loaded"),
            self.key,
        )
        if (model := await self.app.push_screen_wait(dialog)) is not None:
            self.panes.show("chat")
            start(self, "model", self.current_model.use, model)

    @on(messages.PromptSubmitted)
    async def _prompt_submitted(self, message: messages.PromptSubmitted) -> None:
        message.stop()
        await self.candidates.close()
        if message.text:
            await self.prompts.submit(message.text)
        if self.current_model.model is None:
            start(self, "model", self.current_model.prompted)

    @on(messages.CommandSubmitted)
    async def _command_submitted(self, message: messages.CommandSubmitted) -> None:
        message.stop()
        await self.commands.run_typed(message)

    @on(messages.ReplyEnded)
    def _reply_ended(self, message: messages.ReplyEnded) -> None:
        well = message.finish_reason in ("stop", "length")
        self.sending.reply_ended(message.conversation, well=well)
        start(self, "count", self.chat.transcript.count_files)
        self.reading_ahead.look()
        restart(self, "talks", self.conversations.refresh)

    @on(TextArea.Changed, "Prompt")
    def _prompt_changed(self) -> None:
        restart(self, "meter", self.counting.count_unsent)
        self.reading_ahead.look()

    # ── conversations ────────────────────────────────────────────────────────────────────────────

    @on(messages.ConversationRequested)
    async def _conversation_requested(self, message: messages.ConversationRequested) -> None:
        message.stop()
        await self.conversation_view.open(message.id, message.turn)

    @on(messages.NewConversationRequested)
    async def _new_conversation_requested(self) -> None:
        await self.conversation_view.begin_anew()

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

    # ── keys ─────────────────────────────────────────────────────────────────────────────────────

    def on_key(self, event: events.Key) -> None:
        """Show why a key did nothing that neither a widget nor a binding has taken."""
        if event.key not in self.active_bindings:
            self.commands.explain_key(event.key)

    @on(messages.KeyInVain)
    def _key_in_vain(self, message: messages.KeyInVain) -> None:
        message.stop()
        self.commands.explain_key(message.key)
