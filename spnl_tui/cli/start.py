"""Opens the interface.

`spnl-chat` without arguments comes here directly, because importing click takes a twentieth of the start.
"""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spnl_tui.errors import SpnlError

if TYPE_CHECKING:
    from spnl_tui.queries.chat import OpenedQuery
    from spnl_tui.services import Services


def has_terminal() -> bool:
    """Return True if the interface can be shown: Textual reads standard input and draws on standard error."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def start() -> int:
    """Open the interface with the settings of the file and the environment. Return the exit code."""
    try:
        return open_interface(open_services())
    except KeyboardInterrupt:
        print("Aborted!", file=sys.stderr)  # as click says
        return 1
    except SpnlError as error:
        from spnl_tui.headless.output import FAILED, show_error

        show_error(error)
        return FAILED


def open_interface(
    services: Services, *, resume: str | None = None, opened: OpenedQuery | None = None
) -> int:
    """Run the interface on these services; see `run_app.run_app`."""
    # Start-up creates no garbage; looking for some is a tenth of the time to the first paint.
    gc.disable()
    from spnl_tui.run_app import run_app

    return run_app(services, resume=resume, opened=opened)


def open_services(
    config: Path | None = None, persona: str | None = None, flags: dict[str, Any] | None = None
) -> Services:
    """Return the services for the settings: the file, the environment, then these flags, by setting.

    Raises:
        SpnlError: a setting is not valid, or there is no such persona.
    """
    from spnl_tui.paths import Paths
    from spnl_tui.services import make_services
    from spnl_tui.settings import load_settings

    for name in [name for name in os.environ if name.startswith("HF_")]:
        # huggingface_hub, which reads them when it is imported, takes an empty one at its word.
        if not os.environ[name].strip():
            del os.environ[name]
    paths = Paths.for_user()
    settings = load_settings(
        config or paths.config / "config.toml",
        environ=os.environ,
        flags={name: value for name, value in (flags or {}).items() if value is not None},
        must_exist=config is not None,
    )
    if persona is not None:
        settings = settings.as_persona(persona)
    return make_services(settings, paths, config)
