"""Habits from other chat programs and from shells."""

from __future__ import annotations

from pathlib import Path

import pytest

from spnl_tui.ui.dialogs.info_screen import InfoScreen
from tests.support.conversations import talk
from tests.support.waiting import wait_until
from tests.ui.support import Chat, TempStore, chat, told


async def command(it: Chat, text: str) -> None:
    await it.press(*text, "enter")


@pytest.mark.slow
async def test_values_are_set_by_name_as_in_other_programs() -> None:
    async with chat() as it:
        await command(it, "/set temperature 0.3")
        await wait_until(lambda: it.screen.conversation.sampling.temperature == 0.3)
        await command(it, "/set parameter top_k 7")
        await wait_until(lambda: it.screen.conversation.sampling.top_k == 7)
        await command(it, "/set top_k none")
        await wait_until(lambda: it.screen.conversation.sampling.top_k is None)
        await command(it, "/set system Answer in French.")
        await wait_until(lambda: it.screen.conversation.system_prompt == "Answer in French.")
        assert it.screen.activity.system_prompt
        for wrong in ("/set temprature 1", "/set temperature hot", "/set seed"):
            await command(it, wrong)
            await wait_until(lambda wrong=wrong: it.prompt.text == wrong)  # nothing typed is lost
            it.prompt.text = ""
        assert any("Did you mean" in toast and "temperature" in toast for toast in told(it))


@pytest.mark.slow
async def test_info_shows_model_values_and_figures(tmp_path: Path) -> None:
    async with chat(size=(100, 30)) as it:
        await it.ask("Hi")
        await command(it, "/info")
        await wait_until(lambda: isinstance(it.app.screen, InfoScreen))
        screen = it.app.screen
        assert isinstance(screen, InfoScreen)
        facts = dict(screen._facts)
        assert facts["Model"] == "SmolLM2-135M-Instruct"
        assert facts["Turns"] == "2"
        assert facts["temperature"] == "0.6"
        await it.press("escape")
        await wait_until(lambda: it.app.screen is it.screen)


@pytest.mark.slow
async def test_load_opens_the_conversation_with_these_words(tmp_path: Path) -> None:
    store = TempStore(tmp_path / "c.db")
    opened = await store()
    for title in ("Apple pie", "Plum pie"):
        await opened.add(talk("Hi", title, title=title))
    async with chat(store=store) as it:
        await command(it, "/load plum")
        await wait_until(lambda: it.screen.conversation.title == "Plum pie")
        await command(it, "/load pie")
        chats = it.screen.chat.conversation_list
        await wait_until(lambda: chats.has_focus and len(chats.items) == 2)
    await store.close()


@pytest.mark.slow
async def test_save_writes_a_named_file_and_never_replaces_one(tmp_path: Path) -> None:
    async with chat() as it:
        await it.ask("Hi")
        file = tmp_path / "talk.md"
        await command(it, f"/save {file}")
        await wait_until(file.exists)
        await command(it, f"/save {file}")
        await wait_until(lambda: any("The file already exists" in toast for toast in told(it)))


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        (["ctrl+a", "x"], "xone two"),
        (["home", "ctrl+e", "x"], "one twox"),
        (["ctrl+a", "ctrl+d"], "ne two"),
        (["ctrl+a", "alt+d"], " two"),
        (["ctrl+w"], "one "),
        (["ctrl+u"], ""),
        (["ctrl+a", "ctrl+k"], ""),
    ],
)
async def test_readline_keys_edit_the_prompt(keys: list[str], text: str) -> None:
    async with chat() as it:
        await it.press(*"one two")
        await it.press(*keys)
        assert it.prompt.text == text


async def test_end_of_input_on_an_empty_prompt_quits() -> None:
    async with chat() as it:
        await it.press("x", "ctrl+d")
        assert it.app.is_running
        await it.press("backspace", "ctrl+d")
        await wait_until(lambda: it.app._exit)
