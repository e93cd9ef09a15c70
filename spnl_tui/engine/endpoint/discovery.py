"""Finds out a server's kind and models, from `/v1/models` and from addresses of particular kinds of
servers."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from spnl_tui.engine.endpoint.connection import Connection
from spnl_tui.engine.endpoint.endpoints import Endpoint
from spnl_tui.engine.endpoint.facts import ServedModel
from spnl_tui.engine.endpoint.faults import EndpointError, with_nearest

_OWNERS: Mapping[str, str] = {
    "vllm": "vllm",
    "llamacpp": "llamacpp",
    "library": "ollama",
    "organization_owner": "lmstudio",
    "spnl-chat": "spnl",
    "me": "llamacpp-python",
    "mistral.rs": "mistralrs",
    "google": "gemini",
}
"""The kind of server for each `owned_by` in its list of models."""
_HOSTED = ("openai", "gemini")
"""Services that do not report context lengths, so asking would only waste time."""
_CONTEXT_FIELDS = (
    "max_model_len", "loaded_context_length", "context_length", "max_context_length", "context_window",
)  # fmt: skip
_EXACT = ("vllm", "ollama", "spnl")
"""Servers that refuse model names that they do not list."""
_AT_ONCE = 8
_QUICK_S = 5.0
"""The time limit for facts that replies do not need."""
_DEFAULT = "default"
"""The name that `spnl-chat serve` gives its first model."""
_OLLAMA_DEFAULT = 4096
"""Ollama's context length if neither the model nor the user sets one."""


@dataclass(frozen=True, slots=True)
class Listing:
    """The models of a server."""

    server: str
    """The kind of server; never "auto"."""
    models: tuple[ServedModel, ...]

    def find(self, name: str) -> ServedModel | None:
        """Return the model of this name; None if the server does not list it."""
        names = (name, f"{name}:latest") if self.server == "ollama" else (name, f"models/{name}")
        return next((each for each in self.models if each.id in names), None)

    @property
    def names(self) -> list[str]:
        """The names of the models."""
        return [each.id for each in self.models]


async def list_models(connection: Connection, endpoint: Endpoint) -> Listing:
    """Ask the server for its kind and its models.

    Raises:
        SpnlError: the server does not answer, or lists no models.
    """
    if endpoint.server == "ollama":
        return await _ollama_listing(connection, endpoint)
    try:
        answer = await connection.get(f"{endpoint.url}/models")
    except EndpointError as error:
        if error.status in (404, 405, 501):
            return Listing(_declared(endpoint), tuple(ServedModel(id=each) for each in endpoint.models))
        raise
    entries = _entries(answer, "data")
    if not entries and not (isinstance(answer, dict) and ("data" in answer or "models" in answer)):
        raise EndpointError(
            "The server lists no models",
            f"{endpoint.host} answers, but {endpoint.url}/models is not a list of models.",
            "Check the url of the endpoint: most end in /v1.",
        )
    owner = _OWNERS.get(str(entries[0].get("owned_by"))) if entries else None
    server = owner if owner and endpoint.server not in _HOSTED else _declared(endpoint)
    if server == "ollama":
        # Ollama's own API reports and accepts more than its OpenAI-compatible one.
        root = replace(endpoint, url=endpoint.root, server="ollama")
        return await _ollama_listing(connection, root)
    found = {str(each["id"]): _entry(each, server) for each in entries if each.get("id")}
    found.update((each, ServedModel(id=each, server=server)) for each in endpoint.models if each not in found)
    return Listing(server, tuple(found.values()))


async def describe(
    connection: Connection, endpoint: Endpoint, model: str, wanted_context: int | None
) -> ServedModel:
    """Return the server's facts about a model. Ollama loads the model to find out its context length.

    Raises:
        SpnlError: the server does not answer, or does not have the model.
    """
    if endpoint.server in _HOSTED:
        return ServedModel(id=model, server=endpoint.server)
    listing = await list_models(connection, endpoint)
    found = listing.find(model)
    if listing.server == "spnl" and model == _DEFAULT:
        found = ServedModel(id=model, server="spnl")
    if found is None and listing.names and (listing.server in _EXACT or model == ""):
        if not model and len(listing.names) == 1:
            found = listing.models[0]
        else:
            error = EndpointError(
                "The server does not have this model",
                f"{endpoint.host} has no model {model!r}.",
                f"List its models: spnl-chat endpoints {endpoint.name}",
                status=404,
            )
            raise with_nearest(error, model, listing.names)
    if found is None and listing.server in ("llamacpp", "llamacpp-python") and len(listing.models) == 1:
        found = replace(listing.models[0], id=model)  # This server accepts any model name.
    found = found or ServedModel(id=model, server=listing.server)
    match listing.server:
        case "ollama":
            return await _ollama_model(connection, endpoint, found, wanted_context)
        case "llamacpp":
            return await _with_props(connection, endpoint, found)
        case "lmstudio":
            return await _from_lmstudio(connection, endpoint, found)
        case "spnl":
            answer = await _quietly(connection, f"{endpoint.url}/models/{model}")
            return replace(found, context_length=_context(answer) or found.context_length)
    return found


async def with_contexts(connection: Connection, endpoint: Endpoint, listing: Listing) -> Listing:
    """Add the context lengths that the server reports at other addresses, if it answers quickly."""
    gate = asyncio.Semaphore(_AT_ONCE)

    async def complete(model: ServedModel) -> ServedModel:
        async with gate:
            match listing.server:
                case "ollama":
                    shown = await _quietly(connection, f"{endpoint.root}/api/show", {"model": model.id})
                    longest = _ollama_longest(shown if isinstance(shown, dict) else {})
                    return replace(model, context_length=longest)
                case "llamacpp":
                    return await _with_props(connection, endpoint, model)
                case "lmstudio":
                    return await _from_lmstudio(connection, endpoint, model)
        return model

    return replace(listing, models=tuple(await asyncio.gather(*map(complete, listing.models))))


def _declared(endpoint: Endpoint) -> str:
    return "other" if endpoint.server == "auto" else endpoint.server


def _entries(answer: Any, key: str) -> list[dict[str, Any]]:
    entries = answer.get(key) if isinstance(answer, dict) else answer
    return [each for each in entries if isinstance(each, dict)] if isinstance(entries, list) else []


def _entry(entry: Mapping[str, Any], server: str) -> ServedModel:
    meta = entry.get("meta")
    context = _context(entry) or (
        _context({"context_length": meta.get("n_ctx")}) if isinstance(meta, dict) else None
    )
    return ServedModel(id=str(entry["id"]), server=server, context_length=context)


def _context(entry: Any) -> int | None:
    if not isinstance(entry, dict):
        return None
    values = (entry.get(name) for name in _CONTEXT_FIELDS)
    return next((each for each in values if type(each) is int and each > 0), None)


async def _quietly(connection: Connection, url: str, body: Any = None) -> Any:
    """Return the JSON at the address; None on failure, because replies do not need it."""
    try:
        if body is not None:
            return await connection.post(url, body, patience_s=_QUICK_S)
        return await connection.get(url, patience_s=_QUICK_S)
    except EndpointError:
        return None


async def _with_props(connection: Connection, endpoint: Endpoint, model: ServedModel) -> ServedModel:
    """Add the facts that llama.cpp's server reports at /props (tools/server/README.md)."""
    props = await _quietly(connection, f"{endpoint.root}/props")
    if not isinstance(props, dict):
        return model
    defaults = props.get("default_generation_settings")
    context = defaults.get("n_ctx") if isinstance(defaults, dict) else None
    modalities = props.get("modalities")
    abilities = None
    if isinstance(modalities, dict):
        abilities = frozenset(name for name, able in modalities.items() if able) | {"tools", "thinking"}
    return replace(
        model,
        context_length=context if type(context) is int and context > 0 else model.context_length,
        abilities=abilities,
    )


async def _from_lmstudio(connection: Connection, endpoint: Endpoint, model: ServedModel) -> ServedModel:
    """Add the facts that LM Studio reports at /api/v0/models (lmstudio.ai/docs/developer/rest/endpoints)."""
    answer = await _quietly(connection, f"{endpoint.root}/api/v0/models")
    own = next((each for each in _entries(answer, "data") if each.get("id") == model.id), None)
    if own is None:
        return model
    vision = {"vision"} if own.get("type") == "vlm" else set[str]()
    return replace(
        model,
        context_length=_context(own) or model.context_length,
        abilities=frozenset({"tools", "thinking", *vision}),
    )


# ── Ollama (docs.ollama.com/api) ─────────────────────────────────────────────────────────────────


async def _ollama_listing(connection: Connection, endpoint: Endpoint) -> Listing:
    answer = await connection.get(f"{endpoint.root}/api/tags")
    if not isinstance(answer, dict) or "models" not in answer:
        raise EndpointError(
            "The server is not Ollama",
            f"{endpoint.host} answers, but lists no models at /api/tags.",
            'Check the address: OLLAMA_HOST, or the url of the endpoint. Other servers need server = "auto".',
        )
    names = [str(each.get("name") or each.get("model")) for each in _entries(answer, "models")]
    return Listing("ollama", tuple(ServedModel(id=name, server="ollama") for name in names))


async def _ollama_model(
    connection: Connection, endpoint: Endpoint, model: ServedModel, wanted_context: int | None
) -> ServedModel:
    shown = await connection.post(f"{endpoint.root}/api/show", {"model": model.id})
    shown = shown if isinstance(shown, dict) else {}
    abilities = shown.get("capabilities")
    longest = _ollama_longest(shown)
    wanted = None if wanted_context is None else min(wanted_context, longest or wanted_context)
    options = {} if wanted is None else {"options": {"num_ctx": wanted}}
    # A request without a prompt loads the model. Ollama reports the context length only of a loaded model.
    await connection.post(f"{endpoint.root}/api/generate", {"model": model.id, "stream": False, **options})
    running = _entries(await _quietly(connection, f"{endpoint.root}/api/ps"), "models")
    own = next((each for each in running if model.id in (each.get("name"), each.get("model"))), None)
    context = (
        _context(own)
        or wanted
        or _ollama_parameter(shown)
        or min(longest or _OLLAMA_DEFAULT, _OLLAMA_DEFAULT)
    )
    return replace(
        model,
        context_length=context,
        wanted_context=wanted,
        abilities=frozenset(map(str, abilities)) if isinstance(abilities, list) else None,
    )


def _ollama_longest(shown: Mapping[str, Any]) -> int | None:
    info = shown.get("model_info")
    values = info.items() if isinstance(info, dict) else ()
    return next(
        (value for name, value in values if name.endswith(".context_length") and type(value) is int), None
    )


def _ollama_parameter(shown: Mapping[str, Any]) -> int | None:
    for line in str(shown.get("parameters") or "").splitlines():
        name, _, value = line.strip().partition(" ")
        if name == "num_ctx" and value.strip().isdecimal():
            return int(value)
    return None
