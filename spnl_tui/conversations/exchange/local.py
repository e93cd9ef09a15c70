"""Finds other programs' conversations on this disk. Blocks, so call it in a thread.

Sources: Ollama's app/store/store.go, llm's cli.py (`user_dir`), oterm's utils.py (`get_default_data_dir`), LM
Studio's docs ("Manage chats"), aichat's config/mod.rs (`sessions_dir`), parllama's settings_manager.py, Open
WebUI's docs (DATA_DIR).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

from spnl_tui.errors import StoreError

_Places: TypeAlias = Callable[[Path, Mapping[str, str]], Iterator[Path]]


def find_local(program: str, home: Path, environ: Mapping[str, str]) -> list[Path]:
    """Return the files and folders that contain this program's conversations.

    Raises:
        StoreError: there are none.
    """
    places = list(dict.fromkeys(PROGRAMS[program](home, environ)))
    if found := [place for place in places if place.exists()]:
        return found
    looked = ", ".join(str(place) for place in places)
    raise StoreError(
        f"{program} has no conversations on this disk",
        f"None of these exist: {looked}.",
        "If they are elsewhere, give the path of the file or folder.",
    )


def _data(home: Path, environ: Mapping[str, str]) -> Iterator[Path]:
    if sys.platform == "darwin":
        yield home / "Library/Application Support"
    given = environ.get("XDG_DATA_HOME", "")
    yield Path(given) if os.path.isabs(given) else home / ".local/share"


def _config(home: Path, environ: Mapping[str, str]) -> Iterator[Path]:
    if sys.platform == "darwin":
        yield home / "Library/Application Support"
    given = environ.get("XDG_CONFIG_HOME", "")
    yield Path(given) if os.path.isabs(given) else home / ".config"


def _given(environ: Mapping[str, str], name: str, below: str) -> Iterator[Path]:
    if value := environ.get(name, ""):
        yield Path(value) / below


def _ollama(home: Path, environ: Mapping[str, str]) -> Iterator[Path]:
    for data in _data(home, environ):
        yield data / "Ollama/db.sqlite"
    yield home / ".ollama/db.sqlite"


def _llm(home: Path, environ: Mapping[str, str]) -> Iterator[Path]:
    yield from _given(environ, "LLM_USER_PATH", "logs.db")
    for config in _config(home, environ):
        yield config / "io.datasette.llm/logs.db"


def _oterm(home: Path, environ: Mapping[str, str]) -> Iterator[Path]:
    yield from _given(environ, "OTERM_DATA_DIR", "store.db")
    for data in _data(home, environ):
        yield data / "oterm/store.db"


def _lm_studio(home: Path, environ: Mapping[str, str]) -> Iterator[Path]:
    for folder in (".lmstudio", ".cache/lm-studio"):
        yield home / folder / "conversations"


def _aichat(home: Path, environ: Mapping[str, str]) -> Iterator[Path]:
    yield from _given(environ, "AICHAT_SESSIONS_DIR", "")
    yield from _given(environ, "AICHAT_CONFIG_DIR", "sessions")
    for config in _config(home, environ):
        yield config / "aichat/sessions"


def _parllama(home: Path, environ: Mapping[str, str]) -> Iterator[Path]:
    yield from _given(environ, "PARLLAMA_DATA_DIR", "chats")
    yield home / ".parllama/chats"
    for data in _data(home, environ):
        yield data / "parllama/chats"


def _open_webui(home: Path, environ: Mapping[str, str]) -> Iterator[Path]:
    yield from _given(environ, "DATA_DIR", "webui.db")
    yield home / ".open-webui/webui.db"


PROGRAMS: Mapping[str, _Places] = {
    "ollama": _ollama,
    "llm": _llm,
    "oterm": _oterm,
    "lm-studio": _lm_studio,
    "aichat": _aichat,
    "parllama": _parllama,
    "open-webui": _open_webui,
}
"""How to find each program's conversations, by the name after `--from`."""
