"""`spnl-chat endpoints`: the servers, their models, and whether each responds."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from spnl_tui.endpoints import surveyed
from spnl_tui.headless.output import FAILED, OK, print_json
from spnl_tui.headless.tables import print_table
from spnl_tui.services import Services
from spnl_tui.tables import Column
from spnl_tui.text import plain

if TYPE_CHECKING:
    from spnl_tui.endpoints import EndpointStatus

_ENDPOINTS = (
    Column("ENDPOINT", least=8),
    Column("SERVER", least=6, rank=3),
    Column("ADDRESS", least=12, rank=2),
    Column("MODELS", least=6, right=True, rank=1),
    Column("STATE", least=20),
)
_MODELS = (Column("MODEL", least=12), Column("CONTEXT", least=7, right=True))


async def endpoints(services: Services, name: str | None, *, json_: bool) -> int:
    """Print all endpoints, or the models of one.

    Raises:
        SpnlError: there is no endpoint of this name.
    """
    names = () if name is None else (name,)
    found: list[EndpointStatus] = []
    async with aclosing(surveyed(services.settings, services.paths, names)) as statuses:
        async for status in statuses:
            found.append(status)
    found.sort(key=lambda each: (not each.endpoint.configured, each.endpoint.name))
    if json_:
        print_json({"endpoints": [_as_dict(each) for each in found]})
    elif name is None:
        print_table(_ENDPOINTS, [_row(each) for each in found])
    elif (problem := found[0].problem) is not None:
        raise problem
    else:
        print_table(
            _MODELS, [(plain(each.reference), _context(each.context_length)) for each in found[0].models]
        )
    return OK if name is None or found[0].problem is None else FAILED


def _row(status: EndpointStatus) -> tuple[str, ...]:
    endpoint, problem = status.endpoint, status.problem
    state = "responds" if problem is None else f"{problem.title[0].lower()}{problem.title[1:]}"
    server = "?" if status.server == "auto" else status.server
    count = str(len(status.models)) if problem is None else ""
    return endpoint.name, server, endpoint.url, count, state


def _context(tokens: int | None) -> str:
    return "" if tokens is None else f"{tokens:,}"


def _as_dict(status: EndpointStatus) -> dict[str, Any]:
    endpoint, problem = status.endpoint, status.problem
    return {
        "name": endpoint.name,
        "url": endpoint.url,
        "server": status.server,
        "leaves_this_machine": not endpoint.is_local,
        "responds": problem is None,
        "problem": None
        if problem is None
        else {"title": problem.title, "message": problem.message, "hint": problem.hint},
        "models": [
            {"model": each.reference, "context_length": each.context_length} for each in status.models
        ],
    }
