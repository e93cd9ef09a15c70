"""The catalog of models on Hugging Face: searches, repository details and headers of remote files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePath
from typing import Any, Literal
from urllib.parse import quote

from spnl_tui.errors import HubError
from spnl_tui.hub.access import HASH, HubAccess
from spnl_tui.hub.client import HubClient
from spnl_tui.hub.remote_facts import gguf_facts, safetensors_facts, with_vision
from spnl_tui.models.facts import Format, ModelFacts, clean
from spnl_tui.models.files.not_models import PROJECTOR, kind_by_name, missing_shards, why_nothing_loads
from spnl_tui.models.files.projector import best_first
from spnl_tui.models.quantization import SAFETENSORS, ModelFile, Quantization, quantizations_of

Sort = Literal["trending", "downloads", "likes", "updated"]
SORTS: Mapping[Sort, str] = {
    "trending": "trendingScore",
    "downloads": "downloads",
    "likes": "likes",
    "updated": "lastModified",
}
PAGE = 30
_LONGEST_SEARCH = 500
"""The longest search text, in characters. Names on the hub have at most 96."""
_WANTED = (
    "downloads", "likes", "lastModified", "gated", "private", "tags", "pipeline_tag", "gguf", "safetensors",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """A repository in a list of search results. Its texts have no control characters."""

    repository: str
    """The name in the hub's spelling."""
    downloads: int
    """The downloads of the last 30 days."""
    likes: int
    updated: datetime | None
    gated: bool
    private: bool
    license: str | None
    pipeline: str | None
    """The model's task, such as "text-generation"."""
    architecture: str | None
    parameters: int | None
    context_length: int | None
    has_template: bool | None
    """True if the hub found a chat template in a GGUF; None if it did not read one."""
    tags: tuple[str, ...]
    base_models: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SearchPage:
    """A page of results, and the token of the next page."""

    cards: tuple[Card, ...]
    next: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RepositoryDetails:
    """A repository at one commit."""

    card: Card
    commit: str
    """The full hash."""
    files: tuple[ModelFile, ...]
    quantizations: tuple[Quantization, ...]
    """The quantizations of its GGUF files, smallest first; empty for a safetensors repository."""

    @property
    def repository(self) -> str:
        """Return the canonical id."""
        return self.card.repository

    @property
    def choices(self) -> tuple[Quantization, ...]:
        """Return the quantizations that can be pulled, or the one safetensors model."""
        if self.quantizations or not self.safetensors_files:
            return self.quantizations
        return (Quantization(SAFETENSORS, self.safetensors_files, ""),)

    @property
    def projector(self) -> ModelFile | None:
        """Return the projector for image input; None if the repository has none."""
        names = {PurePath(file.path): file for file in self.files if file.path.lower().endswith(".gguf")}
        projectors = best_first(path for path in names if kind_by_name(str(path)) == PROJECTOR)
        return names[projectors[0]] if projectors else None

    @property
    def problem(self) -> str:
        """Return a sentence that explains why there is no choice; empty if there is one."""
        if self.choices:
            return ""
        paths = [clean(file.path, 200) for file in self.files]
        return why_nothing_loads(paths, self.card.tags, self.card.pipeline)

    @property
    def format(self) -> Format | None:
        """Return the format to load, preferring GGUF; None if there is neither GGUF nor safetensors."""
        if self.quantizations:
            return "gguf"
        return "safetensors" if self.safetensors_files else None

    @property
    def safetensors_files(self) -> tuple[ModelFile, ...]:
        """Return the weights, configuration and tokenizer of a safetensors model, from the top folder only.

        Empty if there are no weights. `consolidated.safetensors` repeats the weights in another layout and is
        omitted if the usual files exist.
        """
        top = [file for file in self.files if "/" not in file.path]
        weights = [file for file in top if file.path.endswith(".safetensors")]
        usual = [file for file in weights if not file.path.startswith("consolidated")] or weights
        names = {file.path for file in top}
        if not usual or "config.json" not in names or "adapter_config.json" in names:
            return ()
        if missing_shards(file.path for file in usual):
            return ()
        rest = [f for f in top if f.path.endswith((".json", ".jinja")) or f.path == "tokenizer.model"]
        return (*usual, *rest)


class Catalog:
    """The catalog of models on Hugging Face. Every method can be cancelled and has a time limit.

    All methods raise HubError if the hub rejects the request, fails or cannot be reached.
    """

    def __init__(self, hub: HubAccess | None = None, *, timeout: float = 15.0) -> None:
        self._client = HubClient(hub or HubAccess(), timeout=timeout)

    async def prepare(self) -> None:
        """Prepare for the first request, with imports that take a tenth of a second in a thread."""
        await self._client.prepare()

    async def search(
        self,
        text: str = "",
        *,
        format: Format = "gguf",
        sort: Sort = "trending",
        page: str | None = None,
        limit: int = PAGE,
    ) -> SearchPage:
        """Search for repositories by name, best first. `page` is the `next` of the previous page."""
        if len(text) > _LONGEST_SEARCH:
            raise HubError(
                "The search text is too long",
                f"It has {len(text):,} characters; at most {_LONGEST_SEARCH} are allowed.",
                "Search for a part of the model's name.",
            )
        if page is not None:
            answer = await self._client.get_json(page)
        else:
            params: dict[str, str | int | tuple[str, ...]] = {
                "filter": format,
                "sort": SORTS[sort],
                "limit": limit,
                "expand": _WANTED,
            }
            if text.strip():
                params["search"] = text.strip()
            answer = await self._client.get_json("/api/models", params)
        items = answer.data if isinstance(answer.data, list) else []
        return SearchPage(tuple(_card(item) for item in items if isinstance(item, dict)), answer.next)

    async def details(self, repository: str, revision: str | None = None) -> RepositoryDetails:
        """Return the repository at this revision (main if None), with the size and hash of every file."""
        path = f"/api/models/{quote(repository)}"
        if revision:
            path += f"/revision/{quote(revision, safe='')}"
        data = (await self._client.get_json(path, {"blobs": "true"})).data
        commit = data.get("sha") if isinstance(data, dict) else None
        if not isinstance(commit, str) or not HASH.fullmatch(commit):
            raise HubError("Cannot read the hub's answer", f"{repository} has no commit.", "Try again later.")
        listed = data.get("siblings")
        files = tuple(
            _file(item)
            for item in (listed if isinstance(listed, list) else [])
            if isinstance(item, dict) and isinstance(item.get("rfilename"), str)
        )
        return RepositoryDetails(
            card=_card(data), commit=commit, files=files, quantizations=quantizations_of(files)
        )

    async def facts(self, details: RepositoryDetails, quantization: Quantization | None = None) -> ModelFacts:
        """Return the facts from the headers of this quantization; None means the safetensors model.

        Raises:
            ModelFileError: a header is damaged.
        """
        if quantization is None:
            files = details.safetensors_files
            return await safetensors_facts(self._client, details.repository, details.commit, files)
        facts = await gguf_facts(self._client, details.repository, details.commit, quantization.files)
        projector = details.projector
        return facts if projector is None else await with_vision(self._client, facts, projector)

    async def close(self) -> None:
        """Close the session with the hub."""
        await self._client.close()


def _file(item: Mapping[str, Any]) -> ModelFile:
    lfs = item.get("lfs")
    lfs = lfs if isinstance(lfs, dict) else {}
    sha256 = lfs.get("sha256")
    return ModelFile(
        path=item["rfilename"],
        size_bytes=_number(lfs.get("size")) or _number(item.get("size")),
        sha256=sha256 if isinstance(sha256, str) else None,
    )


def _card(data: Mapping[str, Any]) -> Card:
    tags = tuple(clean(tag, 80) for tag in _list(data.get("tags")) if isinstance(tag, str))
    header, weights, card = (_dict(data.get(key)) for key in ("gguf", "safetensors", "cardData"))
    named = [tag.removeprefix("base_model:") for tag in tags if tag.startswith("base_model:")]
    licenses = [tag.removeprefix("license:") for tag in tags if tag.startswith("license:")]
    return Card(
        repository=clean(str(data.get("id") or data.get("modelId") or ""), 200),
        downloads=_number(data.get("downloads")) or 0,
        likes=_number(data.get("likes")) or 0,
        updated=_time(data.get("lastModified")),
        gated=bool(data.get("gated")),
        private=bool(data.get("private")),
        license=_text(card.get("license_name")) or _text(card.get("license")) or next(iter(licenses), None),
        pipeline=_text(data.get("pipeline_tag")),
        architecture=_text(header.get("architecture")),
        parameters=_number(header.get("total")) or _number(weights.get("total")),
        context_length=_number(header.get("context_length")),
        has_template=bool(header.get("chat_template")) if _text(header.get("architecture")) else None,
        tags=tags,
        # Tags repeat a name: base_model:ORG/NAME and base_model:quantized:ORG/NAME.
        base_models=tuple(dict.fromkeys(name for name in named if ":" not in name)),
    )


def _text(value: object) -> str | None:
    return clean(value, 60) if isinstance(value, str) and value else None


def _number(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _time(value: object) -> datetime | None:
    try:
        return datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
