"""From a reference to what must be pulled for it, and from what was pulled to the model that it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from spnl_tui.errors import HubError
from spnl_tui.hub.catalog import Catalog, RepositoryDetails
from spnl_tui.hub.pull import PullFinished, PullRequest
from spnl_tui.models.facts import Format
from spnl_tui.models.local import LocalModel
from spnl_tui.models.quantization import Quantization, choose, label_of_file
from spnl_tui.models.reference import ModelReference


@dataclass(frozen=True, slots=True)
class Wanted:
    """A model on the hub, as it will be called when it is here, and its files."""

    reference: ModelReference
    request: PullRequest
    size_bytes: int | None


async def find_wanted(
    catalog: Catalog,
    reference: ModelReference,
    *,
    cached: frozenset[str] = frozenset(),
    suits: Callable[[Quantization], bool] = lambda quantization: True,
) -> Wanted:
    """What to pull for this reference. Asks the hub once; its spelling of the repository is taken.

    Raises:
        HubError: the hub refuses or cannot be reached, or the repository holds nothing that can be loaded.
        ModelReferenceError: it has no such quantization.
    """
    if reference.repository is None:
        raise HubError("Nothing to pull", f"{reference} is not on Hugging Face.", "Name one as ORG/NAME.")
    details = await catalog.details(reference.repository, reference.revision)
    return wanted_of(details, reference, cached=cached, suits=suits)


def wanted_of(
    details: RepositoryDetails,
    reference: ModelReference,
    *,
    cached: frozenset[str] = frozenset(),
    suits: Callable[[Quantization], bool] = lambda quantization: True,
) -> Wanted:
    """What to pull of this repository. Raises as `find_wanted` does."""
    named = reference.with_repository(details.repository)
    if details.quantizations:
        chosen = choose(details.quantizations, named=reference.quantization, cached=cached, suits=suits)
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
