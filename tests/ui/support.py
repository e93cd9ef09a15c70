"""The interface for tests: real Textual, a scripted engine, a clock that stands still."""

from __future__ import annotations

import asyncio
import functools
import sqlite3
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from textual.message import Message
from textual.pilot import Pilot
from textual.strip import Strip
from textual.theme import Theme

from spnl_tui.app import SpnlChat
from spnl_tui.chat.model import Progress, Starter
from spnl_tui.conversations.conversation import Conversation
from spnl_tui.conversations.drafts import DraftFile
from spnl_tui.conversations.personal_prompts import PersonalPrompts
from spnl_tui.conversations.storage.store import Store
from spnl_tui.engine.backend import Backend, ModelHandle
from spnl_tui.errors import SpnlError, StoreError
from spnl_tui.hub.inspection import ModelBrowser
from spnl_tui.hub.offers import ModelHere, ModelOffers
from spnl_tui.hub.pulls.queue import PullQueue
from spnl_tui.media.media_reader import MediaReader
from spnl_tui.models.files.local import LocalModel
from spnl_tui.models.first_models import FirstModel
from spnl_tui.queries.chat import OpenedQuery
from spnl_tui.serving import ServerSwitch
from spnl_tui.settings import Persona, Settings
from spnl_tui.settings.editing import SettingValue
from spnl_tui.themes import builtin_directory, load_themes
from spnl_tui.ui import messages
from spnl_tui.ui.chat.input.completion_list import Completions
from spnl_tui.ui.chat.input.prompt import Prompt
from spnl_tui.ui.chat.transcript import Transcript
from spnl_tui.ui.commands.command import Command
from spnl_tui.ui.commands.registry import COMMANDS
from spnl_tui.ui.main_screen import MainScreen
from spnl_tui.ui.models.servers import Survey
from spnl_tui.ui.services import InterfaceServices
from tests.support.scripted_engine import MODEL, ScriptedEngine, Step, reply, scripted_handle
from tests.support.waiting import wait_until


async def at_rest(pilot: Pilot[None]) -> None:
    """Wait until the picture is complete: two refreshes in a row leave every line as it was.

    One refresh does not suffice, because scrollbars follow a layout one frame later.
    """
    frames: list[list[Strip]] = []
    while len(frames) < 3 or frames[-3] != frames[-1] or frames[-2] != frames[-1]:
        await pilot.pause()
        refreshed = asyncio.Event()
        pilot.app.screen.refresh()
        pilot.app.screen.call_after_refresh(refreshed.set)
        await refreshed.wait()
        frames.append(pilot.app.screen._compositor.render_strips())


async def until_counted(screen: MainScreen) -> None:
    """Wait until the status line has counted the unsent words, which it does once typing pauses."""
    words = (await screen.prompts.unsent()).split()
    await wait_until(lambda: screen.activity.unsent == len(words))


@dataclass
class ScriptedStarter:
    """A starter model that arrives when the test says so, or fails."""

    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    error: SpnlError | None = None
    asked: int = 0

    async def get(self) -> AsyncGenerator[Progress | ModelHandle]:
        self.asked += 1
        yield Progress("downloading", 40_000_000, 98_362_432)
        await self.go_on.wait()
        if self.error is not None:
            raise self.error
        yield MODEL


class TempStore:
    """The real store in a file, one for the whole test, for any number of programs."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._opening: asyncio.Task[Store] | None = None

    async def __call__(self) -> Store:
        self._opening = self._opening or asyncio.create_task(Store.open(self.file))
        return await asyncio.shield(self._opening)

    async def close(self) -> None:
        if self._opening is not None:
            await (await self._opening).close()
            self._opening = None


async def disk_error(*args: object, **kwargs: object) -> Any:
    """Replace a method of the store with a disk error."""
    raise StoreError("The disk is broken")


@dataclass
class Chat:
    """An app under test, with short names for what tests examine."""

    pilot: Pilot[None]
    app: SpnlChat
    engine: Any
    """A ScriptedEngine, unless the test passes a backend of its own."""
    messages: list[Message]

    @property
    def screen(self) -> MainScreen:
        screen = self.app.screen_stack[0]
        assert isinstance(screen, MainScreen)
        return screen

    @property
    def prompt(self) -> Prompt:
        return self.screen.chat.prompt

    @property
    def transcript(self) -> Transcript:
        return self.screen.chat.transcript

    @property
    def turns(self) -> list[tuple[str, str]]:
        return [(turn.role, turn.text) for turn in self.screen.conversation.path()]

    def available(self, id: str) -> bool:
        """Whether the command with this id can run now."""
        return self.screen.commands.is_available(self.app.commands[id])

    def happened(self, *kinds: type[Message]) -> list[str]:
        """Return the names of the messages of these kinds, in order."""
        return [type(message).__name__ for message in self.messages if isinstance(message, kinds)]

    def ended(self) -> int:
        return len(self.happened(messages.ReplyEnded))

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)

    async def ask(self, text: str, *, wait: bool = True) -> None:
        """Type a prompt, send it, and wait for the end of the reply."""
        before = self.ended()
        self.prompt.insert(text)
        await self.press("enter")
        if wait:
            await wait_until(lambda: self.ended() > before and self.screen.activity.state == "idle")
            await self.pilot.pause()


@functools.cache
def _builtin_themes() -> tuple[tuple[Theme, ...], tuple[SpnlError, ...]]:
    """Read the themes only once."""
    themes, failures = load_themes(builtin_directory(), Path("/nonexistent"))
    return tuple(themes), tuple(failures)


def make_app(
    engine: Backend,
    *,
    settings: Settings | None = None,
    model: ModelHandle | None = MODEL,
    starter: Starter | None = None,
    problems: tuple[SpnlError, ...] = (),
    error: SpnlError | None = None,
    found: asyncio.Event | None = None,
    models: dict[str, ModelHandle] | None = None,
    store: Callable[[], Awaitable[Store]] | None = None,
    pull_queue: PullQueue | None = None,
    browser: ModelBrowser | None = None,
    survey: Survey | None = None,
    now: Callable[[], float] = time.time,
    resume: str | None = None,
    opened: OpenedQuery | None = None,
    keep_persona: Callable[[str, Persona], None] | None = None,
    keep_setting: Callable[[str, SettingValue], None] | None = None,
    to_handle: Callable[[LocalModel], ModelHandle] = scripted_handle,
    titles: bool = False,
    set_clipboard: Callable[[str], Awaitable[bool]] | None = None,
    drafts: DraftFile | None = None,
    media: MediaReader | None = None,
    models_that_see: Callable[[], Awaitable[Sequence[str]]] | None = None,
    strict: bool = True,
    commands: Iterable[Command] = COMMANDS,
    server: ServerSwitch | None = None,
    here: Sequence[str | ModelHere] = (),
    first: tuple[FirstModel, ...] = (),
    prompts: PersonalPrompts | None = None,
) -> SpnlChat:
    """Return the app; only its engine and clock are fake. The model is found when `found` is set."""

    async def first_model() -> ModelHandle | None:
        if found is not None:
            await found.wait()
        if error is not None:
            raise error
        return model

    async def find_model(name: str) -> ModelHandle | None:
        return (models or {}).get(name)

    async def model_offers() -> ModelOffers:
        named = tuple(ModelHere(name=name) if isinstance(name, str) else name for name in here)
        return ModelOffers(here=named, first=first, free_bytes=14_000_000_000)

    themes, _ = _builtin_themes()
    services = InterfaceServices(
        engine=engine,
        server=server,
        to_handle=to_handle,
        first_model=first_model,
        find_model=find_model,
        model_offers=model_offers,
        prompts=prompts,
        starter=starter,
        store=store,
        pull_queue=None if pull_queue is None else lambda: pull_queue,
        browser=None if browser is None else lambda: browser,
        survey=survey,
        close=() if pull_queue is None else (pull_queue.close,),
        clock=lambda: 0.0,
        now=now,
        resume=resume,
        opened=opened,
        keep_persona=keep_persona,
        set_clipboard=set_clipboard,
        drafts=drafts,
        media=None if media is None else lambda: media,
        models_that_see=models_that_see,
    )
    settings = settings or Settings()
    # One more request, which most tests do not expect.
    settings = replace(settings, chat=replace(settings.chat, automatic_titles=titles))
    app = SpnlChat(
        settings,
        services,
        themes=themes,
        problems=problems,
        strict=strict,
        commands=commands,
        keep_setting=keep_setting,
    )
    app.animation_level = "none"
    return app


@asynccontextmanager
async def chat(
    engine: Backend | None = None,
    *,
    size: tuple[int, int] = (80, 24),
    toasts: bool = False,
    **options: Any,
) -> AsyncIterator[Chat]:
    """Run the interface until it accepts keys.

    `toasts`: draw notifications instead of only recording them.
    """
    engine = engine or ScriptedEngine()
    seen: list[Message] = []
    known: set[int] = set()
    app = make_app(engine, **options)

    def hook(message: Message) -> None:
        # A message that bubbles arrives once per widget on its way. `seen` keeps it, so its id stays its own.
        if id(message) not in known:
            known.add(id(message))
            seen.append(message)

    async with app.run_test(size=size, notifications=toasts, message_hook=hook) as pilot:
        it = Chat(pilot, app, engine, seen)
        await wait_until(lambda: app.focused is it.prompt)
        await pilot.pause()
        yield it


def held(text: str, hold: asyncio.Event, rest: str = "") -> list[Step]:
    """Return a reply that waits after its first text."""
    script = reply(text + rest, pieces=1)
    whole = reply(text)
    return [*whole[:-1], hold, *(reply(rest)[1:] if rest else script[-1:])]


def typed_ahead(it: Chat, *texts: str) -> None:
    """Type and send these texts at once, as after a stall of the interface."""
    for text in texts:
        for key in [*text, "enter"]:
            it.app.simulate_key(key)


def told(it: Chat) -> list[str]:
    """Return the visible notifications."""
    return [f"{toast.title}: {toast.message}" for toast in it.app._notifications]


def last(it: Chat) -> tuple[str, str | None]:
    """Return text and finish reason of the last turn."""
    turn = it.screen.conversation.path()[-1]
    return turn.text, turn.finish_reason


async def ended(it: Chat, count: int) -> None:
    """Wait until `count` replies have ended."""
    await wait_until(lambda: it.ended() >= count and it.screen.activity.state == "idle")
    await it.pilot.pause()


async def go_to(it: Chat, text: str) -> None:
    """Move the cursor up to the turn with this text."""
    while (turn := it.screen.turns.under_cursor()) is None or turn.text != text:
        before = turn
        await it.press("alt+up")
        await wait_until(lambda before=before: it.screen.turns.under_cursor() is not before)


async def kept(store: TempStore) -> list[list[tuple[str, str, str | None]]]:
    """Return role, text and finish reason of the active branch of each stored conversation."""
    opened = await store()
    page = await opened.list()
    branches = [(await opened.load(item.id)).path() for item in page.items]
    return [[(turn.role, turn.text, turn.finish_reason) for turn in branch] for branch in branches]


async def until_kept(it: Chat, store: TempStore, check: Callable[[Conversation], bool]) -> None:
    """Wait until the stored state of the visible conversation satisfies `check`."""
    opened, id = await store(), it.screen.conversation.id
    async with asyncio.timeout(20):
        while not check(await opened.load(id)):  # noqa: ASYNC110 - no event tells of a file
            await asyncio.sleep(0.01)


def in_file(file: Path, text: str) -> bool:
    """Return True if another program finds a turn with this text in the store."""
    with closing(sqlite3.connect(file)) as connection:
        return bool(connection.execute("SELECT 1 FROM turn WHERE text = ?", (text,)).fetchall())


def offered(it: Chat) -> list[str]:
    """Return the labels in the list above the prompt, or none while it is hidden."""
    completions = it.screen.query_one(Completions)
    return [offer.label for offer in completions._offers] if completions.display else []
