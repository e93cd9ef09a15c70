"""The interface of tools: a description for the model, the effect of a call for the user, and the call."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

from spnl_tui.models.parts import FilePart, ImagePart, TextPart
from spnl_tui.models.tools import Tool

BUILT_IN = "built in"
"""The origin of the program's own tools."""

Arguments: TypeAlias = Mapping[str, Any]


class ToolError(Exception):
    """A call failed. The text tells the model, and the user, why and what to do instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The outcome of a call."""

    content: tuple[TextPart | ImagePart | FilePart, ...]
    error: bool = False

    @classmethod
    def of_text(cls, text: str) -> Outcome:
        """Return the outcome of a call that returned a text."""
        return cls(content=(TextPart(text),))

    @classmethod
    def failed(cls, reason: str) -> Outcome:
        """Return the outcome of a call that failed for this reason."""
        return cls(content=(TextPart(reason),), error=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """The full effect of a call, for the user who decides."""

    summary: str
    """One line: the path, the command, the address."""
    detail: str = ""
    """All of it, if the summary is not all: the diff, the text, the arguments."""
    kind: Literal["text", "diff", "command", "json"] = "text"
    subject: str = ""
    """The text that the pattern of a permission is matched with; by default the summary."""
    note: str = ""
    """Further facts for the user, such as the directory in which a command runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A call that is checked and ready, so that what runs is what the user has seen."""

    effect: Effect
    run: Callable[[], Awaitable[Outcome]]
    """Runs the call. Raises ToolError. Cancelling it ends all that it has started."""


class BoundTool(Protocol):
    """A tool, ready to be called."""

    @property
    def tool(self) -> Tool:
        """Its name, description and schema, as the model receives them."""

    @property
    def origin(self) -> str:
        """BUILT_IN, or the name of the server that offers it."""

    @property
    def read_only(self) -> bool:
        """True if it changes nothing and sends nothing anywhere."""

    @property
    def foreign(self) -> bool:
        """True if others wrote the result. The model is informed of that."""

    @property
    def rest_hint(self) -> str:
        """How to request the rest of a result that was cut; empty if there is no way."""

    def prepare(self, arguments: Arguments, /) -> Awaitable[Prepared]:
        """Check a call, without any effect.

        Raises:
            ToolError: the call cannot succeed.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltInTool:
    """A built-in tool: a `BoundTool` made of its parts."""

    tool: Tool
    group: str
    prepare: Callable[[Arguments], Awaitable[Prepared]]
    read_only: bool = False
    foreign: bool = False
    rest_hint: str = ""
    origin: str = BUILT_IN


def schema(required: tuple[str, ...] = (), **properties: Mapping[str, Any]) -> str:
    """Return the JSON schema of an object with these properties, as text."""
    import json

    return json.dumps({
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    })  # fmt: skip
