"""The list of imported models: files and folders elsewhere on this disk. Blocks, so call it in a thread.

It is a JSON file: {"version": 1, "imports": [{"path": "/models/x.gguf"}]}.
"""

from __future__ import annotations

import json
import os
import tempfile
import threading
from pathlib import Path

from spnl_tui.errors import StoreError, cause_of

_VERSION = 1


class ImportRegistry:
    """The file with the list of imported paths."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._changing = threading.Lock()

    def read(self) -> tuple[Path, ...]:
        """Return the imported paths, oldest first.

        Raises:
            StoreError: the file cannot be read, or its contents are invalid.
        """
        try:
            data = json.loads(self._file.read_text(encoding="utf-8"))
            if data["version"] != _VERSION:
                raise ValueError(f"version {data['version']!r} is not {_VERSION}")
            return tuple(Path(item["path"]) for item in data["imports"])
        except (FileNotFoundError, NotADirectoryError):
            return ()
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise StoreError(
                "The list of imported models cannot be read",
                f"{self._file}: {cause_of(error)}.",
                "Correct the file, or delete it and import the models again.",
            ) from error

    def add(self, path: Path) -> None:
        """Add a path if it is not in the list.

        Raises:
            StoreError: the file cannot be read or written.
        """
        with self._changing:
            paths = self.read()
            if path not in paths:
                self._write((*paths, path))

    def discard(self, path: Path) -> None:
        """Remove a path.

        Raises:
            StoreError: the file cannot be read or written.
        """
        with self._changing:
            self._write(tuple(known for known in self.read() if known != path))

    def _write(self, paths: tuple[Path, ...]) -> None:
        text = json.dumps({"version": _VERSION, "imports": [{"path": str(path)} for path in paths]}, indent=2)
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            descriptor, name = tempfile.mkstemp(dir=self._file.parent, prefix=f".{self._file.name}-")
            try:
                with open(descriptor, "w", encoding="utf-8") as file:
                    file.write(text + "\n")
                    file.flush()
                    os.fsync(file.fileno())
                os.replace(name, self._file)
            except OSError:
                os.unlink(name)
                raise
        except OSError as error:
            raise StoreError(
                "The list of imported models cannot be written",
                f"{self._file}: {cause_of(error)}.",
                "Check the directory and the space on the disk.",
            ) from error
