"""The main screen: it composes the panes and passes Textual's messages to the controllers."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial

from textual import events, on, work
from textual.actions import SkipAction
from textual.app import ComposeResult
from textual.widgets import ContentSwitcher, TextArea

from spnl_tui.ui import messages
from spnl_tui.ui.chat.candidate_list import Candidate
from spnl_tui.ui.chat.input.controller import as_typed
from spnl_tui.ui.chat.welcome import Welcome
from spnl_tui.ui.commands.footer import LAST, MOST
from spnl_tui.ui.controllers import WIDE, ControllerScreen
from spnl_tui.ui.conversations.list import ConversationList
from spnl_tui.ui.pulls.captions import summary
from spnl_tui.ui.pulls.pane import PullsPane
from spnl_tui.ui.widgets.background import restart, start
from spnl_tui.ui.widgets.key_line import KeyLine
from spnl_tui.ui.widgets.status_line import StatusLine
from spnl_tui.ui.widgets.top_line import TopLine


class MainScreen(ControllerScreen):
    """Shows one pane at a time: chat, models or pulls."""

    AUTO_FOCUS = "Prompt"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (WIDE, "-wide")]

    def compose(self) -> ComposeResult:
        yield TopLine(partial(summary, go_on_key=self.key("pulls.go_on"))).data_bind(MainScreen.queued_pulls)
        with ContentSwitcher(initial="chat", id="body"):
            yield self.chat
            yield self.pulls.data_bind(MainScreen.queued_pulls)
        yield StatusLine(self.status, self._services.clock)
        yield KeyLine(self.commands.footer, LAST, most=MOST)

    def on_mount(self) -> None:
        """After the first paint, look for a model and for pulls to resume."""
        self.call_after_refresh(start, self, "model", self.current_model.find)
        self.call_after_refresh(self._open_store)
        self.call_after_refresh(start, self, "pulls", self.pulls_controller.follow)
        self.lazy_models.make_ahead_soon()
        self.set_interval(10, self.current_model.check_loaded)

    def action_copy_text(self) -> None:
        """Copy the text that is selected on the screen, in place of Textual's own action."""
        if (text := self.get_selected_text()) is None:
            raise SkipAction  # the key may mean something else
        start(self, "copy", self.copier.selected, text)

    @on(messages.PullEnded)
    def _pull_ended(self, message: messages.PullEnded) -> None:
        if self.panes.models is not None:
            self.panes.models.library_changed()
        finished = message.pull.finished
        if finished is not None and self.welcome.started_here(message.pull.name):
            from spnl_tui.hub.wanted import pulled_model

            self.post_message(messages.ModelChosen(pulled_model(message.pull.request, finished)))

    @on(messages.PullRequested)
    @on(messages.PullChangeRequested)
    @on(messages.FinishedPullsClearRequested)
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
            self.sessions.of(opened.conversation).settle()  # its model was asked for
            await self.chat_controller.show(opened.conversation)
            self.chat.prompt.give_back(self.prompts.as_typed(opened.prompt))
        await self.welcome.show_recent()
        self.welcome.show_tip()
        await self.drafts.restore(past)
        await asyncio.to_thread(_prepare_markdown)

    # ── models, prompts and replies ──────────────────────────────────────────────────────────────

    @on(messages.ModelChosen)
    def _model_chosen(self, message: messages.ModelChosen) -> None:
        message.stop()
        handle = self._services.to_handle(message.model)
        self.switcher.switch(replace(handle, wanted_context=message.context))

    @on(messages.ServerModelChosen)
    def _server_model_chosen(self, message: messages.ServerModelChosen) -> None:
        message.stop()
        start(self, "model", self.switcher.switch_to, message.name)

    @on(messages.PromptSubmitted)
    async def _prompt_submitted(self, message: messages.PromptSubmitted) -> None:
        message.stop()
        await self.candidates.close()
        if message.text:
            await self.prompts.submit(message.text)
        elif self.chat.welcoming and (row := self.chat.welcome.chosen) is not None:
            start(self, "model", self.welcome.choose, row)
            return
        if self.current_model.model is None:
            start(self, "model", self.model_controller.prompted)

    @on(Welcome.Chosen)
    def _welcome_row_chosen(self, message: Welcome.Chosen) -> None:
        message.stop()
        start(self, "model", self.welcome.choose, message.row)

    @on(messages.CommandSubmitted)
    async def _command_submitted(self, message: messages.CommandSubmitted) -> None:
        message.stop()
        await self.commands.run_typed(message)

    @on(messages.CallAnswered)
    def _call_answered(self, message: messages.CallAnswered) -> None:
        message.stop()
        self.tools.answered(message)

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
        self.undo.prompt_edited()

    @on(messages.UndoOffered)
    def _undo_offered(self, message: messages.UndoOffered) -> None:
        message.stop()
        self.undo.push(message.title, message.undo, message.detail)

    @on(messages.UndoRequested)
    def _undo_requested(self, message: messages.UndoRequested) -> None:
        message.stop()
        start(self, "talk", partial(self.commands.run, self._registry["talks.undo"]))

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

    def on_descendant_focus(self) -> None:
        """Place toasts where they do not cover the rows they are about."""
        self.set_class(isinstance(self.focused, ConversationList | PullsPane), "-list")

    def on_key(self, event: events.Key) -> None:
        """Show why a key that neither a widget nor a binding handled did nothing."""
        if event.key not in self.active_bindings:
            self.commands.explain_key(event.key)

    @on(messages.KeyInVain)
    def _key_in_vain(self, message: messages.KeyInVain) -> None:
        message.stop()
        self.commands.explain_key(message.key)


def _prepare_markdown() -> None:
    """Import and warm up what the first reply or conversation needs, while the program is idle."""
    from spnl_tui.ui.chat.markdown import stream

    stream.prepare()
