"""Pictures of the list, the search, siblings, the marker and the meter, small and large."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, TextArea

from spnl_tui.conversations.conversation import Conversation
from spnl_tui.conversations.storage.store import Store
from spnl_tui.conversations.turn import Provenance, Turn
from spnl_tui.engine.backend import ReplyFinished
from spnl_tui.models.parts import as_content
from spnl_tui.settings import Persona, Settings
from spnl_tui.settings.schema import ContextSettings
from spnl_tui.ui.conversations.persona_screen import PersonaScreen
from spnl_tui.ui.conversations.search_screen import SearchScreen
from spnl_tui.ui.conversations.tree_screen import TreeScreen
from spnl_tui.ui.main_screen import MainScreen
from tests.support.pictures import Act, ask, both_sizes, finished, snapshot
from tests.support.scripted_engine import ScriptedEngine, reply
from tests.support.waiting import wait_until
from tests.ui.support import TempStore, make_app

NOON = 1_768_046_400.0  # 10 January 2026
DAY = 86_400.0

TALKS = (
    ("Where trains are faster than planes", 1.2, "In which countries are trains faster than planes?"),
    ("A regular expression for dates", 2.0, "Write a regular expression for ISO dates."),
    ("Tell me about Paris?", 3.0, "Tell me about Paris, and the trains that go there."),
    ("日本語の挨拶について教えてください、とくに朝と夜の", 5.0, "朝の挨拶は?"),
    ("Compost, and what must not go into it whatever the neighbours say", 40.0, "What may I compost?"),
    ("Old plans", 500.0, "Plan a week in the mountains, by train."),
)


DATES = """\
`fullmatch` anchors a pattern at both ends, so that *2026-01-10 or so* is refused:

```python
DATE = re.compile(r"\\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\\d|3[01])")

def is_date(text: str) -> bool:
    return DATE.fullmatch(text) is not None
```

A pattern knows nothing of **months**. Where that matters, ask the calendar:

| | 2026-01-10 | 2026-02-30 |
|---|---|---|
| `DATE.fullmatch` | a date | a date |
| `date.fromisoformat` | a date | none |
"""


class Seeded(TempStore):
    """A store with a few conversations from fixed days."""

    def __init__(self, file: Path, answers: Mapping[str, str]) -> None:
        super().__init__(file)
        self.answers = answers

    async def __call__(self) -> Store:
        begun = self._opening is not None
        store = await super().__call__()
        if not begun:
            for title, days, text in TALKS:
                then = NOON - days * DAY
                prompt = Turn(
                    id=f"p{days}", parent=None, role="user", content=as_content(text), created_at=then
                )
                answer = replace(
                    prompt,
                    id=f"r{days}",
                    parent=prompt.id,
                    role="assistant",
                    content=as_content(
                        self.answers.get(
                            f"c{days}", "By **train** one is there in no time: it goes every hour."
                        )
                    ),
                    finish_reason="stop",
                    provenance=Provenance(model="SmolLM2-135M-Instruct"),
                )
                details = Conversation(
                    id=f"c{days}", title=title, created_at=then, updated_at=then, pinned=title == "Old plans"
                )
                conversation = Conversation.of(details, [prompt, answer])
                conversation.updated_at = then
                await store.add(conversation)
        return store


def picture(
    snap_compare: Any,
    tmp_path: Path,
    size: tuple[int, int],
    act: Act,
    engine: ScriptedEngine | None = None,
    resume: str | None = "c1.2",
    settings: Settings | None = None,
    answers: Mapping[str, str] | None = None,
) -> None:
    store = Seeded(tmp_path / "c.db", answers or {})
    app = make_app(
        engine or ScriptedEngine(), store=store, now=lambda: NOON, resume=resume, settings=settings
    )
    snapshot(snap_compare, app, size, act)
    asyncio.run(store.close())


@pytest.mark.slow
@both_sizes
def test_list(snap_compare: Any, tmp_path: Path, size: tuple[int, int]) -> None:
    async def act(pilot: Pilot[None], screen: MainScreen) -> None:
        await wait_until(lambda: len(screen.conversation))
        await pilot.press("f5")
        await wait_until(lambda: len(screen.chat.conversation_list.items) == len(TALKS))

    picture(snap_compare, tmp_path, size, act)


def test_readme_picture(snap_compare: Any, tmp_path: Path) -> None:
    async def act(pilot: Pilot[None], screen: MainScreen) -> None:
        await wait_until(lambda: len(screen.conversation))
        await pilot.press("f5")
        await wait_until(lambda: len(screen.chat.conversation_list.items) == len(TALKS))
        screen.chat.prompt.focus()
        screen.chat.prompt.insert("And for times of day?")

    picture(snap_compare, tmp_path, (120, 30), act, resume="c2.0", answers={"c2.0": DATES})


@pytest.mark.slow
@both_sizes
def test_search(snap_compare: Any, tmp_path: Path, size: tuple[int, int]) -> None:
    async def act(pilot: Pilot[None], screen: MainScreen) -> None:
        await wait_until(lambda: len(screen.conversation))
        await pilot.press("ctrl+f")
        await wait_until(lambda: isinstance(pilot.app.screen, SearchScreen))
        search = pilot.app.screen
        assert isinstance(search, SearchScreen)
        search.query_one(Input).cursor_blink = False
        await pilot.press(*"train")
        await wait_until(lambda: search.searched == "train")

    picture(snap_compare, tmp_path, size, act)


@pytest.mark.slow
@both_sizes
@pytest.mark.parametrize("cursor", [False, True], ids=["plain", "cursor"])
def test_siblings(snap_compare: Any, tmp_path: Path, size: tuple[int, int], cursor: bool) -> None:
    engine = ScriptedEngine([reply("Paris."), reply("It is **Paris**."), reply("Paris, on the Seine.")])

    async def act(pilot: Pilot[None], screen: MainScreen) -> None:
        await ask(pilot, screen, "Capital of France?", finished(screen, 2))
        for _ in range(2):
            before = screen.conversation.path()[-1].id
            await pilot.press("ctrl+r")
            await wait_until(lambda before=before: screen.conversation.path()[-1].id != before)
            await wait_until(finished(screen, 2))
        await pilot.press("alt+left")
        await wait_until(lambda: screen.conversation.path()[-1].text == "It is **Paris**.")
        if cursor:
            await pilot.press("alt+up", "alt+up", "ctrl+e")
            await wait_until(lambda: screen.activity.unsent)

    picture(snap_compare, tmp_path, size, act, engine, resume=None)


@pytest.mark.slow
@both_sizes
def test_meter_and_marker(snap_compare: Any, tmp_path: Path, size: tuple[int, int]) -> None:
    script = reply(" ".join(["word"] * 40))[:-1]
    end = ReplyFinished(finish_reason="stop")
    engine = ScriptedEngine([[*script, end] for _ in range(6)], context_length=256)

    async def act(pilot: Pilot[None], screen: MainScreen) -> None:
        for number in range(6):
            await ask(pilot, screen, f"Question number {number}", finished(screen, 2 * number + 2))
        screen.chat.prompt.insert("four words more, unsent")

    picture(snap_compare, tmp_path, size, act, engine, resume=None)


@pytest.mark.slow
@both_sizes
def test_tree(snap_compare: Any, tmp_path: Path, size: tuple[int, int]) -> None:
    engine = ScriptedEngine(
        [reply("Paris."), reply("It is **Paris**, on the Seine."), reply("Two million, and ten around it.")]
    )

    async def act(pilot: Pilot[None], screen: MainScreen) -> None:
        await ask(pilot, screen, "Capital of France?", finished(screen, 2))
        await pilot.press("ctrl+r")
        await wait_until(lambda: "Seine" in screen.conversation.path()[-1].text)
        await wait_until(finished(screen, 2))
        await ask(pilot, screen, "How many people live there?", finished(screen, 4))
        await pilot.press("alt+t")
        await wait_until(lambda: isinstance(pilot.app.screen, TreeScreen))

    picture(snap_compare, tmp_path, size, act, engine, resume=None)


@pytest.mark.slow
@both_sizes
@pytest.mark.parametrize("wrong", [False, True], ids=["well", "wrong"])
def test_persona(snap_compare: Any, tmp_path: Path, size: tuple[int, int], wrong: bool) -> None:
    async def act(pilot: Pilot[None], screen: MainScreen) -> None:
        screen.conversation.system_prompt = (
            "You are a patient teacher of French.\nAnswer in French, then English."
        )
        await pilot.press("alt+r")
        await wait_until(lambda: isinstance(pilot.app.screen, PersonaScreen))
        for line in pilot.app.screen.query(Input):
            line.cursor_blink = False
        pilot.app.screen.query_one(TextArea).cursor_blink = False
        if wrong:
            pilot.app.screen.query_one("#temperature", Input).value = "3"

    settings = Settings(personas={"teacher": Persona(description="French, with patience")})
    picture(snap_compare, tmp_path, size, act, resume=None, settings=settings)


@pytest.mark.slow
@both_sizes
def test_summary(snap_compare: Any, tmp_path: Path, size: tuple[int, int]) -> None:
    end = ReplyFinished(finish_reason="stop")
    script = [*reply(" ".join(["word"] * 40))[:-1], end]
    summary = [*reply("They spoke of words, and counted them.")[:-1], end]
    engine = ScriptedEngine([*[script] * 4, summary, [*reply("Fine.")[:-1], end]], context_length=256)

    async def act(pilot: Pilot[None], screen: MainScreen) -> None:
        for number in range(5):
            await ask(pilot, screen, f"Question number {number}", finished(screen, 2 * number + 2))
        await pilot.press("ctrl+t", "pageup")

    settings = Settings(context=ContextSettings(policy="summarize"))
    picture(snap_compare, tmp_path, size, act, engine, resume=None, settings=settings)
