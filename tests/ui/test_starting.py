"""The start: the model is found, fetched or missing, and what went wrong is told."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from textual.widgets import Static

from spnl_tui.errors import HubError, ModelFileError, PullError, StoreError
from spnl_tui.models.first_models import first_models
from spnl_tui.models.machine import Machine
from spnl_tui.settings import Settings
from spnl_tui.ui.dialogs.confirm_screen import ConfirmScreen
from spnl_tui.ui.widgets.top_line import TopLine
from tests.support.conversations import talk
from tests.support.scripted_engine import MODEL, ScriptedEngine
from tests.support.waiting import wait_until
from tests.ui.support import Chat, ScriptedStarter, TempStore, chat

OTHER = replace(MODEL, name="other", key=("other",))

# ── the model ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
async def test_first_run_offers_the_starter_and_sends_the_typed_prompt() -> None:
    starter = ScriptedStarter()
    async with chat(model=None, starter=starter) as it:
        await wait_until(lambda: "SmolLM2" in str(it.screen.chat.welcome.render()))
        assert it.screen.activity.state == "no model"
        await it.ask("Hello", wait=False)
        await wait_until(lambda: "41%" in str(it.screen.chat.welcome.render()))
        starter.go_on.set()
        await wait_until(it.ended)
        assert it.turns == [("user", "Hello"), ("assistant", "Yes.")]
        assert starter.asked == 1


async def test_first_run_also_offers_models_that_are_here_already() -> None:
    names = [f"ollama:[b]{number}:latest" for number in range(6)]
    async with chat(model=None, starter=ScriptedStarter(), here=names) as it:
        await wait_until(lambda: names[0] in str(it.screen.chat.welcome.render()))
        welcome = str(it.screen.chat.welcome.render())
        assert "SmolLM2" in welcome
        assert "and 2 more" in welcome
        assert "Alt+L lists them" in welcome


@pytest.mark.slow
async def test_enter_takes_the_row_that_the_arrows_highlight(tmp_path: Path) -> None:
    store = TempStore(tmp_path / "c.db")
    opened = await store()
    for title in ("Apples", "Plums"):
        await opened.add(talk("Hi", title, title=title))
    async with chat(store=store, models={"other": OTHER}, here=["other"]) as it:
        welcome = it.screen.chat.welcome
        await wait_until(lambda: "other" in str(welcome.render()))
        assert welcome.chosen is None  # Enter on an empty prompt does nothing by surprise
        await it.press("down", "down", "up", "down", "down")
        assert welcome.chosen is not None
        assert welcome.chosen.key == "other"
        await it.press("enter")
        await wait_until(lambda: it.screen.current_model.model == OTHER)
        await it.press("up")
        await wait_until(lambda: welcome.chosen is not None and welcome.chosen.title == "Apples")
        await it.press("enter")
        await wait_until(lambda: it.screen.conversation.title == "Apples")
    await store.close()


async def test_first_run_offers_models_that_fit_the_machine() -> None:
    machine = Machine(cores=4, fast_cores=4, memory_total=16 * 10**9, memory_available=14 * 10**9)
    async with chat(model=None, starter=ScriptedStarter(), first=first_models(machine, 8192)) as it:
        welcome = it.screen.chat.welcome
        await wait_until(lambda: "gemma3:1b:Q4_K_M" in str(welcome.render()))
        assert welcome.chosen is not None
        assert welcome.chosen.kind == "starter"
        await it.press("down")
        assert welcome.chosen.key == "gemma3:1b:Q4_K_M"


async def test_prompt_sent_before_the_model_is_found_waits_for_it() -> None:
    found, starter = asyncio.Event(), ScriptedStarter()
    async with chat(found=found, starter=starter) as it:
        await it.ask("Hello", wait=False)
        await it.pilot.pause()
        assert starter.asked == 0
        found.set()
        await wait_until(it.ended)
        assert it.turns == [("user", "Hello"), ("assistant", "Yes.")]
        assert starter.asked == 0


async def test_prompt_returns_when_no_model_is_found() -> None:
    found, starter = asyncio.Event(), ScriptedStarter()
    async with chat(found=found, model=None, starter=starter) as it:
        await it.ask("Hello", wait=False)
        found.set()
        await wait_until(lambda: it.prompt.text == "Hello")
        assert it.screen.activity.state == "no model"
        assert starter.asked == 0


@pytest.mark.slow
async def test_enter_downloads_the_starter_once() -> None:
    starter = ScriptedStarter()
    async with chat(model=None, starter=starter) as it:
        await wait_until(lambda: it.screen.activity.state == "no model")
        await it.press("enter", "enter", *"typed")
        await wait_until(lambda: starter.asked)
        starter.go_on.set()
        await wait_until(lambda: it.screen.activity.state == "idle")
        assert it.prompt.text == "typed"
        assert starter.asked == 1


async def test_failed_starter_download_keeps_the_prompt() -> None:
    starter = ScriptedStarter(error=PullError("No network", "Nothing answers.", "Try again."))
    starter.go_on.set()
    async with chat(model=None, starter=starter) as it:
        await wait_until(lambda: it.screen.activity.state == "no model")
        await it.ask("Hello", wait=False)
        await wait_until(lambda: it.prompt.text == "Hello")
        shown = str(it.screen.chat.welcome.render())
        assert "No network" in shown
        assert "Press Enter" in shown


async def test_unusable_model_is_named() -> None:
    error = ModelFileError("Not a model", "x.gguf is [empty].", "Pull it again.")
    async with chat(error=error) as it:
        await wait_until(lambda: "x.gguf is [empty]." in str(it.screen.chat.welcome.render()))


async def test_welcome_wider_than_the_terminal_wraps() -> None:
    # Narrower than the widest that a welcome may be, which wraps anyway.
    error = ModelFileError("Not a model", f"{'x' * 50}.gguf is empty.")
    async with chat(error=error, size=(60, 20)) as it:
        await wait_until(lambda: "is empty." in str(it.screen.chat.welcome.render()))
        await it.pilot.pause()
        assert it.screen.chat.welcome.region.right < 60
        assert it.screen.chat.welcome.size.height == 4


@pytest.mark.slow
async def test_missing_model_is_not_replaced_by_another() -> None:
    found, starter = asyncio.Event(), ScriptedStarter()
    error = HubError("The model is not on this machine", "a/b has not been pulled.", "Pull it.")
    async with chat(error=error, starter=starter, found=found) as it:
        await it.ask("Early", wait=False)
        found.set()
        await wait_until(lambda: it.prompt.text == "Early")
        shown = str(it.screen.chat.welcome.render())
        assert "a/b has not been pulled.\nPull it.\nPress F3 to pull or choose a model" in shown
        assert "SmolLM2" not in shown
        assert "Press Enter" not in shown
        await it.press("enter")
        await wait_until(lambda: it.app._notifications)
        (toast,) = it.app._notifications
        assert (toast.title, "a/b" in toast.message) == (error.title, True)
        await wait_until(lambda: it.prompt.text == "Early")
        await it.pilot.pause()
        assert (starter.asked, it.turns) == (0, [])
        # The starter comes if it is asked for.
        starter.go_on.set()
        await it.press("ctrl+g")
        await wait_until(lambda: it.screen.activity.state == "idle")
        await it.press("enter")
        await wait_until(it.ended)
        assert it.turns == [("user", "Early"), ("assistant", "Yes.")]


# ── problems ─────────────────────────────────────────────────────────────────────────────────────


async def test_problems_at_the_start_are_shown_as_toasts() -> None:
    async with chat(problems=(StoreError("Locked", "By [another].", "Close it."),)) as it:
        await wait_until(lambda: list(it.app._notifications))
        (toast,) = it.app._notifications
        assert (toast.title, toast.message, toast.markup) == ("Locked", "By [another].\nClose it.", False)


async def test_an_unknown_theme_is_reported() -> None:
    from spnl_tui.settings import InterfaceSettings

    async with chat(settings=Settings(interface=InterfaceSettings(theme="spnl-drak"))) as it:
        (toast,) = it.app._notifications
        assert "spnl-dark" in toast.message


@pytest.mark.slow
@pytest.mark.parametrize("key", ["escape", "y"])
async def test_conversation_whose_model_is_gone_asks_before_the_starter(store: TempStore, key: str) -> None:
    async with chat(store=store) as it:
        await it.ask("first")
    starter = ScriptedStarter()
    async with chat(model=None, starter=starter, store=store, resume="") as it:
        await wait_until(lambda: len(it.turns) == 2)
        await it.press(*"again", "enter")
        await wait_until(lambda: isinstance(it.app.screen, ConfirmScreen))
        assert starter.asked == 0
        assert MODEL.name in " ".join(str(part.render()) for part in it.app.screen.query(Static))
        await it.press(key)
        if key == "escape":
            await wait_until(lambda: it.prompt.text == "again")
            assert starter.asked == 0
        else:
            await wait_until(lambda: starter.asked == 1)
            starter.go_on.set()
            await wait_until(lambda: it.turns[2:] == [("user", "again"), ("assistant", "Yes.")])


GONE = "some-org/gone-model:Q4_K_M"


async def hold_with_gone_model(store: TempStore) -> None:
    """Store a conversation that was held with a model which is not on this machine."""
    async with chat(store=store, model=replace(MODEL, name=GONE)) as it:
        await it.ask("first")


@pytest.mark.slow
@pytest.mark.parametrize("answer", ["n", "y", "another"])
async def test_no_other_model_replies_in_place_of_a_gone_one_unasked(store: TempStore, answer: str) -> None:
    await hold_with_gone_model(store)
    engine, found = ScriptedEngine(), asyncio.Event()
    async with chat(engine, store=store, resume="", found=found) as it:
        await wait_until(lambda: len(it.turns) == 2)
        await it.ask("again", wait=False)  # before the program knows a model
        await it.pilot.pause()
        assert "sent when there is a model" in on_screen(it)
        found.set()
        await wait_until(lambda: isinstance(it.app.screen, ConfirmScreen))
        question = " ".join(str(part.render()) for part in it.app.screen.query(Static))
        assert f"{GONE} is not on this machine. Let {MODEL.name} answer?" in question
        assert engine.asked == []
        await it.press("n" if answer == "another" else answer)
        if answer == "y":
            await wait_until(lambda: it.turns[2:] == [("user", "again"), ("assistant", "Yes.")])
            await it.ask("once more")  # no second question
            return
        await wait_until(lambda: it.prompt.text == "again")
        assert not it.available("chat.regenerate")
        assert (engine.asked, it.screen.activity.state) == ([], "idle")
        assert it.screen.conversation.model == GONE
        if answer == "another":
            it.screen.switcher.switch(MODEL)
            await wait_until(lambda: it.screen.conversation.model == MODEL.name)
            await it.press("enter")
            await wait_until(lambda: it.turns[2:] == [("user", "again"), ("assistant", "Yes.")])


@pytest.mark.slow
async def test_current_model_replies_if_the_earlier_one_is_here_too(store: TempStore) -> None:
    await hold_with_gone_model(store)
    async with chat(store=store, resume="", models={GONE: MODEL}) as it:
        await wait_until(lambda: len(it.turns) == 2)
        await it.ask("again")
        assert it.turns[2:] == [("user", "again"), ("assistant", "Yes.")]


def on_screen(it: Chat) -> str:
    """Return the text of the screen."""
    return "\n".join(strip.text for strip in it.app.screen._compositor.render_strips())


@pytest.mark.parametrize(("size", "told"), [((40, 15), True), ((60, 20), False)])
async def test_small_terminal_is_told_what_the_program_needs(size: tuple[int, int], told: bool) -> None:
    async with chat(size=size) as it:
        assert ("needs 60×20" in str(it.screen.query_one(TopLine).render())) is told


async def test_welcome_names_a_model_file_without_its_folders() -> None:
    async with chat(model=replace(MODEL, name="/home/me/models/tiny.gguf")) as it:
        await wait_until(lambda: "tiny.gguf is ready" in str(it.screen.chat.welcome.render()))
        assert "/home/me" not in str(it.screen.chat.welcome.render())
