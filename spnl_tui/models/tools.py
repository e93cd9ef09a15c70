"""A tool's name, description and argument schema, as models see them. Standard library only."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from spnl_tui.errors import RequestError

ToolChoice: TypeAlias = Literal["auto", "none", "required"]
"""Whether the model decides, must not call a tool, or must call one.

To require a particular tool, send only that tool with "required".
"""

PERMISSION = re.compile(
    r"(?P<tool>[\w.:/*-]+)(?:\((?P<pattern>.*)\))?(?:#(?P<hash>[0-9a-f]{12}))?", re.DOTALL
)
"""The written form of a permission: TOOL or TOOL(PATTERN), then the hash for a tool of a server."""
_NAME = re.compile(r"[A-Za-z0-9_.:/-]{1,128}")
_ANY_OBJECT = '{"type": "object", "properties": {}}'


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A tool that a model may call.

    Raises:
        RequestError: the name or the schema is not valid.
    """

    name: str
    description: str = ""
    parameters: str = _ANY_OBJECT
    """The JSON schema of the arguments, an object, as JSON text, which makes a tool hashable."""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise RequestError(
                "The tool's name is not valid",
                f"{self.name!r} must have 1 to 128 letters, digits, or characters of _ - . : /",
                "Rename the tool.",
            )
        try:
            schema = json.loads(self.parameters)
        except (ValueError, RecursionError) as error:
            schema = error
        if not isinstance(schema, dict):
            raise RequestError(
                "The tool's parameters are not valid",
                f"The parameters of {self.name} are not a JSON schema of an object.",
                'Use a schema such as {"type": "object", "properties": {…}}.',
            )

    @property
    def schema(self) -> dict[str, Any]:
        """The schema of the arguments."""
        schema: dict[str, Any] = json.loads(self.parameters)
        return schema

    def as_function(self) -> dict[str, Any]:
        """Return the tool in the form that OpenAI's API and most chat templates expect."""
        return {
            "type": "function",
            "function": {"name": self.name, "description": self.description, "parameters": self.schema},
        }
