"""Construct the interface from the services, and run it."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from spnl_tui.app import SpnlChat
from spnl_tui.chat.model import StarterDownload
from spnl_tui.ui.services import InterfaceServices

if TYPE_CHECKING:
    # The first paint does not need these.
    from collections.abc import AsyncGenerator

    from spnl_tui.endpoints import EndpointStatus
    from spnl_tui.hub.inspection import ModelBrowser
    from spnl_tui.hub.pulls.interrupted import InterruptedPull
    from spnl_tui.queries.chat import OpenedQuery
    from spnl_tui.services import Services
    from spnl_tui.settings import Persona
    from spnl_tui.settings.editing import SettingValue


async def _interrupted_pulls(services: Services) -> list[InterruptedPull]:
    from spnl_tui.hub.pulls.interrupted import interrupted_pulls

    return await interrupted_pulls(services.library)


def _make_browser(services: Services) -> ModelBrowser:
    from spnl_tui.hub.inspection import ModelBrowser

    return ModelBrowser(
        services.catalog,
        services.library,
        services.conditions,
        measure=lambda: services.conditions(measure=True),
    )


def run_app(services: Services, *, resume: str | None = None, opened: OpenedQuery | None = None) -> int:
    """Run the interface and return its exit code.

    `resume` is the id, or its beginning, of the conversation to open; empty opens the last one. `opened` is a
    query to open as a chat.
    """
    from spnl_tui.conversations.drafts import DraftFile
    from spnl_tui.conversations.personal_prompts import PersonalPrompts
    from spnl_tui.services import models_that_see
    from spnl_tui.serving import ServerSwitch, make_server
    from spnl_tui.themes import builtin_directory, load_themes, wanted_theme
    from spnl_tui.ui.chat.clipboard import set_clipboard

    builtin, own = builtin_directory(), services.paths.config / "themes"
    wanted = wanted_theme(services.settings.interface.theme, builtin, own)

    def keep_persona(name: str, persona: Persona) -> None:
        from spnl_tui.settings.write import write_persona

        write_persona(services.config_file, name, persona, services.settings.sampling)

    def keep_setting(name: str, value: SettingValue) -> None:
        from spnl_tui.settings.write import write_setting

        write_setting(services.config_file, name, value)

    server = ServerSwitch(partial(make_server, services))
    app = SpnlChat(
        services.settings,
        InterfaceServices(
            engine=services.engine,
            to_handle=services.to_handle,
            first_model=partial(services.model_to_begin_with, opened.model if opened else None),
            find_model=services.find_model,
            model_offers=services.model_offers,
            starter=StarterDownload(lambda: services.starter, services.to_handle),
            drafts=None if opened is not None else DraftFile(services.paths.state / "drafts"),
            prompts=PersonalPrompts(services.paths.config / "prompts", Path.cwd() / "prompts"),
            store=services.store,
            resume=resume,
            opened=opened,
            keep_persona=keep_persona,
            pull_queue=lambda: services.pull_queue,
            interrupted_pulls=partial(_interrupted_pulls, services),
            browser=lambda: _make_browser(services),
            survey=lambda: _survey(services),
            save_rules=lambda name, rules: keep_setting(name, list(rules)),
            mcp=services.mcp,
            set_clipboard=set_clipboard,
            media=lambda: services.media,
            models_that_see=partial(models_that_see, services),
            server=server,
            close=(server.stop, services.close),
        ),
        themes=() if wanted is None else (wanted,),
        more_themes=lambda: load_themes(builtin, own),
        keep_setting=keep_setting,
    )
    if services.settings.chat.backups:
        from spnl_tui.headless.history.daily import back_up_later

        back_up_later(services.config_file)
    app.run(mouse=services.settings.interface.mouse)
    return app.return_code or 0


def _survey(services: Services) -> AsyncGenerator[EndpointStatus, None]:
    from spnl_tui.endpoints import surveyed

    # The pane is only looked at: it must not ask for a password, or wait long.
    return surveyed(services.settings, services.paths, patience_s=3.0, commands=False)
