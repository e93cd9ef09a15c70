"""The one screen: it owns the state, binds it down to the panes, and does what they ask."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
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
from spnl_tui.ui.chat.finding import FindController
from spnl_tui.ui.chat.last_reply import LastReplyController
from spnl_tui.ui.chat.pane import ChatPane
from spnl_tui.ui.chat.prompting import PromptController, as_typed
from spnl_tui.ui.chat.status_line import StatusLine
from spnl_tui.ui.commands.availability import UnavailableReason
from spnl_tui.ui.commands.registry import CHAT_ACTIONS, TURN_ACTIONS, bindings, key_display
from spnl_tui.ui.commands.running import Doing
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
from spnl_tui.ui.widgets.top_line import TopLine

if TYPE_CHECKING:
    from spnl_tui.hub.pulls.download import Download

_WIDE = 110
"""Columns from which the list of conversations stands beside the chat."""


class MainScreen(Screen[None]):
    """Chat and pulls; one pane is seen at a time."""

    BINDINGS = bindings("screen")
    AUTO_FOCUS = "Prompt"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (_WIDE, "-wide")]

    downloads: reactive[tuple[Download, ...]] = reactive((), repaint=False)

    def __init__(self, services: Services, settings: Settings) -> None:
        # The class that Textual will give it for its width: given later, it would have all styled twice.
        super().__init__(classes="-wide" if self.app.size.width >= _WIDE else "-narrow")
        self._compositor = CarefulCompositor()
        self._services = services
        self._settings = settings
        self.status = Status(services.clock)
        self.store = ReportingStore(self, services.store)
        self.chat = ChatPane(settings.chat, services.now, id="chat")
        self.pulls = DownloadsPane(id="pulls")
        self.lazy_models = LazyModelsPane(self, services, settings)
        self.panes = PaneSwitcher(self)
        self._doing = Doing(self)
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
        self.finder = FindController(self)
        self.unavailable = UnavailableReason(self)
        self.prompts = PromptController(self)
        self.copier = CopyController(self, services.set_clipboard)
        self.candidates = CandidatesController(self, services, settings)
        self.chat.transcript.count_texts = self.counting.count_texts
        self.chat.transcript.place = self.turns.place
        self.pulls_controller = PullsController(self, settings, services.downloads, self._show_downloads)

    def compose(self) -> ComposeResult:
        go_on = key_display(self.app, "pulls.go_on", self._settings.keys)
        yield TopLine(go_on).data_bind(MainScreen.downloads)
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

    @property
    def keymap(self) -> Mapping[str, str]:
        """The keys that the user has changed."""
        return self._settings.keys

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

    def action_go_on(self) -> None:
        """Go on with the pulls that were under way when the program ended."""
        self.pulls_controller.go_on()

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
        await self.prompts.run(message)

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

    async def action_reply(self, what: str) -> None:
        """Do something with the last reply; see `LastReplyController`."""
        await self.last_reply.act(what)

    def action_talk(self, what: str, *arguments: str) -> None:
        """Do something with a whole conversation; see `ConversationsController`."""
        self._doing.do("talk", self.conversations.act, what, *arguments)

    def action_turn(self, what: str) -> None:
        """Do something with a turn; see `TurnsController`."""
        self._doing.do("turn", self.turns.act, what, asked_in=self.conversation if what == "go_on" else None)

    def action_choose(self, what: str, *arguments: str) -> None:
        """Do something with candidates; see `CandidatesController`."""
        if self.candidates.asks(what, *arguments):
            asked_in = self.prompts.asked_in
            self._doing.do(
                "choose", partial(self.candidates.ask, asked_in), what, *arguments, asked_in=asked_in
            )
        else:
            self._doing.do("choose", self.candidates.act, what, *arguments)

    @on(messages.CandidateMoveRequested)
    async def _candidate_move_requested(self, message: messages.CandidateMoveRequested) -> None:
        message.stop()
        await self.candidates.move(message.by)

    @on(Candidate.Clicked)
    async def _candidate_clicked(self, message: Candidate.Clicked) -> None:
        message.stop()
        await self.candidates.highlight(message.turn_id)

    def action_find(self, what: str, *arguments: str) -> None:
        """Find words in the conversation; see `Finding`."""
        self._doing.do("find", self.finder.act, what, *arguments, exclusive=True)

    def on_key(self, event: events.Key) -> None:
        """A key that no widget has taken. If no binding does, either, say why."""
        if event.key not in self.active_bindings:
            self.unavailable.pressed(event.key)

    @on(messages.KeyInVain)
    def _key_in_vain(self, message: messages.KeyInVain) -> None:
        message.stop()
        self.unavailable.pressed(message.key)

    # ── what keys do ─────────────────────────────────────────────────────────────────────────────

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer in the footer only what can be done now, and with what can be seen."""
        if action in CHAT_ACTIONS and self.is_mounted and self.panes.seen != "chat":
            return False
        if action in TURN_ACTIONS and self.chat.conversation_list.has_focus:
            return False
        match action:
            case "close_completions":
                return self.chat.prompt.completing
            case "back":
                return self.panes.seen != "chat"
            case "show":
                return self.panes.can(str(parameters[0]))
            case "go_on":
                return self.pulls_controller.left_over
            case "reply":
                return self.last_reply.can(str(parameters[0]))
            case "find":
                return self.finder.can(str(parameters[0]))
            case "copy":
                return self.copier.can(*map(str, parameters))
            case "new_conversation":
                return len(self.conversation) > 0 or self.replying or bool(self.live.seen.queued)
            case "get_starter":
                return self.current_model.model is None
            case "talk":
                return self.conversations.can(str(parameters[0]))
            case "turn":
                return self.turns.can(str(parameters[0]))
            case "choose":
                return self.candidates.can(str(parameters[0]))
            case _:
                return True

    def action_show(self, pane: str) -> None:
        """Show a pane; see `Panes`."""
        self.panes.show(pane)

    def action_back(self) -> None:
        """Go back to the conversation, or within the pane first."""
        self.panes.back()

    @work(group="dialog", exclusive=True)
    async def action_show_loaded(self) -> None:
        """Show what is loaded, to talk to another model or to unload one."""
        await self.current_model.choose()

    @work(group="editor")
    async def action_edit_prompt(self) -> None:
        """Open the prompt in the user's editor."""
        await self.prompts.edit()

    def action_close_completions(self) -> None:
        """Close the list above the prompt."""
        self.chat.prompt.close_completions()

    def action_copy(self, what: str, *arguments: str) -> None:
        """Copy something of the conversation; see `Copying`."""
        self._doing.do("dialog", self.copier.act, what, *arguments, exclusive=True)

    def action_new_conversation(self) -> None:
        """Begin anew. A reply that is being made goes on out of sight, and is kept where it belongs."""
        # By way of the screen's own queue: a prompt that is typed right after must find the new conversation.
        self.post_message(messages.NewConversationRequested())

    def action_get_starter(self) -> None:
        """Get the starter model, if there is none yet."""
        start(self, "model", self.current_model.get_starter)

    def action_page(self, by: int) -> None:
        """Scroll the conversation by so many pages: up where that is negative."""
        self.chat.page(by)

    @on(messages.FollowRequested)
    def action_follow(self) -> None:
        """Go to the end of the conversation and stay there."""
        self.chat.transcript.follow()
