"""Finds the folders where other programs keep models. Blocks, so call it in a thread.

Sources, checked in 2026:
- Ollama: envconfig/config.go (OLLAMA_MODELS, else ~/.ollama/models); its Linux service has the home
  /usr/share/ollama (scripts/install.sh).
- LM Studio: lmstudio.ai/docs ("Import models": ~/.lmstudio/models/PUBLISHER/MODEL/FILE); older versions used
  ~/.cache/lm-studio. ~/.lmstudio-home-pointer holds another home, and settings.json there the
  `downloadsFolder`.
- llama.cpp: common/common.cpp, fs_get_cache_directory (LLAMA_CACHE, else the cache directory of the system
  and llama.cpp). Since 2026 it downloads into the Hugging Face cache.
- Jan: docs/data-folder (Jan/data below the application data, llamacpp/models/ID/model.gguf; before 0.6.6
  ~/jan/models); settings.json beside it may move the folder (`data_folder`).
- GPT4All: docs/gpt4all_desktop/settings.md ("Download Path") and mysettings.cpp (`modelPath` in
  nomic.ai/GPT4All.ini). Its Python bindings use ~/.cache/gpt4all.
- text-generation-webui: user_data/models, before 3.0 models, in its own folder.
- KoboldCpp has no folder of its own. Its .kcpps files name a model (koboldcpp.py: `model_param`).
"""

from __future__ import annotations

import configparser
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spnl_tui.hub.library.scan import Origin

_LARGEST_SETTINGS = 1 << 20


@dataclass(frozen=True, slots=True)
class Program:
    """A program that keeps models on this disk."""

    origin: Origin
    title: str
    removal: str
    """How to remove a model in that program. {name} is the model's name, {path} its file."""
    places: Callable[[Path, Mapping[str, str]], Iterator[Path]]
    """Yields the possible folders of models, given a home directory and an environment."""


@dataclass(frozen=True, slots=True)
class Place:
    """A folder or file with models of a program."""

    program: Program
    path: Path


def find_places(home: Path, environ: Mapping[str, str]) -> list[Place]:
    """Return the existing places, each once. A place shared by several programs counts as the first one's."""
    found: dict[str, Place] = {}
    for program in PROGRAMS:
        for path in program.places(home, environ):
            try:
                if path.exists():
                    found.setdefault(str(path.resolve()), Place(program, path))
            except OSError:  # another user's folder, such as that of Ollama's service
                continue
    return list(found.values())


def _ollama(home: Path, environ: Mapping[str, str]) -> Iterator[Path]:
    if given := environ.get("OLLAMA_MODELS", "").strip():
        yield Path(given).expanduser()
    yield home / ".ollama/models"
    yield Path("/usr/share/ollama/.ollama/models")


def _lm_studio(home: Path, environ: Mapping[str, str]) -> Iterator[Path]:
    pointed = _read(home / ".lmstudio-home-pointer").strip().splitlines()
    homes = [*(Path(line) for line in pointed[:1]), home / ".lmstudio", home / ".cache/lm-studio"]
    for folder in homes:
        for file in (folder / "settings.json", folder / ".internal/settings.json"):
            if isinstance(chosen := _json(file).get("downloadsFolder"), str) and chosen:
                yield Path(chosen)
        yield folder / "models"


def _llama_cpp(home: Path, environ: Mapping[str, str]) -> Iterator[Path]:
    if given := environ.get("LLAMA_CACHE", "").strip():
        yield Path(given)
    if sys.platform == "darwin":
        yield home / "Library/Caches/llama.cpp"
    yield _xdg(environ, "XDG_CACHE_HOME", home / ".cache") / "llama.cpp"


def _jan(home: Path, environ: Mapping[str, str]) -> Iterator[Path]:
    data = [_xdg(environ, "XDG_DATA_HOME", home / ".local/share") / "Jan"]
    data += [_xdg(environ, "XDG_CONFIG_HOME", home / ".config") / "Jan"]
    if sys.platform == "darwin":
        data.insert(0, home / "Library/Application Support/Jan")
    for folder in data:
        if isinstance(chosen := _json(folder / "settings.json").get("data_folder"), str) and chosen:
            yield from (Path(chosen) / "llamacpp/models", Path(chosen) / "models")
        yield from (folder / "data/llamacpp/models", folder / "data/models")
    yield home / "jan/models"


def _gpt4all(home: Path, environ: Mapping[str, str]) -> Iterator[Path]:
    settings = [_xdg(environ, "XDG_CONFIG_HOME", home / ".config") / "nomic.ai/GPT4All.ini"]
    data = [_xdg(environ, "XDG_DATA_HOME", home / ".local/share") / "nomic.ai/GPT4All"]
    if sys.platform == "darwin":
        data.insert(0, home / "Library/Application Support/nomic.ai/GPT4All")
    for file in settings:
        parser = configparser.ConfigParser(interpolation=None, strict=False)
        try:
            parser.read_string(_read(file))
        except configparser.Error:
            continue
        if chosen := parser.get("General", "modelPath", fallback="").strip('"'):
            yield Path(chosen)
    yield from data
    yield home / ".cache/gpt4all"


def _webui(home: Path, environ: Mapping[str, str]) -> Iterator[Path]:
    for folder in (home / "text-generation-webui", home / "oobabooga/text-generation-webui"):
        yield from (folder / "user_data/models", folder / "models")


def _koboldcpp(home: Path, environ: Mapping[str, str]) -> Iterator[Path]:
    for folder in (home / "koboldcpp", home / "KoboldCpp"):
        for file in sorted(folder.glob("*.kcpps")):
            settings = _json(file)
            for value in (settings.get("model_param"), settings.get("model")):
                if isinstance(value, str) and value and not value.startswith(("http:", "https:")):
                    yield folder / value
        yield folder / "models"
        yield folder


PROGRAMS: tuple[Program, ...] = (
    Program("ollama", "Ollama", "ollama rm {name}", _ollama),
    Program("lm-studio", "LM Studio", "delete it under My Models in LM Studio", _lm_studio),
    Program("llama.cpp", "llama.cpp", "delete {path}", _llama_cpp),
    Program("jan", "Jan", "delete it under Settings, Model Providers, Llama.cpp in Jan", _jan),
    Program("gpt4all", "GPT4All", "remove it under Models in GPT4All", _gpt4all),
    Program("text-generation-webui", "text-generation-webui", "delete {path}", _webui),
    Program("koboldcpp", "KoboldCpp", "delete {path}", _koboldcpp),
)


def _xdg(environ: Mapping[str, str], name: str, default: Path) -> Path:
    given = environ.get(name, "")
    return Path(given) if given.startswith("/") else default


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(_LARGEST_SETTINGS).decode("utf-8", "replace")
    except OSError:
        return ""


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(_read(path) or "{}")
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
