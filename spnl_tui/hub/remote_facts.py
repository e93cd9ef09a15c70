"""Reads the headers of remote models with HTTP range requests, from the first bytes of their files."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from spnl_tui.errors import HubError, ModelFileError
from spnl_tui.hub.access import HASH
from spnl_tui.hub.client import HubClient
from spnl_tui.models.facts import ModelFacts, clean
from spnl_tui.models.files.gguf import read_facts
from spnl_tui.models.files.gguf_header import MAX_HEADER_BYTES, Source
from spnl_tui.models.files.projector import missing_base
from spnl_tui.models.files.safetensors import MAX_HEADER_BYTES as MAX_SAFETENSORS_HEADER
from spnl_tui.models.files.safetensors import read_directory_facts
from spnl_tui.models.quantization import ModelFile
from spnl_tui.models.vision import BASE_FILES, VisionFiles, read_vision, vision_rule_of

_FIRST_GGUF = 2 << 20
_FIRST_SAFETENSORS = 128 << 10
_AT_ONCE = 4
"""The number of headers to read at once."""
_MAX_JSON = 16 << 20
_READ_WHOLE = frozenset(
    {
        *BASE_FILES,
        "tokenizer_config.json",
        "chat_template.json",
        "chat_template.jinja",
        "model.safetensors.index.json",
    }
)
_T = TypeVar("_T")


async def gguf_facts(
    client: HubClient, repository: str, commit: str, files: Sequence[ModelFile]
) -> ModelFacts:
    """Return the facts of a GGUF. Pass all shards of a model in order.

    Raises:
        HubError: the hub rejects a request, fails or cannot be reached.
        ModelFileError: a header is damaged.
    """
    sources = await _each(files, lambda file: _gguf_head(client, repository, commit, file))
    return await asyncio.to_thread(read_facts, *sources)


async def with_vision(client: HubClient, facts: ModelFacts, projector: ModelFile) -> ModelFacts:
    """Return the facts with this projector and the config files of the original repository, for image input.

    If these cannot be read, the facts say why the model cannot read images.
    """
    base = facts.base
    if base is None:
        return replace(facts, blind=missing_base(None))
    try:
        answer = await client.get_json(f"/api/models/{quote(base)}", {"blobs": "true"})
        commit = answer.data.get("sha") if isinstance(answer.data, dict) else None
        siblings = answer.data.get("siblings") if isinstance(answer.data, dict) else None
        sizes = {
            item.get("rfilename"): item.get("size")
            for item in (siblings if isinstance(siblings, list) else [])
            if isinstance(item, dict)
        }
        if not isinstance(commit, str) or not HASH.fullmatch(commit):
            raise HubError("Cannot read the hub's answer", f"{base} has no commit.", "Try again later.")
        texts = []
        for name in BASE_FILES:
            size = sizes.get(name)
            small = isinstance(size, int) and 0 < size <= _MAX_JSON
            texts.append(await client.get_range(base, commit, name, 0, size) if small and size else b"")
    except HubError as error:
        # The repository is often gated, and the hint has the page where its licence is accepted.
        return replace(
            facts, blind=f"it needs config files of {base}: {error.title}. {error.hint}".strip(". ")
        )
    rule = vision_rule_of(texts)
    if rule is None:
        return replace(facts, blind=f"{base} has no config for image input")
    size_bytes = projector.size_bytes or 0
    return replace(facts, vision=VisionFiles(rule, Path(), Path(projector.path), size_bytes))


async def safetensors_facts(
    client: HubClient, repository: str, commit: str, files: Sequence[ModelFile]
) -> ModelFacts:
    """Return the facts of a safetensors model with these files.

    The headers are written to a temporary directory as sparse files of the real size, which take no space, so
    that the reader of local models can be used.

    Raises:
        HubError: the hub rejects a request, fails or cannot be reached.
        ModelFileError: a header is damaged.
    """
    heads = await _each(files, lambda file: _safetensors_head(client, repository, commit, file))

    def read() -> ModelFacts:
        with tempfile.TemporaryDirectory(prefix="spnl-chat-") as folder:
            for file, head in zip(files, heads, strict=True):
                with open(Path(folder, file.path), "wb") as stream:
                    stream.write(head)
                    stream.truncate(_size(file))
            try:
                facts, rule = read_directory_facts(Path(folder)), read_vision(Path(folder))
                return facts if rule is None else replace(facts, vision=VisionFiles(rule, Path()))
            except ModelFileError as error:
                message = error.message.replace(f"{folder}/", "").replace(folder, repository)
                raise ModelFileError(error.title, message, "Choose another repository.") from None

    return await asyncio.to_thread(read)


async def _each(files: Sequence[ModelFile], read: Callable[[ModelFile], Awaitable[_T]]) -> Sequence[_T]:
    """Read all files, a few at once. If one fails or this is cancelled, cancel the others."""
    gate = asyncio.Semaphore(_AT_ONCE)

    async def one(file: ModelFile) -> _T:
        async with gate:
            return await read(file)

    tasks = [asyncio.create_task(one(file)) for file in files]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


async def _gguf_head(client: HubClient, repository: str, commit: str, file: ModelFile) -> Source:
    """Return the header of the file, reading twice as much until it is complete."""
    size = _size(file)
    held = bytearray()

    def read(offset: int, length: int) -> bytes:
        if offset + length > len(held):
            raise _MoreNeeded(offset + length)
        return bytes(held[offset : offset + length])

    source = Source(file.path, size, read)
    wanted = _FIRST_GGUF
    while True:
        stop = min(wanted, size)
        held += await _range(client, repository, commit, file, len(held), stop)
        try:
            await asyncio.to_thread(_try_header, source)
        except _MoreNeeded as need:
            if stop == size or stop >= 2 * MAX_HEADER_BYTES:
                name = clean(file.path, 100)
                raise ModelFileError("The GGUF header is damaged", f"{name} has an endless header.") from None
            wanted = max(2 * stop, need.stop)
        else:
            return source


class _MoreNeeded(Exception):
    """The header is longer than the received data."""

    def __init__(self, stop: int) -> None:
        super().__init__(stop)
        self.stop = stop


def _try_header(source: Source) -> None:
    try:
        read_facts(source)
    except ModelFileError as error:
        # A single shard is not a complete model, but its header is not damaged.
        if error.title != "Shards are missing":
            raise


async def _safetensors_head(client: HubClient, repository: str, commit: str, file: ModelFile) -> bytes:
    """Return the header of a weight file, the whole of a small JSON file, and nothing of other files."""
    size = _size(file)
    if not file.path.endswith(".safetensors"):
        small = file.path in _READ_WHOLE and size <= _MAX_JSON
        return await _range(client, repository, commit, file, 0, size) if small and size else b""
    head = await _range(client, repository, commit, file, 0, min(_FIRST_SAFETENSORS, size))
    # The file begins with eight bytes that give the length of the JSON after them.
    end = min(8 + int.from_bytes(head[:8], "little"), 8 + MAX_SAFETENSORS_HEADER, size)
    if end > len(head):
        head += await _range(client, repository, commit, file, len(head), end)
    return head[:end]


async def _range(
    client: HubClient, repository: str, commit: str, file: ModelFile, start: int, stop: int
) -> bytes:
    """Return exactly these bytes of the file."""
    data = await client.get_range(repository, commit, file.path, start, stop)
    if len(data) < stop - start:
        raise HubError(
            "The file is too short",
            f"{clean(file.path, 100)} has fewer than the {_size(file):,} bytes that the hub states.",
            "Try again later.",
        )
    return data


def _size(file: ModelFile) -> int:
    if file.size_bytes is None:
        raise HubError("Unknown size", f"The hub does not state the size of {clean(file.path, 100)}.")
    return file.size_bytes
