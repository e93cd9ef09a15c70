"""The loopback hub behaves, to the unmodified client, as Hugging Face does."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from huggingface_hub import HfApi, get_hf_file_metadata, hf_hub_download, hf_hub_url
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from tests.support.hub import LoopbackHub
from tests.support.hub_content import BLOCK, Pattern

REPO = "acme/Tiny-GGUF"


@pytest.fixture
def api(hub: LoopbackHub) -> HfApi:
    return HfApi(endpoint=hub.endpoint, token=False)


def test_its_files_are_downloaded_from_the_cdn_without_the_token(hub: LoopbackHub, tmp_path: Path) -> None:
    content = Pattern(3 * BLOCK + 17)
    hub.add_repo(REPO, {"sub/tiny.gguf": content, "config.json": "{}"}, gated=True, granted=["hf_alice"])
    for name in ("sub/tiny.gguf", "config.json"):
        path = hf_hub_download(REPO, name, endpoint=hub.endpoint, token="hf_alice", cache_dir=tmp_path)
        assert Path(path).stat().st_size == (content.size if "gguf" in name else 2)
    blob = (tmp_path / "models--acme--Tiny-GGUF/blobs" / content.sha256).read_bytes()
    assert hashlib.sha256(blob).hexdigest() == content.sha256
    assert {r.token for r in hub.requests if r.where == "hub"} == {"hf_alice"}
    assert {r.token for r in hub.requests if r.where == "cdn"} == {None}


def test_listing_contains_sizes_and_hashes(hub: LoopbackHub, api: HfApi) -> None:
    repository = hub.add_repo(REPO, {"tiny.gguf": b"GGUF", "README.md": "hi"}, gguf={"architecture": "llama"})
    info = api.model_info("ACME/tiny-gguf", files_metadata=True)
    assert (info.id, info.sha) == (REPO, repository.head)
    siblings = {s.rfilename: s for s in info.siblings or ()}
    assert siblings["tiny.gguf"].lfs is not None
    assert siblings["tiny.gguf"].lfs.sha256 == hashlib.sha256(b"GGUF").hexdigest()
    assert siblings["README.md"].lfs is None
    assert siblings["README.md"].blob_id == hashlib.sha1(b"blob 2\0hi").hexdigest()
    metadata = get_hf_file_metadata(hf_hub_url(REPO, "README.md", endpoint=hub.endpoint), token=False)
    assert (metadata.etag, metadata.size) == (siblings["README.md"].blob_id, 2)
    assert {e.path for e in api.list_repo_tree(REPO)} == {"tiny.gguf", "README.md"}


def test_it_lists_in_pages(hub: LoopbackHub, api: HfApi) -> None:
    for n in range(7):
        hub.add_repo(f"acme/m{n}-GGUF", {"m.gguf": b"x"}, downloads=n, gguf={"total": n})
    hub.add_repo("acme/other", {"model.safetensors": b"x"}, downloads=99)
    found = list(api.list_models(search="acme", filter="gguf", sort="downloads", limit=5, expand=["gguf"]))
    assert [m.gguf for m in found] == [{"total": n} for n in (6, 5, 4, 3, 2)]
    pages = hub.requests[-1:]
    assert "limit=5" in pages[0].query
    first = api._build_hf_headers(token=False)
    from huggingface_hub.utils import paginate

    every = list(paginate(f"{hub.endpoint}/api/models", {"limit": 3}, first))
    assert len(every) == 8
    assert len(hub.requests) == 1 + 3


def test_it_refuses_as_the_hub_does(hub: LoopbackHub, api: HfApi) -> None:
    hub.add_repo(REPO, {"tiny.gguf": b"GGUF"}, gated=True)
    hub.add_repo("acme/secret", {"tiny.gguf": b"GGUF"}, private=True, granted=["hf_alice"])
    url = hf_hub_url(REPO, "tiny.gguf", endpoint=hub.endpoint)
    for token in (False, "hf_alice"):
        with pytest.raises(GatedRepoError):
            get_hf_file_metadata(url, token=token)
        with pytest.raises(RepositoryNotFoundError):
            api.model_info("acme/nothing", token=token)
    with pytest.raises(RepositoryNotFoundError):
        api.model_info("acme/secret")
    assert api.model_info("acme/secret", token="hf_alice").private
    with pytest.raises(HfHubHTTPError, match="Invalid credentials"):
        api.model_info("acme/secret", token="hf_mallory")
    with pytest.raises(RevisionNotFoundError):
        api.model_info("acme/secret", token="hf_alice", revision="nothing")
    with pytest.raises(RemoteEntryNotFoundError):
        get_hf_file_metadata(url.replace(REPO, "acme/secret").replace("tiny", "no"), token="hf_alice")
    assert api.whoami("hf_alice")["name"] == "alice"
