"""Asks servers for their models, and reports why a server does not answer."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from spnl_tui.engine.endpoint.discovery import Listing, with_contexts
from spnl_tui.engine.endpoint.endpoints import Endpoint
from spnl_tui.engine.endpoint.faults import EndpointError
from spnl_tui.engine.endpoint.server import Server
from spnl_tui.errors import SpnlError


@dataclass(frozen=True, slots=True)
class ListedModel:
    """A model of an endpoint."""

    reference: str
    """The reference that the user writes to chat with it."""
    name: str
    """The server's name for the model."""
    context_length: int | None
    """In tokens; None if the server does not say."""


@dataclass(frozen=True, slots=True)
class EndpointStatus:
    """An endpoint with its models, or the reason why it does not respond."""

    endpoint: Endpoint
    server: str
    """The kind of server; "auto" if it did not answer."""
    models: tuple[ListedModel, ...] = ()
    problem: SpnlError | None = None
    """Why it does not respond; None if it does."""


async def survey(server: Server, patience_s: float) -> EndpointStatus:
    """Ask a server for its models, for at most this many seconds."""
    endpoint = server.endpoint
    try:
        async with asyncio.timeout(patience_s):
            listing = await server.listing()
            listing = await with_contexts(server.connection, endpoint, listing)
    except TimeoutError:
        slow = EndpointError(
            "The server did not answer in time", f"{endpoint.host} sent nothing for {patience_s:g} s.",
            "Check that it is running.",
        )  # fmt: skip
        return EndpointStatus(endpoint, endpoint.server, problem=slow)
    except SpnlError as error:
        return EndpointStatus(endpoint, endpoint.server, problem=error)
    return EndpointStatus(endpoint, listing.server, _listed(endpoint, listing))


def _listed(endpoint: Endpoint, listing: Listing) -> tuple[ListedModel, ...]:
    names = ((each, each.id.removeprefix("models/")) for each in listing.models)  # Gemini adds this prefix.
    return tuple(ListedModel(f"{endpoint.name}/{name}", name, model.context_length) for model, name in names)
