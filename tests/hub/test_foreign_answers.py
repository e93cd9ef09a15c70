"""Answers that no sound hub gives. Each ends in an error that the user can act on, never in a traceback."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from spnl_tui.errors import SpnlError
from spnl_tui.headless.models import card_as_dict
from spnl_tui.hub.access import HubAccess
from spnl_tui.hub.catalog import Catalog
from spnl_tui.hub.model_lines import card_lines, search_row
from spnl_tui.hub.refusals import retry_after
from tests.support.hub import LoopbackHub
from tests.support.pulls import FILE, QUICK, REPO, part_files, run_pull

COMMIT, HASH = "c0ffee00" * 5, "ab" * 32
LOOP = {"status": 302, "headers": {"Location": "/api/models/again"}}


def repository(**changes: Any) -> dict[str, Any]:
    """An answer of the API, with changes."""
    file = {"rfilename": FILE, "size": 10, "blobId": "c" * 40, "lfs": {"sha256": HASH, "size": 10}}
    return {"id": REPO, "sha": COMMIT, "siblings": [file], **changes}


def told(**changes: Any) -> dict[str, Any]:
    return {"status": 200, "body": json.dumps(repository(**changes)).encode()}


ANSWERS: dict[str, dict[str, Any]] = {
    "a redirect loop": LOOP,
    "a redirect to no address": {"status": 302, "headers": {"Location": "http://[::1/x"}},
    "a redirect to another protocol": {"status": 302, "headers": {"Location": "file:///etc/passwd"}},
    "a redirect to nowhere": {"status": 301},
    "a body that is not gzip": {"status": 200, "headers": {"Content-Encoding": "gzip"}, "body": b"{}"},
    "an empty body": {"status": 200, "body": b""},
    "a page for a login": {"status": 200, "body": b"<!DOCTYPE html><title>Guest network</title>"},
    "bytes that are not text": {"status": 200, "body": b'{"id": "\xff\xfe"}'},
    "JSON nested too deeply": {"status": 200, "body": b"[" * 200_000},
    "a number of 5,000 digits": {"status": 200, "body": b'{"id": ' + b"9" * 5000 + b"}"},
    "null": {"status": 200, "body": b"null"},
    "a list of everything": {"status": 200, "body": b'[null, 1, "a", [], {"id": 5}]'},
    "files that are a text": told(siblings="abc"),
    "files that are numbers": told(siblings=[1, None, []]),
    "a hash that leaves the cache": told(siblings=[{"rfilename": FILE, "size": 1, "blobId": "../../x"}]),
    "a commit that leaves the cache": told(sha="../../../../x"),
    "a name that leaves the cache": told(id="../../x"),
    "a name of another type": told(id=["a", "b"]),
    "a size below zero": told(siblings=[{"rfilename": FILE, "size": -1, "blobId": "c" * 40}]),
    "sizes that no disk has": told(siblings=[{"rfilename": FILE, "size": 10**30, "blobId": "c" * 40}]),
    "file facts of another type": told(siblings=[{"rfilename": FILE, "lfs": "yes", "size": "large"}]),
    "a wait that is no number": {"status": 429, "headers": {"Retry-After": "\u00b2"}},
    "a wait until 9999": {"status": 429, "headers": {"Retry-After": "Fri, 31 Dec 9999 23:59:59 +0000"}},
    "an unknown status": {"status": 799, "body": b"?"},
}  # fmt: skip


@pytest.fixture
async def catalog(hub: LoopbackHub) -> AsyncIterator[Catalog]:
    catalog = Catalog(HubAccess(hub.endpoint, False), timeout=20)
    yield catalog
    await catalog.close()


@pytest.mark.parametrize("name", ANSWERS)
async def test_foreign_api_answer_ends_a_pull_with_an_error(hub: LoopbackHub, cache: Path, name: str) -> None:
    hub.faults.add("status", path="/api/models", times=None, **ANSWERS[name])
    with pytest.raises(SpnlError) as caught:
        await run_pull(hub, cache, options=replace(QUICK, patience_s=0.3))
    assert "unforeseen" not in caught.value.title
    assert part_files(cache.parent / "cache") == []


@pytest.mark.parametrize("name", ANSWERS)
async def test_foreign_answer_is_shown_or_refused_by_the_catalog(
    hub: LoopbackHub, catalog: Catalog, name: str
) -> None:
    hub.faults.add("status", path="/api/models", times=None, **ANSWERS[name])
    for asked in (catalog.search("x"), catalog.details(REPO)):
        found: Any = None
        with contextlib.suppress(SpnlError):  # any other exception fails the test
            found = await asked
        for card in getattr(found, "cards", ()):
            assert search_row(card)
            json.dumps(card_as_dict(card))
        if hasattr(found, "card"):
            assert card_lines(found)
    await catalog.close()


async def test_search_text_that_no_address_can_hold_is_refused(catalog: Catalog) -> None:
    with pytest.raises(SpnlError, match="too long") as caught:
        await catalog.search("x" * 65_537)
    assert "65,537" in caught.value.message


REFUSING_SERVERS = {
    "a redirect loop of the hub": {"where": "hub", "path": "/resolve/", **LOOP},
    "a redirect loop of the CDN": {"where": "cdn", "status": 302, "headers": {"Location": "/again"}},
    "a CDN that redirects to no address": {"where": "cdn", "status": 302, "headers": {"Location": "http://[x"}},
    "a CDN that redirects to a file": {"where": "cdn", "status": 307, "headers": {"Location": "file:///etc/x"}},
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSING_SERVERS)
async def test_foreign_redirect_ends_a_transfer_with_an_error(
    hub: LoopbackHub, cache: Path, name: str
) -> None:
    hub.add_repo(REPO, {FILE: b"GGUF" * 1000})
    hub.faults.add("status", times=None, **REFUSING_SERVERS[name])
    with pytest.raises(SpnlError) as caught:
        await run_pull(hub, cache, options=replace(QUICK, patience_s=0.3))
    assert "unforeseen" not in caught.value.title


@pytest.mark.slow
def test_redirect_loop_during_a_pull_ends_json_with_pull_failed(hub: LoopbackHub) -> None:
    hub.add_repo(REPO, {FILE: b"GGUF" * 1000})
    hub.faults.add("status", where="cdn", times=None, status=302, headers={"Location": "/again"})
    command = [sys.executable, "-m", "spnl_tui", "pull", "--json", f"{REPO}:Q4_K_M"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    last = json.loads(done.stdout.splitlines()[-1])
    assert last["type"] == "PullFailed"
    assert "redirects" in last["title"]


async def test_fault_of_our_own_ends_a_pull_with_an_error(
    hub: LoopbackHub, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add_repo(REPO, {FILE: b"GGUF" * 1000})
    monkeypatch.setattr("spnl_tui.hub.pulls.pull.check_space", lambda *_: 1 // 0)
    with pytest.raises(SpnlError, match="unforeseen way"):
        await run_pull(hub, cache)


@pytest.mark.slow
@pytest.mark.parametrize("variable", ["HTTP_PROXY", "SSL_CERT_FILE"])
def test_wrong_connection_settings_are_named(hub: LoopbackHub, variable: str) -> None:
    value = {"HTTP_PROXY": "gopher://x:1", "SSL_CERT_FILE": "/nonexistent/certificates.pem"}[variable]
    code = (
        f"import os; os.environ[{variable!r}] = {value!r}\n"
        "from spnl_tui.__main__ import main; import sys; sys.argv[1:] = ['pull', 'acme/x:Q8_0']; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert variable in done.stderr


@pytest.mark.parametrize("value", ["²", "9" * 5000, "Fri, 31 Dec 9999 23:59:59 -9999", "soon", "-5", "1e9"])
def test_strange_waits_are_bounded_or_ignored(value: str) -> None:
    wait_s = retry_after({"Retry-After": value})
    assert wait_s is None or 0 <= wait_s <= 86_400
