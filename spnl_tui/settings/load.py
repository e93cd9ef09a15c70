"""Load settings from their four sources: defaults < config.toml < environment < command line."""

from __future__ import annotations

import os
import re
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from spnl_tui.errors import SettingsError, SpnlError
from spnl_tui.models.request import Sampling
from spnl_tui.settings.all_settings import SECTIONS, Origin, Persona, Settings
from spnl_tui.settings.convert import Unfit, convert, from_text, hints_of, normal_keys
from spnl_tui.settings.endpoints import EndpointSettings, check_endpoint_name
from spnl_tui.settings.nearest import did_you_mean, nearest
from spnl_tui.settings.schema import McpServer
from spnl_tui.settings.toml import parse_toml
from spnl_tui.text import first_line
from spnl_tui.text_files import UnreadableFileError, read_text_file

ENVIRONMENT: Mapping[str, str] = {
    "SPNL_MODEL": "model.default",
    "SPNL_NUM_PARALLEL": "engine.num_parallel",
    "MISTRALRS_DEVICE": "engine.device",
    "MISTRALRS_DTYPE": "engine.dtype",
    "MISTRALRS_ISQ": "engine.in_situ_quantization",
    "MISTRALRS_PAGED_ATTN": "engine.paged_attention",
    "MISTRALRS_FLASH_ATTN": "engine.flash_attention",
    "MISTRALRS_PREFIX_CACHE_N": "engine.prefix_cache",
    "MISTRALRS_MAX_CONCURRENT": "engine.max_concurrent",
    "MISTRALRS_NO_STREAM": "engine.stream",
    "MISTRALRS_MODEL_CACHE_DIR": "hub.model_cache_dir",
    "MISTRALRS_HF_TOKEN": "hub.token",
}
"""Environment variable → setting.

MISTRALRS_NO_STREAM negates its setting. An empty variable counts as not set.
"""


MAX_FILE_BYTES = 1_000_000
_SERVER_NAME = re.compile("[A-Za-z0-9_-]{1,32}")


@dataclass(eq=False, repr=False, frozen=True, slots=True)
class _Given:
    """One value from one source."""

    name: str
    """The setting's full name: "sampling.top_p", "personas.coder.sampling.top_p"."""
    section: type
    key: str
    value: Any
    origin: Origin


def load_settings(
    file: Path,
    *,
    environ: Mapping[str, str] | None = None,
    flags: Mapping[str, object] | None = None,
    must_exist: bool = False,
) -> Settings:
    """Return the settings of this launch.

    `file` is `paths.config / "config.toml"`, or the file that `--config` names (then `must_exist`). `flags`
    maps full names to values, as in {"sampling.temperature": 0.2}; None means that the flag was not given.

    Raises:
        SettingsError: the file cannot be read, or a source has an unknown setting or a value of the wrong
        type
            or range. It names the file and line or the variable, and the nearest valid name.
    """
    if must_exist and not os.path.exists(file):
        reason = f"There is no file {file}."
        if file.is_symlink():
            reason = f"{file} is a link to {os.readlink(file)}, which does not exist."
        raise SettingsError(
            "The configuration does not exist",
            reason,
            "Check the path given to --config.",
        )
    return parse_settings(read_text(file), file, environ=environ, flags=flags)


def parse_settings(
    text: str,
    file: Path,
    *,
    environ: Mapping[str, str] | None = None,
    flags: Mapping[str, object] | None = None,
) -> Settings:
    """Return the settings as `load_settings` does, from a text that is or will be in `file`."""
    given: dict[str, _Given] = {}
    keys: dict[str, str] = {}
    named: dict[str, list[str]] = {"personas": [], "endpoints": [], "mcp": []}
    origins: dict[str, Origin] = {}

    where = str(file)
    for path, value in _tables(_document(text, where), where, text):
        name = ".".join(path)
        origin = Origin(where, name, text, path)
        if path[0] == "keys":
            binding_id = ".".join(path[1:])
            keys[binding_id] = _keys(value, name, origin)
            origins[name] = origin
        elif path[0] in named and len(path) == 2:
            named[path[0]].append(path[1])
        else:
            given[name] = _Given(name, _section(path), path[-1], value, origin)
    given.update((item.name, item) for item in _from_environment(environ or {}))
    from_flags = {item.name: item for item in _from_flags(flags or {})}
    given.update(from_flags)

    values = {name: _check(item, file.parent) for name, item in given.items()}
    origins.update((name, item.origin) for name, item in given.items())
    sections = {name: cls(**_below(values, name)) for name, cls in SECTIONS.items()}
    flagged = {item.key: values[item.name] for item in from_flags.values() if item.section is Sampling}
    return Settings(
        **sections,
        keys=keys,
        personas={
            name: Persona(
                **_below(values, f"personas.{name}"),
                sampling=replace(
                    sections["sampling"], **{**_below(values, f"personas.{name}.sampling"), **flagged}
                ),
            )
            for name in named["personas"]
        },
        endpoints={name: _endpoint(name, values, origins) for name in named["endpoints"]},
        mcp={name: McpServer(**_below(values, f"mcp.{name}")) for name in named["mcp"]},
        origins=origins,
    )


def read_text(file: Path) -> str:
    """Return the text of a configuration file, "" if the file does not exist or is /dev/null.

    Raises:
        SettingsError: the file cannot be read.
    """
    try:
        if not file.exists() or file.samefile(os.devnull):
            return ""
    except OSError:
        pass  # read_text_file's own message gives the reason
    try:
        return read_text_file(file, MAX_FILE_BYTES)
    except UnreadableFileError as error:
        raise SettingsError(
            "Cannot read the configuration",
            f"{file}: {error}.",
            "The configuration must be a text file in UTF-8.",
        ) from error


def _document(text: str, where: str) -> dict[str, Any]:
    if not text:
        return {}
    try:
        return parse_toml(text)
    except ValueError as error:
        reason = str(error)
    raise SettingsError(
        "The configuration is not valid TOML",
        f"{where}: {first_line(reason, 300)}",
        'Write texts in quotes: name = "value". config.example.toml shows every setting.',
    )


# ── what config.toml says ────────────────────────────────────────────────────────────────────────


def _tables(document: dict[str, Any], where: str, text: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield the path and value of each setting; before a persona's settings, the persona's path alone."""

    def refuse(path: tuple[str, ...], title: str, reason: str, hint: str) -> SettingsError:
        return SettingsError(title, f"{Origin(where, '.'.join(path), text, path)}: {reason}", hint)

    def table(path: tuple[str, ...], value: Any) -> dict[str, Any]:
        if isinstance(value, dict):
            return value
        name = ".".join(path)
        raise refuse(
            path, f"{name} is not a table", f"{name} is {value!r}.", f"Write its settings below [{name}]."
        )

    def settings(path: tuple[str, ...], value: Any, cls: type) -> Iterator[tuple[tuple[str, ...], Any]]:
        known = [item.name for item in fields(cls) if not item.metadata.get("secret")]
        for key, inner in table(path, value).items():
            here = (*path, key)
            if key not in known:
                if cls is EndpointSettings and key in ("api_key", "key", "token"):
                    raise refuse(
                        here,
                        "A secret in the configuration",
                        f"{'.'.join(here)} is not read from files.",
                        'Put the key into a variable and name that: api_key_env = "MY_KEY".',
                    )
                if key in {item.name for item in fields(cls)}:
                    raise refuse(
                        here,
                        "A secret in the configuration",
                        f"{'.'.join(here)} is not read from files.",
                        "Set the environment variable MISTRALRS_HF_TOKEN, or log in with `hf auth login`.",
                    )
                raise refuse(
                    here, "Unknown setting", f"There is no setting {'.'.join(here)}.", _hint(here, known)
                )
            if cls is Persona and key == "sampling":
                yield from settings(here, inner, Sampling)
            else:
                yield here, inner

    for name, value in document.items():
        if name == "keys":
            yield from _leaves(("keys",), table(("keys",), value))
        elif name == "personas":
            for persona, inner in table(("personas",), value).items():
                yield ("personas", persona), None
                yield from settings(("personas", persona), inner, Persona)
        elif name == "endpoints":
            for endpoint, inner in table(("endpoints",), value).items():
                yield ("endpoints", endpoint), None
                yield from settings(("endpoints", endpoint), inner, EndpointSettings)
        elif name == "mcp":
            for server, inner in table(("mcp",), value).items():
                if not _SERVER_NAME.fullmatch(server):
                    why = f"{server!r} must be letters, digits, _ and -, at most 32."
                    raise refuse(("mcp", server), "The server's name is not valid", why, "Rename it.")
                yield ("mcp", server), None
                yield from settings(("mcp", server), inner, McpServer)
        elif name in SECTIONS:
            yield from settings((name,), value, SECTIONS[name])
        else:
            kind = "section" if isinstance(value, dict) else "setting"
            raise refuse(
                (name,),
                f"Unknown {kind}",
                f"There is no {kind} {name}.",
                _hint((name,), (*SECTIONS, "keys", "personas", "endpoints", "mcp")),
            )


def _leaves(path: tuple[str, ...], table: dict[str, Any]) -> Iterator[tuple[tuple[str, ...], Any]]:
    # To the user, `chat.send = …` and `"chat.send" = …` are the same binding id.
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _leaves((*path, key), value)
        else:
            yield (*path, key), value


def _hint(path: tuple[str, ...], siblings: typing.Iterable[str]) -> str:
    """Return a hint at the setting that was meant, beside this one or in another section."""
    if near := did_you_mean(path[-1], siblings):
        return near
    homes = [f"[{name}] {path[-1]}" for name, cls in SECTIONS.items() if path[-1] in _names(cls)]
    if homes:
        return f"Did you mean {' or '.join(homes)}?"
    everywhere = {key: name for name, cls in SECTIONS.items() for key in _names(cls)}
    if elsewhere := nearest(path[-1], everywhere):
        return f"Did you mean [{everywhere[elsewhere]}] {elsewhere}?"
    return f"Known here: {', '.join(siblings)}."


def _names(cls: type) -> list[str]:
    return [item.name for item in fields(cls) if not item.metadata.get("secret")]


# ── the environment and the command line ─────────────────────────────────────────────────────────


def _from_environment(environ: Mapping[str, str]) -> Iterator[_Given]:
    for variable, name in ENVIRONMENT.items():
        text = environ.get(variable, "").strip()
        if not text:
            continue
        section, _, key = name.partition(".")
        origin = Origin("environment", variable)
        cls = SECTIONS[section]
        try:
            value = from_text(hints_of(cls)[key], text)
        except Unfit as error:
            raise SettingsError(f"{variable} is wrong", f"{origin}: {error}", error.hint) from error
        if variable == "MISTRALRS_NO_STREAM":
            value = not value
        if isinstance(value, Path):
            value = value.expanduser().absolute()
        yield _Given(name, cls, key, value, origin)


def _from_flags(flags: Mapping[str, object]) -> Iterator[_Given]:
    for name, value in flags.items():
        if value is None:
            continue
        section, _, key = name.partition(".")
        origin = Origin("command line", name)
        cls = SECTIONS.get(section)
        if cls is None or key not in {item.name for item in fields(cls)}:
            every = [f"{section}.{key}" for section, cls in SECTIONS.items() for key in _names(cls)]
            raise SettingsError(
                "Unknown setting", f"{origin}: there is no such setting.", did_you_mean(name, every)
            )
        if isinstance(value, Path):
            value = value.expanduser().absolute()
        yield _Given(name, cls, key, value, origin)


# ── checking and putting together ────────────────────────────────────────────────────────────────


def _check(item: _Given, folder: Path) -> Any:
    """Return the value in the field's type.

    Raises:
        SettingsError: the value has another type or is out of range.
    """
    shown = "its value" if item.key in ("token", "headers", "url") else f"{item.name} = {_shown(item.value)}"
    try:
        value = convert(hints_of(item.section)[item.key], item.value, folder)
    except Unfit as error:
        raise SettingsError(
            f"{item.name} is wrong", f"{item.origin}: {shown}: {error}", error.hint
        ) from error
    try:
        item.section(**{item.key: value})
    except SpnlError as error:
        raise SettingsError(error.title, f"{item.origin}: {error.message}", error.hint) from error
    return value


def _shown(value: Any) -> str:
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= 60 else f"{text[:59]}…"


def _keys(value: Any, name: str, origin: Origin) -> str:
    try:
        return normal_keys(value)
    except Unfit as error:
        raise SettingsError(f"{name} is wrong", f"{origin}: {error}", error.hint) from error


def _section(path: tuple[str, ...]) -> type:
    if path[0] == "personas":
        return Sampling if len(path) == 4 else Persona
    if path[0] == "endpoints":
        return EndpointSettings
    return McpServer if path[0] == "mcp" else SECTIONS[path[0]]


def _below(values: Mapping[str, Any], section: str) -> dict[str, Any]:
    """Return the values of one section by key."""
    prefix = f"{section}."
    return {
        name.removeprefix(prefix): value
        for name, value in values.items()
        if name.startswith(prefix) and "." not in name.removeprefix(prefix)
    }


def _endpoint(name: str, values: Mapping[str, Any], origins: Mapping[str, Origin]) -> EndpointSettings:
    section = f"endpoints.{name}"
    given = _below(values, section)
    try:
        check_endpoint_name(name)
        if "url" not in given:
            raise SettingsError("The endpoint has no address", f"[{section}] has no url.", "Add its url.")
        return EndpointSettings(**given)
    except SettingsError as error:
        origin = next((each for full, each in origins.items() if full.startswith(f"{section}.")), None)
        place = f"{origin}: " if origin else ""
        raise SettingsError(error.title, f"{place}{error.message}", error.hint) from error
