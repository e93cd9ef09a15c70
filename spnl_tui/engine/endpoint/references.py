"""References to models on servers: NAME/MODEL, if NAME is an endpoint.

A built-in prefix means an endpoint only where SPNL reads it so: `openai/gpt-4o` is a model of OpenAI's
service, `openai/gpt-oss-20b` is a repository. `endpoint/NAME/MODEL` always means the endpoint,
`local/NAME/MODEL` never.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from spnl_tui.engine.endpoint.endpoints import Endpoint
from spnl_tui.errors import ModelReferenceError
from spnl_tui.models.reference import is_of_service

EXPLICIT = "endpoint/"


@dataclass(frozen=True, slots=True)
class EndpointReference:
    """A model on a server, as the user named it."""

    endpoint: Endpoint
    model: str
    """The server's name for the model."""
    name: str
    """The canonical reference."""
    certain: bool = True
    """False if the text may also mean a repository. Then the server is asked whether it has the model."""
    explicit: bool = False
    """True if the reference begins with `endpoint/`, so that it cannot mean a repository."""


def read_reference(text: str, endpoints: Mapping[str, Endpoint]) -> EndpointReference | None:
    """Return the server's model that the text names; None if it names none.

    Raises:
        ModelReferenceError: the text names an unknown endpoint, or an endpoint without a model.
    """
    given = text.strip()
    explicit = given.lower().startswith(EXPLICIT)
    rest = given[len(EXPLICIT) :] if explicit else given
    name, slash, model = rest.partition("/")
    endpoint = endpoints.get(name.lower())
    if endpoint is None:
        if explicit:
            raise ModelReferenceError(
                "There is no such endpoint",
                f"{given!r}: no endpoint is called {name!r}.",
                f"The endpoints are {', '.join(sorted(endpoints))}.",
            )
        return None
    if not slash:
        return None
    if not model.strip():
        raise ModelReferenceError(
            "No model named",
            f"{given!r} names the endpoint {endpoint.name} but no model.",
            f"List its models: spnl-chat endpoints {endpoint.name}",
        )
    if any(ord(character) < 32 for character in model) or len(model) > 300:
        raise ModelReferenceError("No model named", f"{given[:60]!r} is not the name of a model.")
    certain = explicit or endpoint.configured or is_of_service(endpoint.name, model)
    if not certain and not endpoint.chosen:
        return None
    prefix = EXPLICIT if explicit else ""
    return EndpointReference(endpoint, model, f"{prefix}{endpoint.name}/{model}", certain, explicit)


def ambiguous(reference: EndpointReference, why: str) -> ModelReferenceError:
    """Return the error for a reference that means both a model on a server and a repository."""
    plain = f"{reference.endpoint.name}/{reference.model}"
    return ModelReferenceError(
        f"Which {plain}?",
        f"{plain} is a model of the endpoint {reference.endpoint.name}, and {why}.",
        f"Write {EXPLICIT}{plain} for the one at {reference.endpoint.host}, local/{plain} for the other.",
    )
