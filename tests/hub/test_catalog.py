"""The catalog against a hub on 127.0.0.1."""

from __future__ import annotations

import asyncio
import gc
import json
import socket
import traceback
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from spnl_tui.errors import HubError, ModelFileError
from spnl_tui.hub.access import HubAccess
from spnl_tui.hub.catalog import Catalog
from spnl_tui.hub.client import HubClient
from spnl_tui.hub.refusals import redact
from tests.support.gguf_maker import make_gguf, make_sharded_gguf
from tests.support.hub import LoopbackHub
from tests.support.hub_content import Pattern
from tests.support.waiting import wait_until

TOKEN = "hf_alice"


@pytest.fixture
async def catalog(hub: LoopbackHub) -> AsyncIterator[Catalog]:
    catalog = Catalog(HubAccess(hub.endpoint, False), timeout=5)
    yield catalog
    await catalog.close()


@pytest.fixture
async def alice(hub: LoopbackHub) -> AsyncIterator[Catalog]:
    """The catalog of somebody with a token."""
    catalog = Catalog(HubAccess(hub.endpoint, TOKEN), timeout=5)
    yield catalog
    await catalog.close()


def fill(hub: LoopbackHub, count: int) -> None:
    for number in range(count):
        hub.add_repo(
            f"acme/Model-{number:03}-GGUF",
            {"m-Q4_K_M.gguf": b"GGUF"},
            downloads=number,
            likes=count - number,
            trending=(number * 7) % count,
            last_modified=f"2025-{number % 12 + 1:02}-01T00:00:00.000Z",
        )


async def test_search_finds_models_by_text_and_format(hub: LoopbackHub, catalog: Catalog) -> None:
    hub.add_repo(
        "acme/Tiny-GGUF",
        {"tiny-Q8_0.gguf": b"GGUF"},
        downloads=1200,
        likes=3,
        tags=["base_model:acme/Tiny", "base_model:quantized:acme/Tiny"],
        gguf={"total": 135_000_000, "architecture": "llama", "context_length": 8192},
    )
    hub.add_repo("acme/Tiny", {"model.safetensors": b""}, tags=["safetensors"], license="mit", gated=True)
    [card] = (await catalog.search("tiny gguf")).cards
    assert (card.repository, card.downloads, card.likes) == ("acme/Tiny-GGUF", 1200, 3)
    assert (card.parameters, card.architecture, card.context_length) == (135_000_000, "llama", 8192)
    assert (card.license, card.gated, card.pipeline) == ("apache-2.0", False, "text-generation")
    assert card.base_models == ("acme/Tiny",)
    assert card.updated is not None
    assert card.updated.year == 2025
    [plain] = (await catalog.search("tiny", format="safetensors")).cards
    assert (plain.repository, plain.gated, plain.license) == ("acme/Tiny", True, "mit")
    assert (await catalog.search("nothing of this name")).cards == ()


async def test_next_page_is_requested_only_on_demand(hub: LoopbackHub, catalog: Catalog) -> None:
    fill(hub, 70)
    page = await catalog.search(sort="downloads", limit=30)
    assert [card.downloads for card in page.cards] == list(range(69, 39, -1))
    assert len(hub.requests) == 1
    second = await catalog.search(page=page.next)
    third = await catalog.search(page=second.next)
    assert [card.downloads for card in (*second.cards, *third.cards)] == list(range(39, -1, -1))
    assert third.next is None


@pytest.mark.parametrize(
    ("sort", "field"), [("downloads", "downloads"), ("likes", "likes"), ("updated", "updated")]
)
async def test_results_follow_the_requested_sort_order(
    hub: LoopbackHub, catalog: Catalog, sort: str, field: str
) -> None:
    fill(hub, 12)
    cards = (await catalog.search(sort=sort)).cards  # type: ignore[arg-type]
    values = [getattr(card, field) for card in cards]
    assert len(values) == 12
    assert values == sorted(values, reverse=True)


async def test_trending_is_the_default(hub: LoopbackHub, catalog: Catalog) -> None:
    fill(hub, 5)
    cards = (await catalog.search()).cards
    assert [card.downloads * 7 % 5 for card in cards] == [4, 3, 2, 1, 0]


async def test_control_characters_from_the_hub_are_removed(hub: LoopbackHub, catalog: Catalog) -> None:
    hub.add_repo("acme/Evil-GGUF", {"m-Q8_0.gguf": b""}, license="mi\x1b]0;owned\x07t", pipeline_tag="a\nb")
    [card] = (await catalog.search()).cards
    assert card.license == "mi ]0;owned t"
    assert card.pipeline == "a b"


async def test_details_of_sixty_quantizations_with_shards(hub: LoopbackHub, catalog: Catalog) -> None:
    labels = [f"{prefix}Q{bits}_K_{mix}" for prefix in ("", "UD-") for bits in range(2, 8) for mix in "SMLX"]
    labels = [label.removesuffix("X") + "XL" if label.endswith("X") else label for label in labels]
    labels += [
        "BF16",
        "F16",
        "F32",
        "Q8_0",
        "Q4_0",
        "Q4_1",
        "IQ1_S",
        "IQ1_M",
        "IQ2_M",
        "IQ4_XS",
        "IQ4_NL",
        "MXFP4",
    ]
    files = {f"big-{label}.gguf": b"GGUF" + bytes(len(label)) for label in labels[:-2]}
    for label in labels[-2:]:
        files |= {f"{label}/big-{label}-0000{n}-of-00003.gguf": b"GGUF%d" % n for n in (1, 2, 3)}
    repository = hub.add_repo("acme/Big-GGUF", {**files, "mmproj-F16.gguf": b"x", "README.md": "hi"})
    details = await catalog.details("acme/Big-GGUF")
    assert sorted(q.label for q in details.quantizations) == sorted(labels)
    assert len(details.quantizations) == 60
    assert (details.commit, details.format) == (repository.head, "gguf")
    [sharded] = [q for q in details.quantizations if q.label == "MXFP4"]
    assert (sharded.size_bytes, len(sharded.files)) == (15, 3)
    content = repository.commits[repository.head][sharded.files[1].path].content
    assert sharded.files[1].sha256 == content.sha256


async def test_details_have_the_canonical_id_and_the_asked_revision(
    hub: LoopbackHub, catalog: Catalog
) -> None:
    repository = hub.add_repo("Acme/Tiny-GGUF", {"m-Q8_0.gguf": b"GGUF"})
    first = repository.head
    repository.commit({"m-Q4_0.gguf": b"GGUF"})
    assert (await catalog.details("acme/tiny-gguf")).repository == "Acme/Tiny-GGUF"
    old = await catalog.details("Acme/Tiny-GGUF", first[:8])
    assert (old.commit, [q.label for q in old.quantizations]) == (first, ["Q8_0"])


async def test_safetensors_repository_lists_the_files_it_needs(hub: LoopbackHub, catalog: Catalog) -> None:
    names = [
        "config.json",
        "tokenizer.json",
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
    ]
    others = ["consolidated.safetensors", "original/model.safetensors", "README.md", "onnx/model.onnx"]
    hub.add_repo("acme/Plain", dict.fromkeys(names + others, b"x"))
    details = await catalog.details("acme/Plain")
    assert details.format == "safetensors"
    assert sorted(file.path for file in details.safetensors_files) == sorted(names)


async def test_safetensors_facts_are_read_from_headers(hub: LoopbackHub, catalog: Catalog) -> None:
    def weights(number: int) -> bytes:
        shape = {"dtype": "BF16", "shape": [1000, 200], "data_offsets": [0, 400_000]}
        padding = {"__metadata__": {"note": "x" * (200_000 if number == 2 else 1)}}
        header = json.dumps({**padding, f"model.layers.{number}.mlp.weight": shape}).encode()
        return len(header).to_bytes(8, "little") + header + bytes(400_000)

    names = [f"model-0000{number}-of-00002.safetensors" for number in (1, 2)]
    config = {"architectures": ["LlamaForCausalLM"], "num_hidden_layers": 2, "max_position_embeddings": 4096}
    hub.add_repo(
        "acme/Plain",
        {
            "config.json": json.dumps(config),
            "tokenizer.json": "{}",
            "tokenizer_config.json": json.dumps({"chat_template": "{{ messages }}"}),
            "model.safetensors.index.json": json.dumps({"weight_map": {"a": names[0], "b": names[1]}}),
            names[0]: weights(1),
            names[1]: weights(2),
        },
    )
    details = await catalog.details("acme/Plain")
    facts = await catalog.facts(details)
    assert (facts.architecture, facts.parameters, facts.file_type) == ("LlamaForCausalLM", 400_000, "BF16")
    assert (facts.context_length, facts.chat_template, facts.tokenizer) == (
        4096,
        "{{ messages }}",
        "tokenizer.json",
    )
    assert facts.file_bytes == len(weights(1)) + len(weights(2))
    assert hub.sent() < 400_000


async def test_damaged_safetensors_headers_raise_an_error(hub: LoopbackHub, catalog: Catalog) -> None:
    for number, weights in enumerate((b"", b"\xff" * 100, (10).to_bytes(8, "little") + b"not a json" * 9)):
        repository = f"acme/Broken-{number}"
        hub.add_repo(repository, {"config.json": "{}", "model.safetensors": weights})
        details = await catalog.details(repository)
        with pytest.raises(ModelFileError) as caught:
            await catalog.facts(details)
        assert "/tmp" not in caught.value.message
        assert "model.safetensors" in caught.value.message


@pytest.mark.slow
async def test_gguf_facts_need_only_the_first_megabytes(
    hub: LoopbackHub, catalog: Catalog, starter_gguf: Path
) -> None:
    hub.add_repo("acme/Smol-GGUF", {"smol-Q4_1.gguf": starter_gguf})
    details = await catalog.details("acme/Smol-GGUF")
    facts = await catalog.facts(details, details.quantizations[0])
    assert (facts.architecture, facts.context_length, facts.layers) == ("llama", 8192, 30)
    assert facts.chat_template
    assert facts.file_bytes == 98_362_432
    assert hub.sent() <= 4 << 20


async def test_facts_of_shards_are_added_up(hub: LoopbackHub, catalog: Catalog, tmp_path: Path) -> None:
    shards = make_sharded_gguf(tmp_path, "tiny-Q8_0", 3)
    hub.add_repo("acme/Shards-GGUF", {shard.name: shard for shard in shards})
    details = await catalog.details("acme/Shards-GGUF")
    facts = await catalog.facts(details, details.quantizations[0])
    assert facts.file_bytes == sum(shard.stat().st_size for shard in shards)
    assert facts.parameters > 0


async def test_facts_are_read_where_ranges_are_ignored(
    hub: LoopbackHub, catalog: Catalog, tmp_path: Path
) -> None:
    hub.add_repo("acme/Tiny-GGUF", {"t-Q8_0.gguf": make_gguf(tmp_path / "t.gguf")})
    hub.faults.add("ignore_range", where="cdn", times=None)
    details = await catalog.details("acme/Tiny-GGUF")
    assert (await catalog.facts(details, details.quantizations[0])).architecture


@pytest.mark.parametrize("fault", [None, "ignore_range"])
async def test_ranges_return_exactly_the_bytes_asked_for(hub: LoopbackHub, fault: str | None) -> None:
    hub.add_repo("acme/Tiny-GGUF", {"sub/t #1.gguf": bytes(range(200))})
    client = HubClient(HubAccess(hub.endpoint, False), timeout=5)
    for start, stop in ((0, 10), (50, 60), (190, 300), (200, 300)):
        if fault:
            hub.faults.add(fault, where="cdn")  # type: ignore[arg-type]
        got = await client.get_range("acme/Tiny-GGUF", "main", "sub/t #1.gguf", start, stop)
        assert got == bytes(range(200))[start:stop]
    await client.close()


async def test_facts_of_a_file_that_is_not_gguf_raise_an_error(hub: LoopbackHub, catalog: Catalog) -> None:
    head = b"GGUF\x03\0\0\0" + (0).to_bytes(8, "little") + (9999).to_bytes(8, "little")
    key = (5).to_bytes(8, "little") + b"a.b.c" + (6).to_bytes(4, "little") + bytes(4)
    endless = (head + key * 9999)[: 1 << 20]
    hub.add_repo("acme/Bad-GGUF", {"a-Q8_0.gguf": b"not a model" * 10, "b-Q4_0.gguf": Pattern(5 << 20)})
    hub.add_repo("acme/Short-GGUF", {"c-Q5_0.gguf": endless[:50_000]})
    for repository in ("acme/Bad-GGUF", "acme/Short-GGUF"):
        details = await catalog.details(repository)
        for quantization in details.quantizations:
            with pytest.raises(ModelFileError):
                await catalog.facts(details, quantization)


async def test_gated_repository_is_named_with_the_way_out(
    hub: LoopbackHub, catalog: Catalog, alice: Catalog, tmp_path: Path
) -> None:
    hub.add_repo("acme/Gated-GGUF", {"t-Q8_0.gguf": make_gguf(tmp_path / "t.gguf")}, gated=True)
    details = await catalog.details("acme/Gated-GGUF")
    assert details.card.gated
    for one in (catalog, alice):
        with pytest.raises(HubError, match="is gated") as caught:
            await one.facts(details, details.quantizations[0])
        assert "https://huggingface.co/acme/Gated-GGUF" in caught.value.hint
    hub.repositories["acme/Gated-GGUF"].granted.add(TOKEN)
    assert await alice.facts(details, details.quantizations[0])
    # The token is for the hub alone: not for the servers that it sends one to.
    assert {r.token for r in hub.requests if r.where == "cdn"} == {None}


async def test_private_and_missing_repositories_give_one_error(
    hub: LoopbackHub, catalog: Catalog, alice: Catalog
) -> None:
    hub.add_repo("acme/Private-GGUF", {"t-Q8_0.gguf": b""}, private=True, granted=[TOKEN])
    for name in ("acme/Private-GGUF", "acme/Missing"):
        with pytest.raises(HubError, match=f"{name} was not found"):
            await catalog.details(name)
    with pytest.raises(HubError, match="acme/Missing was not found"):
        await alice.details("acme/Missing")
    assert (await alice.details("acme/Private-GGUF")).card.private
    assert [card.repository for card in (await alice.search("private")).cards] == ["acme/Private-GGUF"]
    assert (await catalog.search("private")).cards == ()


async def test_unknown_revision_is_named(hub: LoopbackHub, catalog: Catalog) -> None:
    hub.add_repo("acme/Tiny-GGUF", {"t-Q8_0.gguf": b""})
    with pytest.raises(HubError, match="no such revision"):
        await catalog.details("acme/Tiny-GGUF", "no/such")


async def test_too_many_requests_give_the_wait(hub: LoopbackHub, catalog: Catalog) -> None:
    hub.faults.add("status", status=429, retry_after="17")
    with pytest.raises(HubError, match="17 s"):
        await catalog.search()
    hub.faults.add("status", status=429)
    with pytest.raises(HubError, match="try again soon"):
        await catalog.search()
    assert len(hub.requests) == 2


@pytest.mark.parametrize("status", [500, 502, 503])
async def test_failure_of_the_hub_gives_its_status(hub: LoopbackHub, catalog: Catalog, status: int) -> None:
    hub.faults.add("status", status=status)
    with pytest.raises(HubError, match=f"status {status}"):
        await catalog.search()
    assert len(hub.requests) == 1
    assert (await catalog.search()).cards == ()


async def test_silent_hub_ends_in_a_timeout(hub: LoopbackHub, catalog: Catalog, tmp_path: Path) -> None:
    hub.add_repo("acme/Tiny-GGUF", {"t-Q8_0.gguf": make_gguf(tmp_path / "t.gguf")})
    details = await catalog.details("acme/Tiny-GGUF")
    hasty = Catalog(HubAccess(hub.endpoint, False), timeout=0.3)
    hub.faults.add("hang_before_headers", times=2)
    for _ in range(2):
        with pytest.raises(HubError, match="does not answer"):
            await hasty.search()
    hub.faults.add("hang_in_body", where="cdn", after=100)
    with pytest.raises(HubError, match="does not answer"):
        await hasty.facts(details, details.quantizations[0])
    await hasty.close()
    assert (await catalog.search("tiny")).cards


@pytest.mark.parametrize("fault", ["fin_in_body", "rst_in_body", "short"])
async def test_broken_transfer_is_an_error(
    hub: LoopbackHub, catalog: Catalog, tmp_path: Path, fault: str
) -> None:
    hub.add_repo("acme/Tiny-GGUF", {"t-Q8_0.gguf": make_gguf(tmp_path / "t.gguf")})
    details = await catalog.details("acme/Tiny-GGUF")
    hub.faults.add(fault, where="cdn", after=100)  # type: ignore[arg-type]
    with pytest.raises(HubError):
        await catalog.facts(details, details.quantizations[0])


async def test_refused_connection_is_an_error() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        catalog = Catalog(HubAccess(f"http://127.0.0.1:{unused.getsockname()[1]}", False))
        with pytest.raises(HubError, match="cannot be reached") as caught:
            await catalog.search()
        await catalog.close()
    assert "on this machine" in caught.value.hint


async def test_offline_mode_is_named(
    hub: LoopbackHub, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(HubError, match="Offline mode"):
        await catalog.search()
    assert hub.requests == []


@pytest.mark.parametrize("body", [b"<html>", b"[1, 2", b'{"id": "a/b"}', b"null"])
async def test_unreadable_answer_is_an_error(
    hub: LoopbackHub, catalog: Catalog, monkeypatch: pytest.MonkeyPatch, body: bytes
) -> None:
    from tests.support.hub_http import HubHandler

    monkeypatch.setattr(HubHandler, "answer", lambda self: self.reply(200, body))
    with pytest.raises(HubError, match="Cannot read the hub"):
        await catalog.details("acme/Tiny-GGUF")


async def test_cancelled_search_closes_its_connection(hub: LoopbackHub, catalog: Catalog) -> None:
    await catalog.search()
    fault = hub.faults.add("hang_before_headers")
    stale = asyncio.create_task(catalog.search("old"))
    await wait_until(lambda: fault.hits)
    stale.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stale
    assert (await catalog.search("new")).cards == ()
    await wait_until(lambda: hub.requests[1].finished)


async def test_cancelled_first_search_leaves_the_session_open(hub: LoopbackHub) -> None:
    catalog = Catalog(HubAccess(hub.endpoint, False))
    first, second = (asyncio.create_task(catalog.search()) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).cards == ()
    await catalog.close()


async def test_failed_session_is_opened_again(
    hub: LoopbackHub, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise OSError("no certificates")

    with monkeypatch.context() as patch:
        patch.setattr("huggingface_hub.get_async_session", broken)
        with pytest.raises(HubError, match="no certificates"):
            await catalog.search()
    assert (await catalog.search()).cards == ()


@pytest.mark.slow
async def test_bad_token_is_reported_but_not_shown(hub: LoopbackHub) -> None:
    secret = "hf_SECRETsecret0123456789"
    catalog = Catalog(HubAccess(hub.endpoint, secret), timeout=2)
    hub.add_repo("acme/Tiny-GGUF", {"t-Q8_0.gguf": b"GGUF"})
    hub.faults.add("status", status=403, skip=1)
    hub.faults.add("hang_before_headers", skip=1)
    for _ in range(3):
        with pytest.raises(HubError) as caught:
            await catalog.details("acme/Tiny-GGUF")
        told = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
        assert "SECRET" not in told
    assert hub.requests[0].token == secret
    assert "SECRET" not in repr(catalog)
    await catalog.close()
    gc.collect()


def test_token_comes_from_the_first_source_that_has_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "token"))
    assert HubAccess().find_token() is None
    (tmp_path / "token").write_text("hf_login\n")
    assert HubAccess().find_token() == "hf_login"
    assert HubAccess(token="hf_mistralrs").find_token() == "hf_mistralrs"
    monkeypatch.setenv("HF_TOKEN", "hf_first")
    assert HubAccess(token="hf_mistralrs").find_token() == "hf_first"
    assert HubAccess(token=False).find_token() is None
    assert HubAccess(token=False).headers().keys().isdisjoint({"authorization", "Authorization"})


def test_redact_removes_tokens_and_signed_links() -> None:
    assert (
        redact("got hf_abcDEF123 and https://cdn/x?Expires=1&Signature=abc 403")
        == "got hf_… and https://cdn/x?… 403"
    )
