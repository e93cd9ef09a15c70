"""The config files of a model's original repository, without which a GGUF with a projector does not see."""

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
    """Pull the config files of the original model if these files are a model with its projector. Blocking.

    `pull` pulls files of a repository. Returns why that failed, in words for the user; the model then reads
    only text. Empty if it did not fail, or if nothing was to be done.
    """
    models = [file for file in files if file.suffix.lower() == ".gguf" and kind_by_name(file.name) is None]
    if not models or len(models) == len(files) or kind_by_name(files[-1].name) != PROJECTOR:
        return ""
    try:
        base = read_file_facts(*models).base
    except ModelFileError:
        return ""  # it is reported when the model is loaded
    if base is None:
        return "It will read only text: its header does not name the original model, whose config it needs."
    try:
        if base_folder(models[0], base) is None:
            revision = find_revision(hub, base, "main", timeout=timeout, wait=backoff.wait)
            pull(revision.repo, tuple(name for name in BASE_FILES if name in revision.files))
    except SpnlError as error:
        reason = f"{error.title}. {error.hint}".strip()
        return f"It will read only text until the config files of {base} are here: {reason}"
    return ""
