"""The application around the screen: themes, keys, and what went wrong on the way."""

from __future__ import annotations

from collections import Counter

import pytest
from textual.theme import Theme

from spnl_tui.app import SpnlChat
from spnl_tui.errors import SpnlError, ThemeError
from spnl_tui.settings import InterfaceSettings, Settings
from spnl_tui.ui.commands.registry import COMMANDS
from spnl_tui.ui.services import InterfaceServices
from tests.support.scripted_engine import ScriptedEngine, scripted_handle
from tests.support.waiting import wait_until

WANTED, OTHER = Theme("wanted", primary="#88c0d0"), Theme("other", primary="#bf616a")


def make_app(settings: Settings, **options: object) -> SpnlChat:
    services = InterfaceServices(engine=ScriptedEngine(), to_handle=scripted_handle)
    return SpnlChat(settings, services, **options)  # type: ignore[arg-type]  # by name


def told(app: SpnlChat) -> str:
    """The toasts' texts."""
    return "\n".join(notification.message for notification in app._notifications)


@pytest.mark.slow
async def test_theme_from_settings_is_used_and_a_chosen_one_is_saved() -> None:
    kept: list[tuple[str, str]] = []
    app = make_app(
        Settings(interface=InterfaceSettings(theme="wanted")),
        themes=(WANTED,),
        more_themes=lambda: ((OTHER,), (ThemeError("The theme broken cannot be used"),)),
        keep_setting=lambda name, value: kept.append((name, value)),
    )
    async with app.run_test():
        assert app.theme == "wanted"
        await wait_until(lambda: "other" in app.available_themes)
        await wait_until(lambda: len(app._notifications) == 1)  # the broken one is told
        app.theme = "other"
        await wait_until(lambda: kept == [("interface.theme", "other")])


@pytest.mark.slow
async def test_unknown_theme_and_key_are_reported_and_the_program_runs() -> None:
    app = make_app(
        Settings(interface=InterfaceSettings(theme="wantd"), keys={"chat.nw": "f6"}),
        more_themes=lambda: ((WANTED,), ()),
    )
    async with app.run_test():
        await wait_until(lambda: "chat.nw" in told(app) and "wantd" in told(app))
        assert "wanted" in told(app)
        assert "chat.new" in told(app)


@pytest.mark.parametrize(
    ("keys", "other"),
    [
        ({"chat.new": "ctrl+q"}, "app.quit"),
        ({"chat.new": "f6", "chat.stop": "f6"}, "chat.stop"),
        ({"chat.stop": "escape, f12"}, ""),
        ({"talks.pin": "x"}, ""),
        ({"chat.new": "ctrl+y", "chat.copy": "ctrl+n"}, ""),
    ],
)
async def test_key_of_two_commands_is_reported(keys: dict[str, str], other: str) -> None:
    app = make_app(Settings(keys=keys))
    async with app.run_test() as pilot:
        await pilot.pause()
        assert (f"is the key of {other}, too" in told(app)) == bool(other)
        assert ("is the key of" in told(app)) == bool(other)


@pytest.mark.slow
async def test_setting_that_cannot_be_written_is_reported() -> None:
    def refuse(name: str, value: str) -> None:
        raise SpnlError("The configuration cannot be written", "Read-only.")

    app = make_app(
        Settings(interface=InterfaceSettings(theme="wanted")), themes=(WANTED, OTHER), keep_setting=refuse
    )
    async with app.run_test():
        await wait_until(lambda: not app.workers._workers)
        app.theme = "other"
        await wait_until(lambda: "Read-only" in told(app))


def test_commands_of_the_screen_have_distinct_keys() -> None:
    everywhere = [command for command in COMMANDS if command.place in ("app", "screen")]
    keys = Counter(key for command in everywhere for key in command.keys.split(","))
    # Esc means what can be left at the moment.
    assert [key for key, count in keys.items() if count > 1 and key not in ("", "escape")] == []
