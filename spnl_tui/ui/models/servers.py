"""The models on servers, as a group of the models pane."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from spnl_tui.text import first_line, plain
from spnl_tui.ui.widgets.model_row import ModelRow, Row

if TYPE_CHECKING:
    from spnl_tui.endpoints import EndpointStatus

Survey: TypeAlias = "Callable[[], AsyncGenerator[EndpointStatus, None]]"
"""Asks all servers, and yields each as soon as it is known whether it responds."""
_MOST = 20
"""The most models of one server that are listed; a filter finds the others."""


@dataclass(frozen=True, slots=True)
class ServerModel:
    """A model on a server."""

    name: str
    """Its reference; empty for a line that only tells something."""
    text: str
    context: str = ""


class ServerModels:
    """Knows the models on servers, as they were when the servers were last asked."""

    def __init__(self, survey: Survey | None) -> None:
        self._survey = survey
        self._statuses: dict[str, EndpointStatus] = {}

    async def ask(self, changed: Callable[[], None]) -> None:
        """Ask the servers, and call `changed` after each answer."""
        if self._survey is None:
            return
        async with aclosing(self._survey()) as statuses:
            async for status in statuses:
                self._statuses[status.endpoint.name] = status
                changed()

    def lines(self, words: Sequence[str]) -> tuple[ServerModel, ...]:
        """Return the models whose names have all these words, and why servers of the user do not respond."""
        found: list[ServerModel] = []
        for name, status in sorted(self._statuses.items()):
            if status.problem is not None:
                if status.endpoint.configured and not words:
                    found.append(ServerModel("", f"{name}: {first_line(status.problem.title, 80)}"))
                continue
            models = [
                ServerModel(
                    each.reference,
                    plain(each.reference),
                    f"{each.context_length:,}" if each.context_length else "",
                )
                for each in status.models
                if all(word in each.reference.casefold() for word in words)
            ]
            found += models[:_MOST]
            if len(models) > _MOST:
                found.append(ServerModel("", f"{name} has {len(models) - _MOST:,} more: type to filter"))
        return tuple(found)


def server_rows(lines: Sequence[ServerModel]) -> list[ModelRow]:
    """Return the group as rows of the list."""
    if not lines:
        return []
    rows = [ModelRow.heading("Endpoints", "CONTEXT")]
    for line in lines:
        if line.name:
            rows.append(ModelRow(f"server {line.name}", line, Row(line.text, (line.context,))))
        else:
            rows.append(ModelRow.note(line.text))
    return rows
