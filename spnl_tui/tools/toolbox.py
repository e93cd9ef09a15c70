"""The tools that were chosen for a conversation, by the names of their groups."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from spnl_tui.errors import SettingsError, SpnlError
from spnl_tui.models.tools import Tool
from spnl_tui.settings.nearest import did_you_mean
from spnl_tui.tools.tool import Arguments, BoundTool, ToolError

if TYPE_CHECKING:
    from spnl_tui.tools.tool import BuiltInTool

GROUPS: Mapping[str, str] = {
    "files": "read, list, search, edit and write files of the workspace",
    "command": "run shell commands in the workspace",
    "web": "read web pages",
    "time": "the date and time",
    "math": "arithmetic",
}
"""The groups of built-in tools, with what they are for."""


READ_ONLY = frozenset({"read_file", "list_folder", "search_files", "current_time", "calculate"})
"""The built-in tools that change nothing and send nothing anywhere."""


class ToolSource(Protocol):
    """Offers tools once it was started, such as the servers of a conversation."""

    @property
    def pending(self) -> tuple[str, ...]:
        """The names of what must be started first."""

    async def start(self) -> Sequence[SpnlError]:
        """Start it, and return what has failed."""

    def tools(self) -> Sequence[BoundTool]:
        """Return the tools that it offers now."""


class Toolbox:
    """Tools by their names."""

    def __init__(self, tools: Iterable[BoundTool] = (), source: ToolSource | None = None) -> None:
        self._own = tuple(tools)
        self.source = source
        self._tools: dict[str, BoundTool] = {}
        self.refresh()

    def refresh(self) -> None:
        """Take over the tools that the source offers now. No built-in tool is replaced."""
        offered = () if self.source is None else self.source.tools()
        self._tools = {each.tool.name: each for each in (*offered, *self._own)}

    def __len__(self) -> int:
        return len(self._tools)

    def __iter__(self) -> Iterator[BoundTool]:
        return iter(self._tools.values())

    def get(self, name: str) -> BoundTool | None:
        """Return the tool of this name, or None."""
        return self._tools.get(name)

    @property
    def tools(self) -> tuple[Tool, ...]:
        """The tools as the model receives them."""
        return tuple(each.tool for each in self._tools.values())

    def explain_missing(self, name: str) -> str:
        """Return what the model is told if it calls a tool that does not exist."""
        names = ", ".join(self._tools) or "none"
        return f"There is no tool {name!r}. The tools are: {names}."


def built_in_tools(
    groups: Iterable[str], workspace: Path, *, private_addresses: bool = False
) -> list[BuiltInTool]:
    """Return the built-in tools of these groups. A tool's own name stands for that tool alone.

    Raises:
        SettingsError: there is no such group or tool.
    """
    from spnl_tui.tools.command import command_tools
    from spnl_tui.tools.files import file_tools
    from spnl_tui.tools.small_tools import small_tools
    from spnl_tui.tools.web import web_tools

    known = [
        *file_tools(workspace),
        *command_tools(workspace),
        *web_tools(private_addresses=private_addresses),
        *small_tools(),
    ]
    chosen: list[BuiltInTool] = []
    for name in groups:
        found = [each for each in known if name in (each.group, each.tool.name)]
        if not found:
            every = [*GROUPS, *(each.tool.name for each in known)]
            raise SettingsError(
                f"There are no tools {name!r}",
                f"Groups of tools are {', '.join(GROUPS)}.",
                did_you_mean(name, every) or "Name one of these groups, or a tool.",
            )
        chosen += [each for each in found if each not in chosen]
    return chosen


def check_arguments(tool: Tool, arguments: Arguments) -> None:
    """Check arguments against the tool's schema.

    Raises:
        ToolError: they do not match it. The text says where, for the model.
    """
    import jsonschema

    try:
        jsonschema.validate(dict(arguments), tool.schema)
    except jsonschema.ValidationError as error:
        place = "".join(f"[{each!r}]" for each in error.absolute_path)
        message = error.message[:300]
        raise ToolError(f"The arguments{place} do not match the tool's schema: {message}.") from error
    except jsonschema.SchemaError:
        return  # a server's own mistake: it checks its arguments itself
    except RecursionError as error:
        raise ToolError("The arguments are nested too deeply.") from error
