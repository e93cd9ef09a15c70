"""The one screen: it owns the state, binds it down to the panes, and does what they ask."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from textual import on, work
from textual.app import ComposeResult
from textual.reactive import reactive
from textual.screen import Screen
from textual.widgets import ContentSwitcher, Footer

from spnl_tui.conversations.conversation import Conversation, Provenance, Turn
from spnl_tui.errors import SpnlError
from spnl_tui.settings import Settings
from spnl_tui.text import first_line, plain
from spnl_tui.ui import messages
from spnl_tui.ui.activity import Activity
from spnl_tui.ui.chat_pane import ChatPane
from spnl_tui.ui.commands import CHAT_ACTIONS, bindings, key_display
from spnl_tui.ui.downloading import Downloading
from spnl_tui.ui.downloads_pane import DownloadsPane
from spnl_tui.ui.services import Progress, Services
from spnl_tui.ui.toasts import tell
from spnl_tui.ui.widgets.status_line import StatusLine
from spnl_tui.ui.widgets.top_line import TopLine

if TYPE_CHECKING:
    from spnl_tui.hub.download import Download
    from spnl_tui.models.local import LocalModel
    from spnl_tui.ui.models_pane import ModelsPane
    from spnl_tui.ui.replying import ReplyRun, ReplySoFar
    from spnl_tui.ui.widgets.turns import Reply


class MainScreen(Screen[None]):
    """Chat and pulls; one pane is seen at a time."""

    BINDINGS = bindings("screen")
    AUTO_FOCUS = "Prompt"

    activity: reactive[Activity] = reactive(Activity(), repaint=False)
    downloads: reactive[tuple[Download, ...]] = reactive((), repaint=False)

    def __init__(self, services: Services, settings: Settings) -> None:
        super().__init__()
        self._services = services
        self._settings = settings
        self._model: LocalModel | None = None
        self._run: ReplyRun | None = None
        self._queued = ""
        """A prompt that was sent while there was no way to answer it."""
        self._getting = False
        self._missing = False
        """There is no model here: known only once one was looked for."""
        self.conversation = self._blank()
        self.chat = ChatPane(settings.chat, id="chat")
        self.pulls = DownloadsPane(id="pulls")
        self.models: ModelsPane | None = None
        self.downloading = Downloading(self, settings, services.downloads, self._show_downloads)

    def compose(self) -> ComposeResult:
        go_on = key_display(self.app, "pulls.go_on", self._settings.keys)
        yield TopLine(go_on).data_bind(MainScreen.downloads)
        with ContentSwitcher(initial="chat", id="body"):
            yield self.chat
            yield self.pulls.data_bind(MainScreen.downloads)
        yield StatusLine(self._services.clock).data_bind(MainScreen.activity)
        yield Footer(show_command_palette=False, compact=True)

    def on_mount(self) -> None:
        """Look for a model, and for pulls that are to go on, once the prompt can be seen."""
        self.call_after_refresh(self._find_model)
        self.call_after_refresh(self.run_worker, self.downloading.follow, group="pulls")

    # ── the panes ────────────────────────────────────────────────────────────────────────────────

    @property
    def pane(self) -> str | None:
        """The id of the pane that is shown."""
        return self.query_one("#body", ContentSwitcher).current

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
        """Show the models. The pane is made when it is first wanted."""
        switcher = self.query_one("#body", ContentSwitcher)
        if self.models is None:
            make = self._services.browser
            assert make is not None
            browser = await asyncio.to_thread(make)
            from spnl_tui.ui.models_pane import ModelsPane

            self.models = ModelsPane(browser, context=self._settings.context.length, id="models")
            await switcher.add_content(self.models)
        switcher.current = "models"
        self.models.activate()
        self.refresh_bindings()

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

    # ── the model ────────────────────────────────────────────────────────────────────────────────

    @work(group="model")
    async def _find_model(self) -> None:
        """Find the model to start with, and load it ahead of the first prompt."""
        try:
            model = await self._services.first_model()
        except SpnlError as error:
            self._return_queued()
            self._without_model(error)
            return
        if model is None:
            # What was sent meanwhile comes back: to fetch a model is for the user to decide.
            self._return_queued()
            self._without_model()
        else:
            await self._use_model(model)

    @on(messages.ModelChosen)
    def _model_chosen(self, message: messages.ModelChosen) -> None:
        message.stop()
        self.action_show_chat()
        self.run_worker(self._use_model(message.model), group="model")

    def _without_model(self, error: SpnlError | None = None) -> None:
        self._missing = True
        self.activity = Activity(state="no model")
        self.chat.welcome.offer(starter=self._services.starter is not None, error=error)

    async def _use_model(self, model: LocalModel) -> None:
        """Talk to this model from the next prompt on; a reply ends on the model that it began with."""
        self._model = model
        self._missing = False
        self.chat.welcome.ready(model.name)
        if self._run is not None:
            # `_finish_reply` takes the model up.
            self.notify(
                "The reply that is being made ends on the model that it began with.",
                title=f"{plain(model.name)} answers from the next prompt on",
                markup=False,
            )
            return
        self._take_up(model)
        if self._queued:
            self._send_queued()
        else:
            await self._load_ahead(model)

    def _take_up(self, model: LocalModel) -> None:
        self.conversation.model = model.name
        self.activity = Activity(model=plain(model.name), state="idle")

    async def _load_ahead(self, model: LocalModel) -> None:
        from spnl_tui.engine import protocol  # 10 ms that the first paint need not wait for

        async with aclosing(self._services.engine.load(model)) as events:
            async for event in events:
                if self._model != model:
                    continue  # another one was chosen meanwhile
                match event:
                    case protocol.ModelLoaded():
                        self._set_idle_activity(context_length=event.context_length)
                        if self._run is not None:
                            self._run.learn(event.context_length)
                    case protocol.LoadProgressed():
                        entered = self.activity.state != "loading"
                        since = self._services.clock() if entered else self.activity.since
                        self._set_idle_activity(state="loading", stage=event.stage, since=since)
                    case protocol.RequestFailed() if self._run is None:
                        self._set_idle_activity()
                        tell(self, SpnlError(event.title, event.message, event.hint))
                    case _:
                        pass

    def _set_idle_activity(self, **figures: Any) -> None:
        """Say what goes on while there is no reply; a reply says itself what happens to its model."""
        if self._run is None:
            self.activity = replace(self.activity, **{"state": "idle", **figures})

    @work(group="model")
    async def _get_starter(self) -> None:
        starter = self._services.starter
        if starter is None or self._getting or not self._missing:
            return
        self._getting = True
        self.activity = Activity(state="getting", since=self._services.clock())
        try:
            async with aclosing(starter.get()) as steps:
                async for step in steps:
                    if isinstance(step, Progress):
                        self.chat.welcome.progress(step)
                    else:
                        await self._use_model(step)
        except SpnlError as error:
            self._return_queued()
            self._without_model(error)
        finally:
            self._getting = False

    # ── prompts and replies ──────────────────────────────────────────────────────────────────────

    @on(messages.PromptSubmitted)
    async def _prompt_submitted(self, message: messages.PromptSubmitted) -> None:
        message.stop()
        if not message.text:
            if self._model is None:
                self._get_starter()
            return
        if self._model is None or self._run is not None:
            self._queued = f"{self._queued}\n\n{message.text}".strip()
            await self.chat.transcript.show_queued(plain(self._queued))
            if self._model is None:
                self._get_starter()
            return
        await self._ask(message.text)

    async def _ask(self, text: str) -> None:
        turn = self.conversation.add_turn("user", text)
        self.chat.show_welcome(False)
        self.chat.prompt.remember(text)
        await self.chat.transcript.add(turn)
        if self.conversation.title_is_automatic and not self.conversation.title:
            self._set_title(first_line(text, 60))
        # What the user wrote is kept whatever becomes of the reply; the reply does not wait for it.
        self.run_worker(self._keep(self.conversation, turn), group="keep")
        self._reply(self.conversation.add_turn("assistant"))

    @work(group="reply")
    async def _reply(self, turn: Turn) -> None:
        """Have this empty turn filled by the model. The one streaming path, whatever asked for the reply."""
        from spnl_tui.ui.replying import ReplyRun
        from spnl_tui.ui.widgets.turns import Reply

        assert self._model is not None
        conversation, model = self.conversation, self._model
        widget = await self.chat.transcript.add(turn)
        assert isinstance(widget, Reply)
        self.chat.transcript.follow()

        async def draw(so_far: ReplySoFar, activity: Activity) -> None:
            self.activity = activity
            await widget.show(replace(turn, text=so_far.text, reasoning=so_far.reasoning))

        activity = replace(
            self.activity, since=self._services.clock(), tokens=0, tokens_per_s=None, ttft_s=None, total=0
        )
        self._run = run = ReplyRun(activity, self._services.clock, draw)
        self.activity = activity
        path = conversation.path_to(turn.id)[:-1]
        self.refresh_bindings()
        self.post_message(messages.ReplyBegan(path[-1].text if path else ""))
        events = self._services.engine.generate_chat(
            model,
            conversation.messages(path),
            conversation.sampling,
            thinking=self._settings.chat.thinking,
        )
        async with aclosing(events):
            try:
                await run.run(events)
                # The screen is free before the engine is told: ending a prefill takes it a while.
                await self._finish_reply(conversation, turn, widget, run)
            finally:
                if conversation[turn.id].streaming:  # the program ends
                    await self._keep(conversation, _end(conversation, turn, run.so_far))
                await run.close()

    async def _finish_reply(
        self, conversation: Conversation, turn: Turn, widget: Reply, run: ReplyRun
    ) -> None:
        done = _end(conversation, turn, run.so_far)
        self._run = None
        self.activity = run.activity
        if (model := self._model) is not None and model.name != conversation.model:
            self._take_up(model)
            if not self._queued:
                self.run_worker(self._load_ahead(model), group="model")
        await widget.finish(done)
        run.ended.set()
        self.post_message(messages.ReplyEnded(done.finish_reason or "cancelled", done.text))
        self.refresh_bindings()
        await self._keep(conversation, done)

    @on(messages.ReplyEnded)
    def _reply_ended(self, message: messages.ReplyEnded) -> None:
        if message.finish_reason in ("stop", "length"):
            self._send_queued()
        else:
            self._return_queued()

    @work(group="queued")
    async def _send_queued(self) -> None:
        """Send what was typed while there was no way to answer it."""
        text, self._queued = self._queued, ""
        await self.chat.transcript.show_queued("")
        if text:
            await self._ask(text)

    @work(group="queued")
    async def _return_queued(self) -> None:
        """Put what was typed back into the prompt: things have gone otherwise than the user thought."""
        text, self._queued = self._queued, ""
        await self.chat.transcript.show_queued("")
        if text:
            self.chat.prompt.give_back(text)

    async def _keep(self, conversation: Conversation, turn: Turn) -> None:
        if self._services.keeper is None:
            return
        try:
            await self._services.keeper.save_turn(conversation, turn)
        except SpnlError as error:
            tell(self, error)

    # ── what keys do ─────────────────────────────────────────────────────────────────────────────

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer in the footer only what can be done now, and with what can be seen."""
        if action in CHAT_ACTIONS and self.is_mounted and self.pane != "chat":
            return False
        match action:
            case "back":
                return self.pane != "chat"
            case "show_models" if self._services.browser is None:
                return False
            case "show_chat" | "show_pulls" | "show_models":
                return self.pane != action.removeprefix("show_")
            case "go_on":
                return self.downloading.left_over
            case "stop":
                return self._run is not None
            case "regenerate":
                return self._run is None and self._last_reply() is not None
            case "copy_reply":
                return bool((last := self._last_reply()) and last.text)
            case "toggle_thinking":
                return bool((last := self._last_reply()) and last.reasoning) or self._run is not None
            case "copy_code":
                last = self._last_reply()
                return last is not None and ("```" in last.text or "~~~" in last.text)
            case "new_conversation":
                return len(self.conversation) > 0
            case "get_starter":
                return self._model is None
            case _:
                return True

    def action_stop(self) -> None:
        """Stop the reply and keep what has come."""
        if self._run is not None:
            self._run.stop()

    async def action_regenerate(self) -> None:
        """Reply to the last prompt once more; the reply before stays in the conversation's tree."""
        last = self._last_reply()
        if last is None or self._run is not None or self._model is None:
            return
        await self.chat.transcript.remove_from(last.id)
        self._reply(self.conversation.regenerate(last.id))

    def action_copy_reply(self) -> None:
        """Copy the last reply."""
        if last := self._last_reply():
            self._copy(last.text, "The reply")

    @work(group="dialog", exclusive=True)
    async def action_copy_code(self) -> None:
        """Copy a code block of the last reply; ask which one if there are several."""
        from spnl_tui.ui.code_picker import CodePicker
        from spnl_tui.ui.markdown_stream import code_blocks

        last = self._last_reply()
        blocks = code_blocks(last.text) if last else []
        if not blocks:
            self.notify("The last reply has no code block.", markup=False)
            return
        block = blocks[0] if len(blocks) == 1 else await self.app.push_screen_wait(CodePicker(blocks))
        if block is not None:
            self._copy(block.code, "The code block")

    def action_toggle_thinking(self) -> None:
        """Fold or unfold the thinking of the last reply."""
        if (reply := self.chat.transcript.last_reply()) is not None:
            reply.toggle_thinking()

    def action_new_conversation(self) -> None:
        """Begin anew. A reply that is being made is stopped, and kept where it belongs."""
        # By way of the screen's own queue: a prompt that is typed right after must find the new conversation.
        self.post_message(messages.NewConversationRequested())

    @on(messages.NewConversationRequested)
    async def _new_conversation(self) -> None:
        if self._run is not None:
            self._run.stop()
            await self._run.ended.wait()
        self.conversation = self._blank()
        self._set_title("")
        await self.chat.transcript.show(())
        self.chat.show_welcome(True)
        if self._model is not None:
            self.conversation.model = self._model.name
            self.chat.welcome.ready(self._model.name)
        self.activity = replace(self.activity, tokens=0, tokens_per_s=None, ttft_s=None, context_used=None)

    def action_get_starter(self) -> None:
        """Get the starter model, if there is none yet."""
        if self._model is None:
            self._get_starter()

    def action_page_up(self) -> None:
        """Scroll the conversation up by a page."""
        self.chat.transcript.page(-1)

    def action_page_down(self) -> None:
        """Scroll the conversation down by a page."""
        self.chat.transcript.page(1)

    @on(messages.FollowRequested)
    def action_follow(self) -> None:
        """Go to the end of the conversation and stay there."""
        self.chat.transcript.follow()

    # ── helpers ──────────────────────────────────────────────────────────────────────────────────

    def _blank(self) -> Conversation:
        return Conversation(system_prompt=self._settings.chat.system_prompt, sampling=self._settings.sampling)

    def _last_reply(self) -> Turn | None:
        path = self.conversation.path()
        return path[-1] if path and path[-1].role == "assistant" and not path[-1].streaming else None

    def _set_title(self, title: str) -> None:
        self.conversation.title = title
        self.query_one(TopLine).title = title

    def _copy(self, text: str, what: str) -> None:
        self.app.copy_to_clipboard(text)
        self.notify(f"{what} was sent to the terminal's clipboard.", markup=False, timeout=3)


def _end(conversation: Conversation, turn: Turn, reply: ReplySoFar) -> Turn:
    """The turn with what the reply has brought; one that was broken off counts as cancelled."""
    conversation.append(turn.id, reply.text, reply.reasoning)
    return conversation.finish(
        turn.id,
        reply.finish_reason or "cancelled",
        provenance=_provenance(conversation, reply),
        error=reply.error,
    )


def _provenance(conversation: Conversation, reply: ReplySoFar) -> Provenance:
    timing = reply.timing
    return Provenance(
        model=conversation.model,
        sampling=conversation.sampling,
        system_prompt=conversation.system_prompt,
        prompt_tokens=reply.usage.prompt_tokens if reply.usage else None,
        completion_tokens=reply.usage.completion_tokens if reply.usage else None,
        ttft_s=timing.ttft_s if timing else None,
        itl_s=timing.itl_s if timing else None,
        decode_tokens_per_s=timing.decode_tokens_per_s if timing else None,
    )
