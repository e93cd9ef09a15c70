"""The directories of spnl-chat, by the platform's conventions."""

from __future__ import annotations

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

    @classmethod
    def for_user(cls) -> Paths:
        """Return the directories of the current user (by the XDG variables on Linux)."""
        return cls(
            config=Path(platformdirs.user_config_dir(APP_NAME, appauthor=False)),
            data=Path(platformdirs.user_data_dir(APP_NAME, appauthor=False)),
            state=Path(platformdirs.user_state_dir(APP_NAME, appauthor=False)),
            cache=Path(platformdirs.user_cache_dir(APP_NAME, appauthor=False)),
        )

    @classmethod
    def below(cls, root: Path) -> Paths:
        """Return directories that all lie below one root, for tests and portable installations."""
        return cls(config=root / "config", data=root / "data", state=root / "state", cache=root / "cache")

    @property
    def images(self) -> Path:
        """The images of conversations, each under the SHA-256 of its bytes."""
        return self.data / "images"

    @property
    def log_file(self) -> Path:
        """The rotating log of the program and of the output of mistral.rs."""
        return self.state / "spnl-chat.log"
