"""The dialog with all settings."""

from __future__ import annotations

from pathlib import Path

from textual.widgets import Input, OptionList, Static

from spnl_tui.settings import Settings, load_settings
from spnl_tui.settings.write import write_setting
from spnl_tui.ui.dialogs.settings_screen import SettingsScreen
from tests.support.waiting import wait_until
from tests.ui.support import Chat, chat, told


def screen(it: Chat) -> SettingsScreen:
    assert isinstance(it.app.screen, SettingsScreen)
    return it.app.screen


def listed(it: Chat) -> list[str]:
    return [str(option.id) for option in screen(it).query_one(OptionList).options]


def explained(it: Chat) -> str:
    return str(screen(it).query_one(Static).render())


async def test_settings_are_found_changed_checked_and_restored(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text("# mine\n[chat]\nmarkdown = false\n")
    settings = load_settings(file)
    async with chat(
        settings=settings, keep_setting=lambda name, value: write_setting(file, name, value)
    ) as it:
        await it.press("alt+comma")
        await wait_until(lambda: isinstance(it.app.screen, SettingsScreen))
        assert len(listed(it)) > 40
        assert "hub.token" not in listed(it)

        await it.press(*"markdown")
        assert listed(it)[0] == "chat.markdown"
        assert "no, set in" in explained(it)
        assert "line 3" in explained(it)

        await it.press("enter")
        await wait_until(lambda: "markdown = true" in file.read_text())
        assert "Applies from the next start on." in explained(it)
        await it.press("delete")
        await wait_until(lambda: "markdown" not in file.read_text())
        assert "the default" in explained(it)
        assert file.read_text().startswith("# mine\n")

        screen(it).query_one(Input).value = "sampling.temperature"
        await it.press("enter")
        await wait_until(lambda: not isinstance(it.app.screen, SettingsScreen))
        await it.press("ctrl+u", *"9", "enter")
        await wait_until(lambda: any("out of range" in message for message in told(it)))
        assert load_settings(file) == Settings()

        await it.press("enter")
        await wait_until(lambda: not isinstance(it.app.screen, SettingsScreen))
        await it.press("ctrl+u", *"0.9", "enter")
        await wait_until(lambda: load_settings(file).sampling.temperature == 0.9)
