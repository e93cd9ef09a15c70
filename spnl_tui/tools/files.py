"""Built-in tools for the files of the workspace."""

from __future__ import annotations

import asyncio
import difflib
import re
import stat
import time
from collections.abc import Callable
from pathlib import Path

from spnl_tui.models.tools import Tool
from spnl_tui.tools.tool import Arguments, BuiltInTool, Effect, Outcome, Prepared, ToolError, schema
from spnl_tui.tools.workspace import Workspace

_LINES = 2000
_MOST_MATCHES = 200
_MOST_ENTRIES = 1000
_SEARCH_S = 20.0
_PATH = {"type": "string", "description": "Path of the file, relative to the workspace.", "maxLength": 500}


def file_tools(root: Path) -> tuple[BuiltInTool, ...]:
    """Return the tools for files below this folder."""
    workspace = Workspace(root)
    files = _FileTools(workspace)
    return (
        BuiltInTool(
            tool=Tool(
                name="read_file",
                description="Returns the text of a file.",
                parameters=schema(
                    ("path",),
                    path=_PATH,
                    offset={"type": "integer", "description": "First line, from 1.", "minimum": 1},
                    lines={"type": "integer", "description": "How many lines.", "minimum": 1},
                ),
            ),
            group="files",
            prepare=files.read,
            read_only=True,
            foreign=True,
            rest_hint="Call read_file with a larger offset for the rest.",
        ),
        BuiltInTool(
            tool=Tool(
                name="list_folder",
                description="Lists the files and folders in a folder.",
                parameters=schema(
                    path={**_PATH, "description": "Path of the folder; by default the workspace."}
                ),
            ),
            group="files",
            prepare=files.list_folder,
            read_only=True,
            foreign=True,
        ),
        BuiltInTool(
            tool=Tool(
                name="search_files",
                description="Finds lines in files by a regular expression, or files by name.",
                parameters=schema(
                    ("pattern",),
                    pattern={"type": "string", "description": "Regular expression.", "maxLength": 500},
                    path={**_PATH, "description": "Folder to search; by default the workspace."},
                    names={"type": "boolean", "description": "Match names of files instead of lines."},
                ),
            ),
            group="files",
            prepare=files.search,
            read_only=True,
            foreign=True,
            rest_hint="Search a folder below, or use a stricter pattern.",
        ),
        BuiltInTool(
            tool=Tool(
                name="edit_file",
                description="Replaces a text in a file. The old text must occur exactly once.",
                parameters=schema(
                    ("path", "old", "new"),
                    path=_PATH,
                    old={"type": "string", "description": "The exact text to replace."},
                    new={"type": "string", "description": "The text to put in its place."},
                ),
            ),
            group="files",
            prepare=files.edit,
        ),
        BuiltInTool(
            tool=Tool(
                name="write_file",
                description="Writes a whole file, new or in place of the old one.",
                parameters=schema(("path", "text"), path=_PATH, text={"type": "string"}),
            ),
            group="files",
            prepare=files.write,
        ),
    )


class _FileTools:
    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    async def read(self, arguments: Arguments) -> Prepared:
        path = self._workspace.relative(arguments["path"])
        offset, lines = arguments.get("offset", 1), arguments.get("lines", _LINES)

        def work() -> Outcome:
            text = _as_text(path, self._workspace.read(path))
            found = text.splitlines(keepends=True)
            if offset > max(1, len(found)):
                raise ToolError(f"{path} has only {len(found)} lines.")
            part = "".join(found[offset - 1 : offset - 1 + lines])
            left = len(found) - (offset - 1 + lines)
            if left > 0:
                part += f"\n[{left:,} more lines. Call read_file with offset={offset + lines} for them.]"
            return Outcome.of_text(part)

        return _prepared(path, work)

    async def list_folder(self, arguments: Arguments) -> Prepared:
        path = self._workspace.relative(arguments.get("path", "."))

        def work() -> Outcome:
            rows = []
            for name, status in self._workspace.entries(path):
                if stat.S_ISDIR(status.st_mode):
                    rows.append(f"{name}/")
                elif stat.S_ISLNK(status.st_mode):
                    rows.append(f"{name} (link)")
                else:
                    rows.append(f"{name} ({status.st_size:,} bytes)")
            if len(rows) > _MOST_ENTRIES:
                rows = [*rows[:_MOST_ENTRIES], f"[{len(rows) - _MOST_ENTRIES:,} more]"]
            return Outcome.of_text("\n".join(rows) or "The folder is empty.")

        return _prepared(path, work)

    async def search(self, arguments: Arguments) -> Prepared:
        path, pattern = self._workspace.relative(arguments.get("path", ".")), arguments["pattern"]
        try:
            wanted = re.compile(pattern)
        except (re.error, RecursionError, OverflowError) as error:
            raise ToolError(f"The pattern is not a valid regular expression: {error}.") from error
        by_name = bool(arguments.get("names"))

        def work() -> Outcome:
            deadline, found = time.monotonic() + _SEARCH_S, []
            for file in self._workspace.files(path):
                if by_name:
                    found += [file] if wanted.search(file) else []
                else:
                    found += self._lines(file, wanted)
                if len(found) > _MOST_MATCHES:
                    return Outcome.of_text("\n".join([*found[:_MOST_MATCHES], "[There are more matches.]"]))
                if time.monotonic() > deadline:
                    found.append(f"[The search was stopped after {_SEARCH_S:.0f} s.]")
                    break
            return Outcome.of_text("\n".join(found) or "Nothing matches.")

        return _prepared(f"{pattern} in {path}", work, subject=path)

    def _lines(self, file: str, wanted: re.Pattern[str]) -> list[str]:
        try:
            text = _as_text(file, self._workspace.read(file))
        except ToolError:
            return []
        return [
            f"{file}:{number}: {line[:300]}"
            for number, line in enumerate(text.splitlines(), 1)
            if wanted.search(line[:10_000])
        ]

    async def edit(self, arguments: Arguments) -> Prepared:
        path, old, new = self._workspace.relative(arguments["path"]), arguments["old"], arguments["new"]
        before = await asyncio.to_thread(self._workspace.read, path)
        text = _as_text(path, before)
        if not old:
            raise ToolError("The old text is empty. Use write_file to write a whole file.")
        if (count := text.count(old)) != 1:
            raise ToolError(
                f"The old text occurs {count} times in {path}; it must occur exactly once. "
                + ("Read the file again." if count == 0 else "Add lines around it.")
            )
        return self._replacing(path, before, text, text.replace(old, new))

    async def write(self, arguments: Arguments) -> Prepared:
        path, text = self._workspace.relative(arguments["path"]), arguments["text"]
        before = await asyncio.to_thread(self._workspace.read, path) if self._workspace.exists(path) else None
        old = "" if before is None else before.decode("utf-8", "replace")
        return self._replacing(path, before, old, text)

    def _replacing(self, path: str, before: bytes | None, old: str, new: str) -> Prepared:
        def work() -> Outcome:
            self._workspace.write(path, new.encode("utf-8", "replace"), expected=before)
            verb = "Created" if before is None else "Changed"
            return Outcome.of_text(f"{verb} {path} ({len(new.splitlines()):,} lines).")

        return _prepared(path, work, detail=_diff(path, old, new, new_file=before is None))


def _prepared(summary: str, work: Callable[[], Outcome], *, detail: str = "", subject: str = "") -> Prepared:
    async def run() -> Outcome:
        return await asyncio.to_thread(work)

    effect = Effect(summary=summary, detail=detail, kind="diff" if detail else "text", subject=subject)
    return Prepared(effect=effect, run=run)


def _diff(path: str, old: str, new: str, *, new_file: bool) -> str:
    lines = difflib.unified_diff(
        old.splitlines(), new.splitlines(), "(new file)" if new_file else path, path, lineterm=""
    )
    return "\n".join(lines) or "(no change)"


def _as_text(path: str, data: bytes) -> str:
    if b"\0" in data[:8192]:
        raise ToolError(f"{path} is not a text file.")
    return data.decode("utf-8", "replace")
