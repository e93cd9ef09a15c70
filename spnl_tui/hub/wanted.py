"""Finds the files to pull for a reference, and the model after the pull."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from spnl_tui.errors import HubError, ModelFileError
from spnl_tui.hub.catalog import Catalog, RepositoryDetails
from spnl_tui.hub.library.cache_layout import RepositoryCache, default_cache
from spnl_tui.hub.library.library import Library
from spnl_tui.hub.pulls.pull import PullFinished, PullRequest
from spnl_tui.hub.verdicts import (
    Conditions,
    Headers,
    appraise_repository,
    choose_default,
    repository_problem,
)
from spnl_tui.models.facts import Format
from spnl_tui.models.files.local import LocalModel
from spnl_tui.models.files.not_models import kind_by_name
from spnl_tui.models.quantization import choose
from spnl_tui.models.reference import ModelReference

_OTHERS = "Search for a GGUF of a chat model: spnl-chat search NAME"


@dataclass(frozen=True, slots=True)
class Wanted:
    """A model on the hub: its files to pull and its future name in the library."""

    reference: ModelReference
    request: PullRequest
    size_bytes: int | None
    doubt: str = ""
    """The reason why this machine could not use the model, if one is known."""


async def find_wanted(
    catalog: Catalog,
    reference: ModelReference,
    conditions: Conditions,
    *,
    library: Library | None = None,
    cache: Path | None = None,
) -> Wanted:
    """Return the files to pull for this reference, for the quantization that the models pane recommends.

    The quantization that the user names is preferred, then one whose pull has begun in this Hugging Face
    cache (None means huggingface_hub's own), then one in the library. None of these needs a header from the
    hub.

    Raises:
        HubError: the hub rejects the request or cannot be reached, or the repository has no usable model.
        ModelReferenceError: the quantization does not exist.
    """
    if reference.repository is None:
        raise HubError(
            "Nothing to pull", f"{reference} is not on Hugging Face.", "Use a reference such as ORG/NAME."
        )
    details = await catalog.details(reference.repository, reference.revision)
    if reference.quantization is not None and (kind := kind_by_name(f"{reference.quantization}.gguf")):
        raise HubError("This file is not a model", f"{reference.quantization}.gguf is {kind}.", _OTHERS)
    if not details.choices:
        return wanted_of(details, reference)
    if (problem := repository_problem(details.card, details.projector is not None)) is not None:
        raise HubError(
            "This model cannot be loaded", f"{details.repository}: {problem}.", "Choose another model."
        )
    headers = Headers(catalog, details)
    here = await library.here(details, reference.revision) if library else {}
    named = reference.quantization or await asyncio.to_thread(_begun, details, reference.revision, cache)
    if named is None:
        with suppress(HubError, ModelFileError):  # then use the hub's metadata
            await appraise_repository(headers, conditions, cached=frozenset(here))
    appraisals = headers.appraise(conditions)
    chosen = choose_default(details.choices, appraisals, named=named, cached=frozenset(here))
    appraisal = appraisals[chosen.label]
    if named is None and appraisal.runs.level == "no" and chosen.label not in here:
        raise HubError(
            "No quantization of this model can be loaded",
            f"{details.repository}: {appraisal.runs.words}.",
            f"Choose another model. To pull it anyway, give the quantization: {chosen.label}.",
        )
    wanted = wanted_of(
        details, reference.with_quantization(chosen.label) if details.quantizations else reference
    )
    return replace(wanted, doubt=appraisal.why if appraisal.level == "no" else "")


def _begun(details: RepositoryDetails, revision: str | None, cache: Path | None) -> str | None:
    """Return the quantization of an interrupted pull; None if there is none."""
    root = cache if cache is not None else default_cache()
    repository = RepositoryCache(root, details.repository)
    begun = [
        quantization
        for quantization in details.choices
        if any(repository.parts(file.path, revision or "main") for file in quantization.files)
    ]
    return choose(begun).label if begun else None


def wanted_of(details: RepositoryDetails, reference: ModelReference) -> Wanted:
    """Return the files to pull from this repository. Raises as `find_wanted` does."""
    named = reference.with_repository(details.repository)
    label = ""
    if details.quantizations:
        chosen = choose(details.quantizations, named=reference.quantization)
        named, files, size = named.with_quantization(chosen.label), chosen.files, chosen.size_bytes
        label = chosen.label
    elif details.safetensors_files:
        files = details.safetensors_files
        sizes = [file.size_bytes for file in files]
        size = None if None in sizes else sum(s for s in sizes if s is not None)
    else:
        raise HubError(
            "This repository has no model that can be loaded",
            f"{details.repository}: {details.problem}",
            _OTHERS,
        )
    if details.quantizations and (projector := details.projector) is not None:
        files = (*files, projector)
        size = None if size is None or projector.size_bytes is None else size + projector.size_bytes
    paths = tuple(file.path for file in files)
    return Wanted(named, PullRequest(details.repository, paths, reference.revision or "main", label), size)


def pulled_model(request: PullRequest, finished: PullFinished) -> LocalModel:
    """Return the pulled model under its name in the library."""
    every = tuple(file.relative_to(finished.snapshot).as_posix() for file in finished.files)
    files = tuple(file for file in every if kind_by_name(file) is None)
    is_gguf = files[0].lower().endswith(".gguf")
    reference = ModelReference(
        finished.repo,
        request.label_of(files[0]) if is_gguf else None,
        None if request.revision == "main" else request.revision,
    )
    format: Format = "gguf" if is_gguf else "safetensors"
    return LocalModel(str(reference), format, finished.snapshot, files if is_gguf else ())
