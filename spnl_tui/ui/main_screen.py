"""The one screen: it owns the state, binds it down to the panes, and does what they ask."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from textual import events, on, work
from textual.app import ComposeResult
from textual.reactive import reactive
from textual.screen import Screen
from textual.widgets import ContentSwitcher, TextArea

from spnl_tui.conversations.conversation import Conversation
from spnl_tui.conversations.turn import Turn
from spnl_tui.errors import SpnlError
from spnl_tui.settings import Settings
from spnl_tui.text import first_line, plain
from spnl_tui.ui import markdown_stream, messages
from spnl_tui.ui.activity import Activity
from spnl_tui.ui.answering import Answering
from spnl_tui.ui.background import restart, start
from spnl_tui.ui.branching import Branching
from spnl_tui.ui.chat_pane import ChatPane
from spnl_tui.ui.choosing import Choosing
from spnl_tui.ui.commands import CHAT_ACTIONS, TURN_ACTIONS, bindings, key_display
from spnl_tui.ui.copying import Copying
from spnl_tui.ui.downloading import Downloading
from spnl_tui.ui.downloads_pane import DownloadsPane
from spnl_tui.ui.finding import Finding
from spnl_tui.ui.in_vain import InVain
from spnl_tui.ui.keeping import Keeping
from spnl_tui.ui.making_models import MakingModels
from spnl_tui.ui.model_in_use import ModelInUse
from spnl_tui.ui.prompting import Prompting, as_typed
from spnl_tui.ui.services import Services
from spnl_tui.ui.talks import Talks
from spnl_tui.ui.toasts import tell
from spnl_tui.ui.widgets.candidates import Candidate, Candidates
from spnl_tui.ui.widgets.key_line import KeyLine
from spnl_tui.ui.widgets.status_line import StatusLine
from spnl_tui.ui.widgets.talks_list import TalksList
from spnl_tui.ui.widgets.top_line import TopLine
from spnl_tui.ui.widgets.transcript import Transcript

if TYPE_CHECKING:
    from spnl_tui.hub.download import Download
    from spnl_tui.ui.models_pane import ModelsPane

_WIDE = 110
"""Columns from which the list of conversations stands beside the chat."""
_MOUNTED_SINGLY = 12
"""A branch of more turns is shown from its end, as a conversation is that is opened."""


class MainScreen(Screen[None]):
    """Chat and pulls; one pane is seen at a time."""

    BINDINGS = bindings("screen")
    AUTO_FOCUS = "Prompt"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (_WIDE, "-wide")]

    activity: reactive[Activity] = reactive(Activity(), repaint=False)
    downloads: reactive[tuple[Download, ...]] = reactive((), repaint=False)

    def __init__(self, services: Services, settings: Settings) -> None:
        # The class that Textual will give it for its width: given later, it would have all styled twice.
        super().__init__(classes="-wide" if self.app.size.width >= _WIDE else "-narrow")
        self._services = services
        self._settings = settings
        self.keeping = Keeping(self, services.store)
        self.conversation = self._blank()
        self.chat = ChatPane(settings.chat, services.now, id="chat")
        self.pulls = DownloadsPane(id="pulls")
        self.making_models = MakingModels(self, services, settings)
        self.talks = Talks(self, services, settings)
        self.branches = Branching(self)
        self.in_use = ModelInUse(self, services)
        self.answering = Answering(self, services, settings)
        self.finding = Finding(self)
        self.in_vain = InVain(self)
        self.prompting = Prompting(self)
        self.copying = Copying(self, services.set_clipboard)
        self.chat.transcript.count_texts = self.answering.count_texts
        self.choosing = Choosing(self, services, settings)
        self.chat.transcript.place = self.branches.place
        self.downloading = Downloading(self, settings, services.downloads, self._show_downloads)

    def compose(self) -> ComposeResult:
        go_on = key_display(self.app, "pulls.go_on", self._settings.keys)
        yield TopLine(go_on).data_bind(MainScreen.downloads)
        with ContentSwitcher(initial="chat", id="body"):
            yield self.chat
            yield self.pulls.data_bind(MainScreen.downloads)
        yield StatusLine(self._services.clock).data_bind(MainScreen.activity)
        yield KeyLine()

    def on_mount(self) -> None:
        """Look for a model, and for pulls that are to go on, once the prompt can be seen."""
        self.call_after_refresh(start, self, "model", self.in_use.find)
        self.call_after_refresh(self._open_store)
        self.call_after_refresh(start, self, "pulls", self.downloading.follow)
        self.making_models.make_ahead_soon()

    # ── the panes ────────────────────────────────────────────────────────────────────────────────

    @property
    def pane(self) -> str | None:
        """The id of the pane that is shown."""
        return self.query_one("#body", ContentSwitcher).current

    @property
    def models(self) -> ModelsPane | None:
        """The pane with the models, if it was made."""
        return self.making_models.pane

    def action_show_chat(self) -> None:
        """Show the conversation."""
        self.query_one("#body", ContentSwitcher).current = "chat"
        self.chat.prompt.focus()
        self.refresh_bindings()

    def action_back(self) -> None:
        """Go back to the conversation, or within the pane first."""
        if self.pane != "models" or self.models is None or not self.models.step_back():
            self.action_show_chat()

    @work(group="models", exclusive=True)
    async def action_show_models(self) -> None:
        """Show the models."""
        pane = await self.making_models.make()
        self.query_one("#body", ContentSwitcher).current = "models"
        pane.activate()
        self.refresh_bindings()

    @work(group="dialog", exclusive=True)
    async def action_show_loaded(self) -> None:
        """Show what is loaded, to talk to another model or to unload one."""
        await self.in_use.choose()

    def action_show_pulls(self) -> None:
        """Show the pulls."""
        self.query_one("#body", ContentSwitcher).current = "pulls"
        self.pulls.focus()
        self.refresh_bindings()

    # ── pulls ────────────────────────────────────────────────────────────────────────────────────

    def _show_downloads(self, downloads: tuple[Download, ...]) -> None:
        left_over = any(download.left_over for download in (*self.downloads, *downloads))
        self.downloads = downloads
        if left_over:
            self.refresh_bindings()

    @on(messages.PullRequested)
    def _pull_requested(self, message: messages.PullRequested) -> None:
        message.stop()
        self.downloading.add(message.request, message.name)
        self.downloading.tell_added(message.name)

    @on(messages.PullEnded)
    def _pull_ended(self) -> None:
        if self.models is not None:
            self.models.library_changed()

    @on(messages.PullChangeRequested)
    def _pull_change_requested(self, message: messages.PullChangeRequested) -> None:
        message.stop()
        self.downloading.change(message.change, message.id)

    @on(messages.PullUndoRequested)
    def _pull_undo_requested(self, message: messages.PullUndoRequested) -> None:
        message.stop()
        self.downloading.undo()

    def action_go_on(self) -> None:
        """Go on with the pulls that were under way when the program ended."""
        self.downloading.go_on()

    @work(group="store")
    async def _open_store(self) -> None:
        """Open the store of conversations, which may have something to say, and remember earlier prompts."""
        self.chat.prompt.past.put_before([as_typed(text) for text in await self.keeping.prompts()])
        if self._services.resume is not None:
            self.post_message(messages.ConversationRequested(self._services.resume))
        if (opened := self._services.opened) is not None:
            await self.show_conversation(opened.conversation)
            self.chat.prompt.give_back(self.prompting.as_typed(opened.prompt))
        await asyncio.to_thread(markdown_stream.prepare)  # before there is a reply, or a conversation to show

    # ── models, prompts and replies ──────────────────────────────────────────────────────────────

    @on(messages.ModelChosen)
    def _model_chosen(self, message: messages.ModelChosen) -> None:
        message.stop()
        self.action_show_chat()
        start(self, "model", self.in_use.use, message.model)

    @on(messages.PromptSubmitted)
    async def _prompt_submitted(self, message: messages.PromptSubmitted) -> None:
        message.stop()
        await self.choosing.close()
        if message.text:
            await self.prompting.submit(message.text)
        if self.in_use.model is None:
            start(self, "model", self.in_use.prompted)

    @on(messages.CommandSubmitted)
    async def _command_submitted(self, message: messages.CommandSubmitted) -> None:
        message.stop()
        await self.prompting.run(message)

    @on(messages.ReplyEnded)
    def _reply_ended(self, message: messages.ReplyEnded) -> None:
        well = message.finish_reason in ("stop", "length")
        self.answering.reply_ended(message.conversation, well=well)
        start(self, "count", self.chat.transcript.count_files)
        restart(self, "talks", self.talks.refresh)

    @on(TextArea.Changed, "Prompt")
    def _prompt_changed(self) -> None:
        restart(self, "meter", self.answering.count_unsent)

    # ── conversations ────────────────────────────────────────────────────────────────────────────

    @property
    def replying(self) -> bool:
        """Whether a reply is being made in the conversation that is seen."""
        return self.conversation.id in self.answering.replying

    @property
    def asked_in(self) -> Conversation:
        """The conversation for which something is asked: the one in which it was typed, or that is seen."""
        typed_in = self.prompting.typed_in
        return self.conversation if typed_in is None else typed_in

    @property
    def keymap(self) -> Mapping[str, str]:
        """The keys that the user has changed."""
        return self._settings.keys

    def now(self) -> float:
        """The time, as Unix seconds."""
        return self._services.now()

    @on(messages.ConversationRequested)
    async def _conversation_requested(self, message: messages.ConversationRequested) -> None:
        message.stop()
        if message.id != self.conversation.id or not len(self.conversation):
            try:
                conversation = await self.talks.load(message.id)
            except SpnlError as error:
                tell(self, error)
                return
            if conversation is None:
                return
        else:
            conversation = self.conversation
        if message.turn is not None and message.turn in conversation:
            conversation.select(message.turn)
            await self.show_conversation(conversation)
            # A jump waits for layouts, which wait for this handler.
            start(self, "turn", self.branches.jump, message.turn)
        elif conversation is not self.conversation:
            await self.show_conversation(conversation)

    async def show_conversation(self, conversation: Conversation) -> None:
        """Show this conversation in place of the one before, whose reply goes on if one is being made."""
        from spnl_tui.conversations.memory import memory_of

        if self.replying and conversation is not self.conversation:
            title = "The reply goes on in the conversation before"
            self.notify(first_line(self.conversation.title, 60), title=title, markup=False)
            self.activity = replace(self.activity, state="idle", stage="")
        self.conversation = conversation
        self.branches.forget()
        self.finding.forget()
        path = conversation.path()
        self.show_title()
        self.chat.transcript.remember_from(*memory_of(path))
        await self.chat.transcript.show(self.choosing.above(path))
        await self.choosing.shown()
        self.chat.show_welcome(not path)
        if (model := self.in_use.model) is not None:
            if conversation.id not in self.answering.replying:
                conversation.model = model.name
                self.activity = replace(self.activity, model=plain(model.name))
            self.chat.welcome.ready(model.name)
        self.show_figures()
        await self.answering.shown()
        self.refresh_bindings()
        await self.talks.refresh()

    async def show_branch(self, before: str, turn_id: str) -> None:
        """Show the active branch from this turn on, where its sibling `before` was shown."""
        path = self.conversation.path()
        tail = path[[turn.id for turn in path].index(turn_id) :]
        if len(tail) < _MOUNTED_SINGLY and await self.chat.transcript.remove_from(before):
            for turn in tail:
                await self.chat.transcript.add(turn)
        else:
            await self.chat.transcript.show(path)
        self.show_figures()

    def show_figures(self) -> None:
        """Another branch is seen: show how much of the context it takes, and no figures of another reply."""
        path = self.conversation.path()
        used = next((p for turn in reversed(path) if (p := turn.provenance) is not None), None)
        context_used = (used.prompt_tokens or 0) + (used.completion_tokens or 0) if used is not None else None
        self.activity = replace(
            self.activity, tokens=0, tokens_per_s=None, ttft_s=None, context_used=context_used or None
        )

    def show_title(self) -> None:
        """Show the title of the conversation that is seen."""
        self.query_one(TopLine).title = self.conversation.title

    @on(TalksList.MoreWanted)
    async def _more_conversations(self, message: TalksList.MoreWanted) -> None:
        message.stop()
        await self.talks.more()

    def action_talk(self, what: str, *arguments: str) -> None:
        """Do something with a whole conversation; see `Talks`."""
        self._do("talk", self.talks.act, what, *arguments)

    def action_turn(self, what: str) -> None:
        """Do something with a turn; see `Branching`."""
        self._do("turn", self.branches.act, what, asked_in=self.conversation if what == "go_on" else None)

    def action_choose(self, what: str, *arguments: str) -> None:
        """Do something with candidates; see `Choosing`."""
        if self.choosing.asks(what, *arguments):
            asked_in = self.asked_in
            self._do("choose", partial(self.choosing.ask, asked_in), what, *arguments, asked_in=asked_in)
        else:
            self._do("choose", self.choosing.act, what, *arguments)

    @on(messages.CandidateMoveRequested)
    async def _candidate_move_requested(self, message: messages.CandidateMoveRequested) -> None:
        message.stop()
        await self.choosing.move(message.by)

    @on(Candidate.Clicked)
    async def _candidate_clicked(self, message: Candidate.Clicked) -> None:
        message.stop()
        await self.choosing.highlight(message.turn_id)

    def action_find(self, what: str, *arguments: str) -> None:
        """Find words in the conversation; see `Finding`."""
        self._do("find", self.finding.act, what, *arguments, exclusive=True)

    def _do(
        self,
        group: str,
        act: Callable[..., Awaitable[None]],
        *arguments: str,
        exclusive: bool = False,
        asked_in: Conversation | None = None,
    ) -> None:
        """Do it as a worker. What goes wrong is told, and what was typed for it goes back into the prompt.

        A conversation in which it asks for a reply counts as replying from now on.
        """
        typed = self.prompting.typed

        async def work() -> None:
            try:
                await act(*arguments)
            except SpnlError as error:
                if typed:
                    self.chat.prompt.give_back(typed)
                tell(self, error)
            self.refresh_bindings()

        if asked_in is not None:
            self.answering.prepare(asked_in, group, work)
        elif exclusive:
            restart(self, group, work)
        else:
            start(self, group, work)

    def on_key(self, event: events.Key) -> None:
        """A key that no widget has taken. If no binding does, either, say why."""
        if event.key not in self.active_bindings:
            self.in_vain.pressed(event.key)

    @on(messages.KeyInVain)
    def _key_in_vain(self, message: messages.KeyInVain) -> None:
        message.stop()
        self.in_vain.pressed(message.key)

    # ── what keys do ─────────────────────────────────────────────────────────────────────────────

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer in the footer only what can be done now, and with what can be seen."""
        if action in CHAT_ACTIONS and self.is_mounted and self.pane != "chat":
            return False
        if action in TURN_ACTIONS and self.chat.talks_list.has_focus:
            return False
        match action:
            case "close_completions":
                return self.chat.prompt.completing
            case "back":
                return self.pane != "chat"
            case "show_models" if not self.making_models.can:
                return False
            case "show_chat" | "show_pulls" | "show_models":
                return self.pane != action.removeprefix("show_")
            case "go_on":
                return self.downloading.left_over
            case "stop":
                return self.replying
            case "regenerate":
                return not self.replying and self.last_reply() is not None
            case "find":
                return self.finding.can(str(parameters[0]))
            case "copy":
                return self.copying.can(*map(str, parameters))
            case "toggle_thinking":
                thought = bool((last := self.last_reply()) and last.reasoning)
                return thought or self.replying or self.chat.transcript.summarized
            case "new_conversation":
                return len(self.conversation) > 0 or self.replying
            case "get_starter":
                return self.in_use.model is None
            case "talk":
                return self.talks.can(str(parameters[0]))
            case "turn":
                return self.branches.can(str(parameters[0]))
            case "choose":
                return self.choosing.can(str(parameters[0]))
            case _:
                return True

    @work(group="editor")
    async def action_edit_prompt(self) -> None:
        """Open the prompt in the user's editor."""
        await self.prompting.edit()

    def action_close_completions(self) -> None:
        """Close the list above the prompt."""
        self.chat.prompt.close_completions()

    def action_stop(self) -> None:
        """Stop the reply and keep what has come."""
        if not self.choosing.stop() and (run := self.answering.run) is not None:
            run.stop()

    async def action_regenerate(self) -> None:
        """Reply to the last prompt once more; the reply before stays in the conversation's tree."""
        last = self.last_reply()
        if last is None or self.replying or self.in_use.model is None:
            return
        conversation = self.conversation
        with self.answering.accepting(conversation):
            await self.choosing.close()
            await self.chat.transcript.remove_from(last.id)
            self.answering.reply(conversation, conversation.regenerate(last.id))

    def action_copy(self, what: str, *arguments: str) -> None:
        """Copy something of the conversation; see `Copying`."""
        self._do("dialog", self.copying.act, what, *arguments, exclusive=True)

    def action_toggle_thinking(self) -> None:
        """Fold or unfold the thinking of the last reply."""
        last = self.last_reply()
        chosen = self.choosing.widget(last.id) if last is not None else None
        if (reply := chosen or self.chat.transcript.last_reply()) is not None:
            reply.toggle_thinking()
        self.chat.transcript.toggle_summary()

    def action_new_conversation(self) -> None:
        """Begin anew. A reply that is being made goes on out of sight, and is kept where it belongs."""
        # By way of the screen's own queue: a prompt that is typed right after must find the new conversation.
        self.post_message(messages.NewConversationRequested())

    @on(messages.NewConversationRequested)
    async def begin_anew(self) -> None:
        """Show a conversation that has not begun."""
        await self.show_conversation(self._blank())

    def action_get_starter(self) -> None:
        """Get the starter model, if there is none yet."""
        start(self, "model", self.in_use.get_starter)

    def action_page_up(self) -> None:
        """Scroll the conversation up by a page."""
        self._paged().page(-1)

    def action_page_down(self) -> None:
        """Scroll the conversation down by a page."""
        self._paged().page(1)

    def _paged(self) -> Candidates | Transcript:
        return self.chat.transcript if self.choosing.fan is None else self.chat.candidates

    @on(messages.FollowRequested)
    def action_follow(self) -> None:
        """Go to the end of the conversation and stay there."""
        self.chat.transcript.follow()

    # ── helpers ──────────────────────────────────────────────────────────────────────────────────

    def _blank(self) -> Conversation:
        return Conversation(system_prompt=self._settings.chat.system_prompt, sampling=self._settings.sampling)

    def last_reply(self) -> Turn | None:
        """The reply at the end of the active branch, if it has ended."""
        path = self.conversation.path()
        return path[-1] if path and path[-1].role == "assistant" and not path[-1].streaming else None
