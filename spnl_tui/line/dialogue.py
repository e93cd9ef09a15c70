"""A dialogue in lines: the chat sessions, the model and the store, with a printer in place of a screen."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable
from pathlib import Path
from typing import TYPE_CHECKING

from spnl_tui.chat import events
from spnl_tui.chat.model import (
    CurrentModel,
    LoadFailed,
    ModelChosen,
    ModelEvent,
    ModelMissing,
    StarterDownload,
    StarterProgressed,
)
from spnl_tui.chat.recording import ReportingStore
from spnl_tui.chat.services import ChatServices, TokenMeters
from spnl_tui.chat.session import ChatSession
from spnl_tui.chat.sessions import Sessions
from spnl_tui.chat.status import Status
from spnl_tui.chat.tools import ConversationTools
from spnl_tui.conversations.conversation import Conversation
from spnl_tui.errors import CommandError, SpnlError, StoreError
from spnl_tui.headless.output import colour
from spnl_tui.line.background import TaskBackground
from spnl_tui.line.interrupts import Interrupts
from spnl_tui.line.printer import Printer
from spnl_tui.line.reading import LineReader, read_prompt
from spnl_tui.settings.write import write_setting
from spnl_tui.text import first_line, in_bytes

if TYPE_CHECKING:
    from spnl_tui.conversations.turn import Turn
    from spnl_tui.engine.backend import ModelHandle
    from spnl_tui.services import Services
    from spnl_tui.tools.agent import Question


class Dialogue:
    """The visible conversation, and what commands and prompts do with it."""

    def __init__(self, services: Services, reader: LineReader, interrupts: Interrupts) -> None:
        self.services = services
        self.reader = reader
        self.interrupts = interrupts
        settings = services.settings
        self.printer = Printer(
            sys.stdout,
            colour=colour(sys.stdout),
            show_thinking=settings.chat.show_thinking,
            clock=time.monotonic,
        )
        self.status = Status(time.monotonic)
        self.store = ReportingStore(services.store, self.printer.error)
        self._changed = asyncio.Event()
        self.background = TaskBackground(self._changed.set)
        self.model = CurrentModel(
            services.engine,
            self.status,
            first_model=services.model_to_begin_with,
            starter=StarterDownload(lambda: services.starter, services.to_handle),
            replying=lambda: self.session.replying,
        )
        self.chat_services = ChatServices(
            engine=services.engine,
            model=self.model,
            meters=TokenMeters(services.engine),
            status=self.status,
            store=self.store,
            settings=settings,
            background=self.background,
            clock=time.monotonic,
            tools=ConversationTools(
                settings,
                services.engine,
                self.printer.error,
                lambda name, rules: write_setting(services.config_file, name, list(rules)),
                services.mcp,
            ),
            may_leave_out=self._may_leave_out,
        )
        self.sessions = Sessions(self.chat_services, self.blank())
        self.sessions.subscribe(self._on_session_event)
        self.model.subscribe(self._on_model_event)
        self.listed: list[str] = []
        """The ids of the conversations listed last, so that a number names one."""
        self.deleted: list[Conversation] = []
        """The conversations that were deleted since the start."""
        self.leaving = False
        self._unsaved = 0
        self._started_fetch = 0.0

    @property
    def session(self) -> ChatSession:
        """The session of the visible conversation."""
        return self.sessions.visible

    @property
    def conversation(self) -> Conversation:
        """The visible conversation."""
        return self.session.conversation

    def blank(self) -> Conversation:
        """Return an empty conversation with the system prompt and the sampling of the settings."""
        settings = self.services.settings
        return Conversation(system_prompt=settings.chat.system_prompt, sampling=settings.sampling)

    # ── requests ─────────────────────────────────────────────────────────────────────────────────

    async def ask(self, label: str, default: str = "") -> str | None:
        """Return what the user types; None at the end of the input.

        Raises:
            KeyboardInterrupt: the user pressed Ctrl+C.
        """
        with self.interrupts.on(self.reader.interrupt):
            return await read_prompt(self.reader, label, default)

    async def send(self, typed: str) -> None:
        """Send a prompt with the files that it mentions, and print the reply.

        Raises:
            AttachmentError: a file cannot be read, is not text or is too large.
            CommandError: no model is available.
        """
        from spnl_tui.conversations.attachments import join, read

        self.needed_model()
        prose, attachments = await asyncio.to_thread(read, typed, Path.cwd(), self.services.media)
        for each in attachments:
            self.printer.note(f"attached {each.path}: {in_bytes(each.size)}")
        await self.session.candidates.close()
        await self.replied(self.session.send(join(prose, attachments)))

    async def replied(self, request: Awaitable[None]) -> None:
        """Await a request to the session, and then the end of its replies. Ctrl+C stops them."""
        with self.interrupts.on(self.session.stop):
            await request
            while self.session.busy or self._unsaved:
                self._changed.clear()
                await self._changed.wait()
                self.background.check()
        self.background.check()

    def needed_model(self) -> ModelHandle:
        """Return the current model.

        Raises:
            CommandError: no model is available.
        """
        if (model := self.model.model) is not None:
            return model
        if (refused := self.model.refused) is not None:
            raise refused
        hint = "Type /starter to download the starter model (94 MB)." if self.model.has_starter else ""
        raise CommandError("No model is on this machine", "spnl-chat pull NAME downloads one.", hint)

    async def use(self, model: ModelHandle) -> None:
        """Let this model answer from now on, and load it in the background."""
        await self.model.use(model)
        self.conversation.model = model.name
        self.background.restart("load", self.model.load)

    async def fetch_starter(self) -> None:
        """Download the starter model. Ctrl+C cancels the download."""
        fetching = asyncio.ensure_future(self.model.fetch_starter())
        with self.interrupts.on(fetching.cancel):
            await asyncio.wait([fetching])
        if fetching.cancelled():
            self.printer.note("download cancelled")
            return
        fetching.result()
        if (model := self.model.model) is not None:
            self.conversation.model = model.name
            self.printer.note(f"{model.name} is ready")

    async def open(self, prefix: str) -> None:
        """Show the conversation whose id begins so, or (empty) the last one.

        Raises:
            StoreError: no conversation has such an id, or several have.
        """
        if (store := await self.store.open()) is None:
            return
        found = await store.find(prefix)
        if not found and not prefix:
            raise StoreError("No conversation is stored", "", "Type a prompt to start one.")
        if prefix and len(found) != 1:
            raise StoreError(
                "Which conversation?" if found else "No such conversation",
                f"{len(found) or 'No'} ids begin with {prefix!r}.",
                "/chats lists the conversations.",
            )
        await self.show(await store.load(found[0]))

    async def show(self, conversation: Conversation) -> None:
        """Make this the visible conversation, and print its title and last turns."""
        self.sessions.show(conversation)
        self.sessions.forget_idle()
        path = conversation.path()
        if not path:
            return
        self.printer.note(
            f"{first_line(conversation.title, 60) or 'Untitled'}, {len(path)} turns. /show prints all"
        )
        self.print_turns(path[-2:])
        model = conversation.model
        if model and (self.model.model is None or self.model.model.name != model):
            found = await self._find(model)
            if found is not None:
                await self.use(found)
            else:
                other = self.model.model
                answers = f"{other.name} answers from now on" if other else "/model chooses another"
                self.printer.note(f"{model} is not on this machine: {answers}")

    async def _find(self, name: str) -> ModelHandle | None:
        try:
            return await self.services.find_model(name)
        except SpnlError as error:
            self.printer.error(error)
            return None

    def print_turns(self, turns: tuple[Turn, ...]) -> None:
        """Print turns with their speakers."""
        for turn in turns:
            self.printer.line(f"{self.printer.label(self.speaker(turn))}{turn.text}")
            if note := end_note(turn):
                self.printer.note(note)

    def speaker(self, turn: Turn) -> str:
        """Return the name at the beginning of a turn."""
        if turn.role != "assistant":
            return "you" if turn.role == "user" else "system"
        current = self.model.model
        name = turn.provenance.model if turn.provenance else (current.name if current else "model")
        return short_name(name)

    # ── events ───────────────────────────────────────────────────────────────────────────────────

    async def _on_session_event(self, session: ChatSession, event: events.SessionEvent) -> None:
        match event:
            case events.ReplyStarted(turn):
                self._unsaved += 1
                if not self._is_candidate(session, turn):
                    self.printer.reply_started(self.speaker(turn))
            case events.ReplyProgressed(turn, activity) if not self._is_candidate(session, turn):
                self.printer.reply_progressed(turn, activity)
            case events.ReplyEnded(turn):
                self._print_end(session, turn)
            case events.ReplySaved():
                self._unsaved -= 1
            case events.QuestionAsked(question):
                self.background.start("question", self._ask_permission, session, question)
            case events.MemoryChanged(memory) if memory.begins is not None:
                self.printer.note("the context is full: the model no longer sees the first turns")
            case _:
                pass
        self._changed.set()

    def _is_candidate(self, session: ChatSession, turn: Turn) -> bool:
        """Return True for one of several replies, which are printed whole, one after the other."""
        return (candidates := session.candidates.open) is not None and turn.id in candidates.turns

    def _print_end(self, session: ChatSession, turn: Turn) -> None:
        candidates = session.candidates.open
        if candidates is not None and turn.id in candidates.turns:
            number = candidates.turns.index(turn.id) + 1
            label = candidates.labels.get(turn.id) or self.speaker(turn)
            self.printer.reply_started(f"{number} {label}")
        self.printer.reply_ended(turn)
        if turn.finish_reason == "failed":
            title, _, rest = turn.error.partition("\n")
            self.printer.error(SpnlError(title or "The reply failed", rest))
            return
        if note := end_note(turn):
            self.printer.note(note)
        self.printer.note(self.figures(turn))

    def figures(self, turn: Turn) -> str:
        """Return the tokens, speed and context of a reply."""
        own = turn.provenance
        if own is None:
            return "no figures"
        parts = []
        if own.completion_tokens:
            parts.append(f"{own.completion_tokens:,} token{'s' * (own.completion_tokens != 1)}")
        if own.decode_tokens_per_s:
            parts.append(f"{own.decode_tokens_per_s:.1f}/s")
        if own.ttft_s is not None:
            parts.append(f"first after {own.ttft_s:.1f} s")
        model = self.model.model
        length = self.model.context_length(model) if model is not None else None
        if own.prompt_tokens:
            used = own.prompt_tokens + (own.completion_tokens or 0)
            parts.append(f"context {used:,}{f' of {length:,}' if length else ''}")
        return ", ".join(parts) or "no figures"

    async def _on_model_event(self, event: ModelEvent) -> None:
        match event:
            case StarterProgressed(progress):
                if time.monotonic() - self._started_fetch >= 5:
                    self._started_fetch = time.monotonic()
                    of = f" of {in_bytes(progress.total)}" if progress.total else ""
                    self.printer.note(f"{progress.stage}: {in_bytes(progress.done)}{of}")
            case ModelMissing(error) if error is not None:
                self.printer.error(error)
            case LoadFailed(error):
                self.printer.error(error)
            case ModelChosen(model) if model.host is not None:
                self.printer.note(f"{model.name} answers: your words leave this machine for {model.host}")
            case _:
                pass

    async def _ask_permission(self, session: ChatSession, question: Question) -> None:
        from spnl_tui.line.permission import NO_USER, ask_permission
        from spnl_tui.tools.agent import Answer

        if not sys.stdin.isatty():  # the next line of a script is no answer
            session.questions.answer(question, Answer(allowed=False, reason=NO_USER))
            return
        allow = self.chat_services.tools.allow_always
        try:
            answer = await ask_permission(question, self.printer, self.ask, allow)
        except KeyboardInterrupt:
            session.stop()
            return
        session.questions.answer(question, answer)

    async def _may_leave_out(self, conversation: Conversation, count: int) -> bool:
        self.printer.note(f"the context is full. Answer without the {count} oldest turns?")
        return ((await self.ask("y/n> ")) or "").strip().lower() in ("y", "yes")


def short_name(model: str) -> str:
    """Return a model's name without its organization."""
    return model.rpartition("/")[2] or model


def end_note(turn: Turn) -> str:
    """Return how a reply ended, unless the model ended it itself."""
    said = bool(turn.text.strip())
    match turn.finish_reason:
        case "cancelled":
            why = f": {turn.error}" if turn.error else ""
            return f"stopped{why}. /continue continues, /regenerate asks again"
        case "length":
            return "cut off at the limit of max_tokens. /continue continues"
        case "stop" if not said:
            return (
                "no reply: the model only thought"
                if turn.reasoning.strip()
                else "no reply: the model ended it at once"
            )
        case _:
            return ""
