"""Change one setting in the user's file, and leave the rest of it as it is, comments too."""

from __future__ import annotations

import os
from pathlib import Path

from spnl_tui.errors import SettingsError
from spnl_tui.settings.load import parse_settings, read_text


def write_setting(file: Path, name: str, value: bool | int | float | str | list[str] | None) -> None:
    """Set `name` ("interface.theme") to `value` in `file`, in one rename. None takes the setting out.

    The file and its directory are made if need be; a link stays a link, and its target is written.

    Raises:
        SettingsError: the file is broken (it is then left alone) or cannot be written, or there is no such
            setting, or it cannot have this value.
    """
    import tomlkit  # 35 ms: only when something is written.

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
            f"{file}: {error}",
            "Until then the choice holds for this launch only.",
        ) from error


def _replace(file: Path, text: str) -> None:
    import tempfile  # Pulls in random and shutil: only when something is written.

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
