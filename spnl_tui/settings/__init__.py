"""The settings: defaults < config.toml < environment < command line, in one frozen object.

`schema` declares them, `load` reads them from the four sources, `write` changes one setting or persona in
the user's file (imported only where it is used), and `example` prints config.example.toml from the schema.
"""

from spnl_tui.settings.all_settings import Origin, Persona, Settings
from spnl_tui.settings.load import ENVIRONMENT, load_settings
from spnl_tui.settings.schema import (
    DEFAULT_CONTEXT,
    ChatSettings,
    ContextSettings,
    EngineSettings,
    HubSettings,
    InterfaceSettings,
    ModelSettings,
    PullSettings,
)

__all__ = [
    "DEFAULT_CONTEXT",
    "ENVIRONMENT",
    "ChatSettings",
    "ContextSettings",
    "EngineSettings",
    "HubSettings",
    "InterfaceSettings",
    "ModelSettings",
    "Origin",
    "Persona",
    "PullSettings",
    "Settings",
    "load_settings",
]
