"""The directories of spnl-chat, by the platform's conventions."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import platformdirs

APP_NAME = "spnl-chat"


@dataclass(frozen=True, slots=True)
class Paths:
    """The directories of one user. They may not exist yet."""

    config: Path
    """config.toml and the user's own themes/ and templates/."""
    data: Path
    """Data that must not be lost: conversations."""
    state: Path
    """Data that may be lost without harm: logs, paused pulls, counters."""
    cache: Path
    """Data that can be recreated: calibration, link directories for the engine."""
    runtime: Path
    """The socket of the resident engine. Gone after a restart of the machine."""

    @classmethod
    def for_user(cls) -> Paths:
        """Return the directories of the current user (by the XDG variables on Linux)."""
        return cls(
            config=Path(platformdirs.user_config_dir(APP_NAME, appauthor=False)),
            data=Path(platformdirs.user_data_dir(APP_NAME, appauthor=False)),
            state=Path(platformdirs.user_state_dir(APP_NAME, appauthor=False)),
            cache=Path(platformdirs.user_cache_dir(APP_NAME, appauthor=False)),
            runtime=_runtime_dir(),
        )

    @classmethod
    def below(cls, root: Path) -> Paths:
        """Return directories that all lie below one root, for tests and portable installations."""
        names = ("config", "data", "state", "cache", "runtime")
        return cls(**{name: root / name for name in names})

    @property
    def images(self) -> Path:
        """The images of conversations, each under the SHA-256 of its bytes."""
        return self.data / "images"

    @property
    def log_file(self) -> Path:
        """The rotating log of the program and of the output of mistral.rs."""
        return self.state / "spnl-chat.log"

    @property
    def resident_log_file(self) -> Path:
        """The rotating log of the resident engine and of its runners."""
        return self.state / "engine.log"


def _runtime_dir() -> Path:
    """Return the user's runtime directory, which also programs without a login session find.

    platformdirs would warn, and take a directory that any user could have created.
    """
    login = Path(os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}")
    if login.is_dir():
        return login / APP_NAME
    return Path(platformdirs.user_state_dir(APP_NAME, appauthor=False)) / "run"
