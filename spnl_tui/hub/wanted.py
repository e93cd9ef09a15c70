"""From a reference to what must be pulled for it, and from what was pulled to the model that it is."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from spnl_tui.errors import HubError, ModelFileError
from spnl_tui.hub.catalog import Catalog, RepositoryDetails
from spnl_tui.hub.library.cache_layout import RepositoryCache, default_cache
from spnl_tui.hub.pulls.pull import PullFinished, PullRequest
from spnl_tui.hub.verdicts import Conditions, Headers, appraise_repository, choices_of, choose_default
from spnl_tui.models.facts import Format
from spnl_tui.models.local import LocalModel
from spnl_tui.models.quantization import choose, label_of_file
from spnl_tui.models.reference import ModelReference


@dataclass(frozen=True, slots=True)
class Wanted:
    """A model on the hub, as it will be called when it is here, and its files."""

    reference: ModelReference
    request: PullRequest
    size_bytes: int | None
    doubt: str = ""
    """Why pulling it will be in vain on this machine, as far as is known."""


async def find_wanted(
    catalog: Catalog,
    reference: ModelReference,
    conditions: Conditions,
    *,
    cached: frozenset[str] = frozenset(),
    cache: Path | None = None,
) -> Wanted:
    """What to pull for this reference, in the hub's spelling: the very quantization that the browser marks.

    What the user names wins, then what has begun to come into this Hugging Face cache (None:
    huggingface_hub's own): neither asks the hub for a header.

    Raises:
        HubError: the hub refuses or cannot be reached, or the repository holds nothing that can be loaded.
        ModelReferenceError: it has no such quantization.
    """
    if reference.repository is None:
        raise HubError("Nothing to pull", f"{reference} is not on Hugging Face.", "Name one as ORG/NAME.")
    details = await catalog.details(reference.repository, reference.revision)
    if not choices_of(details):
        return wanted_of(details, reference)
    headers = Headers(catalog, details)
    named = reference.quantization or await asyncio.to_thread(_begun, details, reference.revision, cache)
    if named is None:
        with suppress(HubError, ModelFileError):  # then the hub's word must do
            await appraise_repository(headers, conditions, cached=cached)
    appraisals = headers.appraise(conditions)
    chosen = choose_default(choices_of(details), appraisals, named=named, cached=cached)
    wanted = wanted_of(
        details, reference.with_quantization(chosen.label) if details.quantizations else reference
    )
    appraisal = appraisals[chosen.label]
    return replace(wanted, doubt=appraisal.why if appraisal.level == "no" else "")


def _begun(details: RepositoryDetails, revision: str | None, cache: Path | None) -> str | None:
    """The quantization that was being pulled when the program ended, if there is one."""
    root = cache if cache is not None else default_cache()
    repository = RepositoryCache(root, details.repository)
    begun = [
        quantization
        for quantization in choices_of(details)
        if any(repository.parts(file.path, revision or "main") for file in quantization.files)
    ]
    return choose(begun).label if begun else None


def wanted_of(details: RepositoryDetails, reference: ModelReference) -> Wanted:
    """What to pull of this repository. Raises as `find_wanted` does."""
    named = reference.with_repository(details.repository)
    if details.quantizations:
        chosen = choose(details.quantizations, named=reference.quantization)
        named, files, size = named.with_quantization(chosen.label), chosen.files, chosen.size_bytes
    elif details.safetensors_files:
        files = details.safetensors_files
        sizes = [file.size_bytes for file in files]
        size = None if None in sizes else sum(s for s in sizes if s is not None)
    else:
        raise HubError(
            "This repository holds no model that can be loaded",
            f"{details.repository} has neither GGUF files nor safetensors.",
            f"Search for a GGUF of it: spnl-chat search {details.repository.partition('/')[2]}",
        )
    request = PullRequest(
        details.repository, tuple(file.path for file in files), reference.revision or "main"
    )
    return Wanted(named, request, size)


def pulled_model(request: PullRequest, finished: PullFinished) -> LocalModel:
    """The model that has been pulled, as the library will call it."""
    files = tuple(file.relative_to(finished.snapshot).as_posix() for file in finished.files)
    is_gguf = files[0].lower().endswith(".gguf")
    reference = ModelReference(
        finished.repo,
        label_of_file(files[0]) if is_gguf else None,
        None if request.revision == "main" else request.revision,
    )
    format: Format = "gguf" if is_gguf else "safetensors"
    return LocalModel(str(reference), format, finished.snapshot, files if is_gguf else ())
