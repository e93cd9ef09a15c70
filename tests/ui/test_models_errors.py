"""The models pane when the hub fails, refuses or is out of reach: errors are states."""

from __future__ import annotations

import socket
from contextlib import aclosing
from pathlib import Path

import pytest
from textual import events

from spnl_tui.models.reference import ModelReference
from spnl_tui.ui import messages
from tests.support.hub import LoopbackHub
from tests.support.waiting import wait_until
from tests.ui.models_support import HERE, WIDE, make_browser, models


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ({"kind": "status", "status": 429, "retry_after": "30"}, "Too many requests"),
        ({"kind": "status", "status": 500}, "Hugging Face failed"),
        ({"kind": "status", "status": 404}, None),
        ({"kind": "hang_before_headers"}, "Hugging Face does not answer"),
    ],
    ids=["429", "500", "404", "hang"],
)
async def test_failed_search_keeps_the_library_usable(
    filled: LoopbackHub, tmp_path: Path, fault: dict[str, object], told: str | None
) -> None:
    filled.faults.add(**fault, path="/api/models", times=None)  # type: ignore[arg-type]
    async with models(filled, tmp_path, timeout=2.0) as it:
        await wait_until(lambda: it.pane._results.error is not None)
        await it.pilot.pause()
        title = it.pane._results.error.title if it.pane._results.error else ""
        assert told is None or title == told
        assert f"! {title}" in it.rows
        assert it.highlighted == HERE
        await it.press("enter")
        [chosen] = it.sent(messages.ModelChosen)
        assert chosen.model.name == HERE
        filled.faults.clear()
        await it.press("f3")
        await it.until_found("")
        assert "acme/Made-GGUF" in it.rows


@pytest.mark.slow
async def test_offline_hub_is_reported(filled: LoopbackHub, tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        async with models(f"http://127.0.0.1:{unused.getsockname()[1]}", tmp_path, size=WIDE) as it:
            await wait_until(lambda: it.pane._results.error is not None)
            await it.until_judged()
            assert "! Hugging Face cannot be reached" in it.rows
            assert it.badges == {"Q8_0": "tight"} or it.badges == {"Q8_0": "less context"}
            await it.press("enter")
            assert [chosen.model.name for chosen in it.sent(messages.ModelChosen)] == [HERE]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("acme/Missing-GGUF", "acme/Missing-GGUF was not found"),
        ("acme/Private-GGUF", "acme/Private-GGUF was not found"),
        ("acme/Gated-GGUF", "acme/Gated-GGUF is gated"),
    ],
)
async def test_gated_repository_explains_how_to_get_access(
    filled: LoopbackHub, tmp_path: Path, name: str, told: str
) -> None:
    filled.add_repo("acme/Private-GGUF", {"p-Q8_0.gguf": b"x"}, private=True, granted=["hf_alice"])
    files = {"g-Q8_0.gguf": b"x" * 8000, "g-IQ2_M.gguf": b"x" * 4000}
    filled.add_repo("acme/Gated-GGUF", files, gated=True, granted=["hf_alice"])
    async with models(filled, tmp_path, size=WIDE) as it:
        it.pane.search.value = name
        await it.until_found(name)
        await it.until_judged()
        assert told in it.reasons
        if "Gated" in name:  # what its card tells is enough for this much
            assert it.badges == {"Q8_0": "not known", "IQ2_M": "~unsupported"}


async def test_unreadable_cached_repository_is_reported(filled: LoopbackHub, tmp_path: Path) -> None:
    browser = make_browser(filled.endpoint, tmp_path)
    snapshots = tmp_path / "hub" / "models--acme--Made-GGUF" / "snapshots"
    snapshots.parent.mkdir()
    snapshots.symlink_to("a" * 300)  # too long a name to be followed
    async with aclosing(browser.look(ModelReference.parse("acme/Made-GGUF"))) as looks:
        *_, last = [look async for look in looks]
    assert last.error is not None
    assert last.error.title == "A folder of models cannot be read"
    await browser._catalog.close()
    await browser._library.close()


@pytest.mark.slow
async def test_token_opens_private_repositories(filled: LoopbackHub, tmp_path: Path) -> None:
    file = tmp_path / "made" / "made-Q2_K.gguf"
    filled.add_repo("acme/Private-GGUF", {"p-Q2_K.gguf": file}, private=True, granted=["hf_alice"])
    async with models(filled, tmp_path, size=WIDE, token="hf_alice") as it:
        it.pane.search.value = "acme/Private-GGUF"
        await it.until_found("acme/Private-GGUF")
        await it.until_judged()
        assert list(it.badges) == ["Q2_K"]
        assert "hf_alice" not in it.reasons


async def test_search_that_is_too_long_states_the_limit(filled: LoopbackHub, tmp_path: Path) -> None:
    async with models(filled, tmp_path) as it:
        text = "q" * 65_537
        it.app.post_message(events.Paste(text))
        await it.until_found(text)
        assert "! The search text is too long" in it.rows
        assert "! It has 65,537 characters; at most 500 are allowed." in it.rows
        it.pane.search.value = "made"
        await it.until_found("made")
        assert "acme/Made-GGUF" in it.rows


@pytest.mark.slow
@pytest.mark.parametrize(
    "text", ["org/" + "n" * 70_000, "../" + "p" * 70_000, "\x00/\x00", "~nobody/x", "[/]"]
)
async def test_search_with_any_text_is_answered(filled: LoopbackHub, tmp_path: Path, text: str) -> None:
    async with models(filled, tmp_path) as it:
        await it.until_found("")
        it.app.post_message(events.Paste(text))
        await wait_until(lambda: it.pane.search.value)
        await it.until_found(it.pane.search.value.strip())
        await it.press("down", "up", "right", "enter")
        await it.pilot.pause()
        assert it.app.is_running
