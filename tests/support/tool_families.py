"""The chat templates of tests/data/templates/tool_families.toml, and replies in their formats."""

from __future__ import annotations

import time
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from spnl_tui.engine.backend import ReplyChunk, ReplyFinished
from spnl_tui.engine.mistralrs import wire
from spnl_tui.engine.mistralrs.runner.prompts import PromptWriter
from spnl_tui.engine.mistralrs.runner.reply_stream import follow
from spnl_tui.engine.mistralrs.runner.requests import chat_request
from spnl_tui.models.files.vocabulary import SpecialTokens
from spnl_tui.models.parts import ToolCallPart
from spnl_tui.models.tool_formats.table import TABLE

_FILE = Path(__file__).parents[1] / "data" / "templates" / "tool_families.toml"


@dataclass(frozen=True, kw_only=True)
class ToolFamily:
    """One family; the file says what the fields mean."""

    name: str
    format: str
    tokens: tuple[str, ...]
    reply: str
    template: str
    shows_tools: bool = True

    def writer(self) -> PromptWriter:
        """Return what writes prompts for a model of this family."""
        ids = {word: number for number, word in enumerate(self.tokens)}
        return PromptWriter(self.template, SpecialTokens(ids=ids, control=frozenset(ids)))

    def pieces(self, text: str) -> list[str]:
        """Return the text in pieces as mistral.rs sends it: control tokens whole, the rest in letters."""
        pieces: list[str] = []
        at = 0
        while at < len(text):
            token = next((each for each in self.tokens if text.startswith(each, at)), text[at])
            pieces.append(token)
            at += len(token)
        return pieces

    def read(self, command: wire.Chat, text: str) -> tuple[list[ReplyChunk], ReplyFinished, str]:
        """Return what the runner sends for a reply of this text, and the prompt that it answers."""
        request = chat_request(self.writer(), command, command.messages, len)
        seen: list[ReplyChunk] = []
        finished, _ = follow(
            lambda: _chunks(self.pieces(text)),
            seen.append,
            lambda: False,
            started=time.monotonic(),
            ends=request.ends,
            begun=request.begun,
            splitter=request.splitter,
            calls=request.calls,
        )
        return seen, finished, request.prompt


def tool_families() -> list[ToolFamily]:
    """Return all families, in the file's order."""
    found = tomllib.loads(_FILE.read_text("utf-8"))["family"]
    return [ToolFamily(**{**each, "tokens": tuple(each["tokens"])}) for each in found]


def formats_table() -> str:
    """Return the table of docs/tools.md."""
    lines = ["| Format | Families | A call | Bound by a grammar |", "|---|---|---|---|"]
    call = ToolCallPart("", "now", '{"zone": "UTC"}')
    for format in TABLE:
        written = format.write([call]).replace("\n", " ").replace("|", "\\|")
        bound = "yes" if format.frame is not None else "no"
        lines.append(f"| {format.name} | {format.families} | `{written}` | {bound} |")
    return "\n".join(lines) + "\n"


def _chunks(pieces: Sequence[str]) -> Iterator[Any]:
    for piece in pieces:
        delta = SimpleNamespace(content=piece, reasoning_content=None)
        yield SimpleNamespace(choices=[SimpleNamespace(delta=delta, finish_reason=None)], usage=None)
