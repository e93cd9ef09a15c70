"""Where spnl-chat keeps its files, by the platform's own conventions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import platformdirs

APP_NAME = "spnl-chat"


@dataclass(frozen=True, slots=True)
class Paths:
    """The directories of one user. None of them need exist yet."""

    config: Path
    """config.toml, and themes/ and templates/ of the user's own."""
    data: Path
    """What must not be lost: conversations."""
    state: Path
    """What may be lost without harm: logs, paused pulls, counters."""
    cache: Path
    """What can be made again: calibration, link directories for the engine."""

    @classmethod
    def for_user(cls) -> Paths:
        """The directories of the user who runs the program (XDG variables are honoured on Linux)."""
        return cls(
            config=Path(platformdirs.user_config_dir(APP_NAME, appauthor=False)),
            data=Path(platformdirs.user_data_dir(APP_NAME, appauthor=False)),
            state=Path(platformdirs.user_state_dir(APP_NAME, appauthor=False)),
            cache=Path(platformdirs.user_cache_dir(APP_NAME, appauthor=False)),
        )

    @classmethod
    def below(cls, root: Path) -> Paths:
        """All directories below one root, for tests and portable installs."""
        return cls(config=root / "config", data=root / "data", state=root / "state", cache=root / "cache")

    @property
    def log_file(self) -> Path:
        """The rotating log of the program and of what mistral.rs prints."""
        return self.state / "spnl-chat.log"
