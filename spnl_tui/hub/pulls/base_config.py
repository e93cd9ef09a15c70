"""Pulls the config files of a GGUF's original repository, which the GGUF needs to read images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from spnl_tui.errors import ModelFileError, SpnlError
from spnl_tui.hub.access import HubAccess
from spnl_tui.hub.pulls.pacing import Backoff
from spnl_tui.hub.pulls.revision import find_revision
from spnl_tui.models.files.gguf import read_file_facts
from spnl_tui.models.files.not_models import PROJECTOR, kind_by_name
from spnl_tui.models.files.projector import base_folder
from spnl_tui.models.vision import BASE_FILES


def pull_base_files(
    files: Sequence[Path],
    hub: HubAccess,
    timeout: float,
    backoff: Backoff,
    pull: Callable[[str, tuple[str, ...]], None],
) -> str:
    """Pull the original model's config files if these files are a model and its projector. Blocks.

    `pull` pulls files of a repository. Return the reason, for the user, if the config files are not
    available; the model then reads only text. Return an empty text on success, or if there is nothing to do.
    """
    models = [file for file in files if file.suffix.lower() == ".gguf" and kind_by_name(file.name) is None]
    if not models or len(models) == len(files) or kind_by_name(files[-1].name) != PROJECTOR:
        return ""
    try:
        base = read_file_facts(*models).base
    except ModelFileError:
        return ""  # loading the model reports it
    if base is None:
        return "The model will read only text, because its header does not name the original model."
    try:
        if base_folder(models[0], base) is None:
            revision = find_revision(hub, base, "main", timeout=timeout, wait=backoff.wait)
            pull(revision.repo, tuple(name for name in BASE_FILES if name in revision.files))
    except SpnlError as error:
        reason = f"{error.title}. {error.hint}".strip()
        return f"The model will read only text until the config files of {base} are pulled: {reason}"
    return ""
