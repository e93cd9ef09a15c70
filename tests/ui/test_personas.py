"""Persona and sampling, tags, and what the search can choose by."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from textual.widgets import Input, OptionList, Select, Static, TextArea

from spnl_tui.models.request import Sampling
from spnl_tui.settings import Persona, Settings, load_settings
from spnl_tui.settings.write import write_persona
from spnl_tui.ui.conversations.persona_screen import PersonaScreen
from spnl_tui.ui.conversations.search_screen import SearchScreen
from spnl_tui.ui.dialogs.text_screen import TextScreen
from tests.support.scripted_engine import MODEL, ScriptedEngine, reply
from tests.support.waiting import wait_until
from tests.ui.support import Chat, TempStore, chat, told


async def editor(it: Chat) -> PersonaScreen:
    await it.press("alt+r")
    await wait_until(lambda: isinstance(it.app.screen, PersonaScreen))
    screen = it.app.screen
    assert isinstance(screen, PersonaScreen)
    await it.pilot.pause()
    return screen


def hint(screen: PersonaScreen) -> str:
    return str(screen.query_one("PersonaScreen > Vertical > Static", Static).render())


async def test_system_prompt_and_sampling_apply_from_the_next_turn(store: TempStore) -> None:
    async with chat(store=store) as it:
        await it.ask("Before")
        screen = await editor(it)
        screen.query_one(TextArea).text = "Be terse."
        screen.query_one("#temperature", Input).value = "0,2"
        screen.query_one("#top_k", Input).value = "40"
        await it.press("ctrl+s")
        await wait_until(lambda: it.screen.conversation.system_prompt)
        await it.ask("After")
        assert [message.role for message in it.engine.asked[0]] == ["user"]
        assert it.engine.asked[1][0].text == "Be terse."
        wanted = Sampling(temperature=0.2, top_k=40)
        turn = it.screen.conversation.path()[-1]
        assert turn.provenance is not None
        assert turn.provenance.sampling == wanted
        stored = await (await store()).load(it.screen.conversation.id)
        assert (stored.system_prompt, stored.sampling) == ("Be terse.", wanted)


async def test_all_values_are_readable_in_60_columns(store: TempStore) -> None:
    async with chat(store=store, size=(60, 20)) as it:
        screen = await editor(it)
        lines = [strip.text for strip in screen._compositor.render_strips()]
        for left, right in (("top p", "top k"), ("repetition penalty", "frequency penalty")):
            assert any(re.search(rf"{left} +not set {right} +not set[^\w]*$", line) for line in lines), lines


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("temperature", "3", "temperature is 3.0; it must lie in [0, 2]."),
        ("temperature", "warm", "temperature is 'warm'; it must be a number."),
        ("top_k", "1.5", "top_k is '1.5'; it must be a whole number."),
        ("max_tokens", "", "max_tokens must be set."),
    ],
)
async def test_invalid_value_is_reported_and_not_applied(name: str, value: str, said: str) -> None:
    async with chat() as it:
        before = it.screen.conversation.sampling
        screen = await editor(it)
        screen.query_one(f"#{name}", Input).value = value
        await it.pilot.pause()
        await it.press("ctrl+s")
        assert it.app.screen is screen
        assert said in hint(screen)
        await it.press("escape")
        assert it.screen.conversation.sampling == before


@pytest.mark.slow
async def test_persona_is_chosen_and_another_one_saved(store: TempStore, tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text("# mine\n[sampling]\ntop_p = 0.9\n\n[personas.poet]\nsystem_prompt = 'Rhyme.'\n")
    settings = load_settings(file)

    def keep(name: str, persona: Persona) -> None:
        write_persona(file, name, persona, settings.sampling)

    async with chat(store=store, settings=settings, keep_persona=keep) as it:
        screen = await editor(it)
        screen.query_one(Select).value = "poet"
        await wait_until(lambda: screen.query_one(TextArea).text == "Rhyme.")
        screen.query_one("#temperature", Input).value = "1.2"
        await it.pilot.pause()
        await it.press("f6")
        await wait_until(lambda: isinstance(it.app.screen, TextScreen))
        line = it.app.screen.query_one(Input)
        assert line.value == "poet"
        line.value = "bad name"
        await it.press("enter")
        await wait_until(lambda: "letters, digits" in hint(screen))
        await it.press("f6")
        await wait_until(lambda: isinstance(it.app.screen, TextScreen))
        it.app.screen.query_one(Input).value = "wild-poet"
        await it.press("enter")
        await wait_until(lambda: "Saved as wild-poet" in hint(screen))
        await it.press("ctrl+s")
        await wait_until(lambda: it.screen.conversation.system_prompt == "Rhyme.")
        # What the conversation is like now is selected when the editor opens again.
        screen = await editor(it)
        assert screen.query_one(Select).value == "wild-poet"
        screen.query_one(Select).value = "poet"
        await wait_until(lambda: screen.query_one("#temperature", Input).value != "1.2")
        await it.press("ctrl+s")
        await wait_until(lambda: it.screen.conversation.sampling.temperature != 1.2)
        screen = await editor(it)
        assert screen.query_one(Select).value == "poet"
    assert file.read_text().startswith("# mine\n")
    persona = load_settings(file).personas["wild-poet"]
    assert persona.system_prompt == "Rhyme."
    assert persona.sampling == Sampling(temperature=1.2, top_p=0.9)


@pytest.mark.slow
async def test_persona_from_the_command_line_is_selected(store: TempStore) -> None:
    other = replace(MODEL, name="other")
    poet = Persona(system_prompt="Rhyme.", model="other:1b", sampling=Sampling(temperature=0.3))
    settings = Settings(personas={"critic": Persona(), "poet": poet}).as_persona("poet")
    async with chat(store=store, settings=settings, models={"other:1b": other}) as it:
        screen = await editor(it)
        assert screen.query_one(Select).value == "poet"
        assert screen.query_one(TextArea).text == "Rhyme."
        screen.query_one("#temperature", Input).value = "0.9"
        await it.pilot.pause()
        await it.press("ctrl+s")
        await wait_until(lambda: it.screen.conversation.sampling.temperature == 0.9)
        # What the user uses stays: the persona was not chosen here.
        assert it.screen.current_model.model == MODEL
        screen = await editor(it)
        assert screen.query_one(Select).selection is None


@pytest.mark.slow
async def test_model_of_a_persona_answers_from_the_next_prompt() -> None:
    other = replace(MODEL, name="other")
    settings = Settings(personas={"big": Persona(model="big:70b"), "other": Persona(model="other:1b")})
    async with chat(settings=settings, models={"other:1b": other}) as it:
        for name in ("big", "other"):
            screen = await editor(it)
            screen.query_one(Select).value = name
            await it.pilot.pause()
            await it.press("ctrl+s")
            await wait_until(lambda: it.app.screen is it.screen)
            if name == "big":
                await wait_until(lambda: any("not on this" in n.message for n in it.app._notifications))
        await wait_until(lambda: it.screen.current_model.model == other)


@pytest.mark.slow
async def test_removing_the_persona_restores_the_values_of_the_conversation() -> None:
    other = replace(MODEL, name="other")
    poet = Persona(system_prompt="Rhyme.", model="other:1b", sampling=Sampling(temperature=0.3))
    async with chat(settings=Settings(personas={"poet": poet}), models={"other:1b": other}) as it:
        it.screen.conversation.system_prompt = "Be terse."
        screen = await editor(it)
        screen.query_one(Select).value = "poet"
        await wait_until(lambda: screen.query_one(TextArea).text == "Rhyme.")
        screen.query_one(Select).clear()
        await wait_until(lambda: screen.query_one(TextArea).text == "Be terse.")
        assert screen.query_one("#temperature", Input).value == "0.6"
        await it.press("ctrl+s")
        await wait_until(lambda: it.app.screen is it.screen)
        await it.pilot.pause()
        assert it.screen.conversation.sampling == Sampling()
        assert (it.screen.current_model.model, told(it)) == (
            MODEL,
            ["Persona and sampling changed: In this conversation, from the next turn on."],
        )


# ── tags and the search ──────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
async def test_tags_are_shown_and_found_by_search(store: TempStore) -> None:
    engine = ScriptedEngine([reply("The sea is wide."), reply("The sea is deep.")])
    async with chat(engine, store=store, size=(120, 30)) as it:
        await it.ask("Tell me about the sea")
        await it.press("f5", "alt+t")
        await wait_until(lambda: isinstance(it.app.screen, TextScreen))
        it.app.screen.query_one(Input).value = "#work, water,, work"
        await it.press("enter")
        talks = it.screen.chat.conversation_list
        await wait_until(lambda: talks.items and talks.items[0].tags == ("work", "water"))
        assert "#wor" in str(talks.get_option_at_index(1).prompt)
        await it.press("escape", "ctrl+n")
        await it.ask("And now the sea again")

        await it.press("ctrl+f")
        await wait_until(lambda: isinstance(it.app.screen, SearchScreen))
        await it.press(*"sea")
        hits = it.app.screen.query_one(OptionList)
        await wait_until(lambda: hits.option_count == 6)  # the titles, too
        await wait_until(lambda: it.app.screen._choices["tag"])  # type: ignore[attr-defined]
        await it.press("f3")
        await wait_until(lambda: hits.option_count == 3)
        assert "#water" in str(it.app.screen.query_one("#filters", Static).render())
        await it.press("f3", "f3", "f2")
        await wait_until(lambda: hits.option_count == 6)
        await it.press("f4")
        assert "today" in str(it.app.screen.query_one("#filters", Static).render())
