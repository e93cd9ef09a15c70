"""Change one setting in the user's file; keep the rest, including comments."""

from __future__ import annotations

import os
import re
from dataclasses import fields
from pathlib import Path

from spnl_tui.errors import SettingsError, cause_of
from spnl_tui.models.request import Sampling
from spnl_tui.settings.all_settings import Persona
from spnl_tui.settings.load import parse_settings, read_text


def write_setting(file: Path, name: str, value: bool | int | float | str | list[str] | None) -> None:
    """Set `name` ("interface.theme") to `value` in `file` with one rename. None removes the setting.

    Create the file and its directory if necessary. A link stays a link; its target changes.

    Raises:
        SettingsError: the file is broken (it then stays unchanged) or cannot be written, the setting is
            unknown, or it cannot have this value.
    """
    import tomlkit  # Import it only for writing, because it takes 35 ms.

    before = read_text(file)
    parse_settings(before, file)
    document = tomlkit.parse(before)
    *sections, key = name.split(".")
    table: tomlkit.TOMLDocument | tomlkit.items.Table = document
    for section in sections:
        if section not in table:
            table[section] = tomlkit.table()
        table = table[section]
    if value is None:
        table.pop(key, None)
    else:
        table[key] = value
    after = tomlkit.dumps(document)
    parse_settings(after, file)
    try:
        _replace(Path(os.path.realpath(file)), after)
    except OSError as error:
        raise SettingsError(
            "The configuration cannot be written",
            f"{file}: {cause_of(error)}.",
            "Until then the choice holds for this launch only.",
        ) from error


def write_persona(file: Path, name: str, persona: Persona, sampling: Sampling) -> None:
    """Add this persona to `file` or change it there. Of its sampling, write what differs from `sampling`.

    Raises:
        SettingsError: the name is not valid, or the reasons of `write_setting`.
    """
    if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
        raise SettingsError(
            "A persona cannot have this name",
            f"{name!r} has characters other than letters, digits, - and _.",
            "Choose another name, such as code-review.",
        )
    values: dict[str, bool | int | float | str | list[str] | None] = {
        "description": persona.description or None,
        "system_prompt": persona.system_prompt,
        "model": persona.model,
        "tools": None if persona.tools is None else list(persona.tools),
    }
    for item in fields(Sampling):
        value = getattr(persona.sampling, item.name)
        own = value != getattr(sampling, item.name)
        values[f"sampling.{item.name}"] = (list(value) if item.name == "stop" else value) if own else None
    for key, value in values.items():
        write_setting(file, f"personas.{name}.{key}", value)


def _replace(file: Path, text: str) -> None:
    import tempfile  # Import it only for writing, because it imports random and shutil.

    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    new = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        if file.exists():
            new.chmod(file.stat().st_mode & 0o777)
        new.replace(file)
    finally:
        new.unlink(missing_ok=True)
