"""The list of the models pane as a user meets it, key by key, against a hub on 127.0.0.1."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from textual.widgets import Static

from spnl_tui.hub.library.library import Listing
from spnl_tui.ui import messages
from spnl_tui.ui.dialogs.confirm_screen import ConfirmScreen
from tests.support.hf_cache import add_snapshot
from tests.support.hub import LoopbackHub
from tests.support.waiting import wait_until
from tests.ui.models_support import HERE, WIDE, Models, cache, made_files, make_browser, models
from tests.ui.support import chat


def searches(hub: LoopbackHub) -> list[str]:
    return [request.query for request in hub.requests if request.path == "/api/models"]


# ── finding ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
async def test_pane_opens_with_local_and_trending_models(filled: LoopbackHub, tmp_path: Path) -> None:
    async with models(filled, tmp_path) as it:
        await it.until_found("")
        assert it.rows[:4] == [
            "# On this machine",
            HERE,
            "# Hugging Face · gguf, trending",
            "acme/Made-GGUF",
        ]
        assert "someone/Other-04-Instruct-GGUF (gated)" in it.rows
        assert it.highlighted == HERE


async def test_first_row_is_highlighted_whoever_answers_first(filled: LoopbackHub, tmp_path: Path) -> None:
    browser = make_browser(filled.endpoint, tmp_path)
    answer, listing = asyncio.Event(), browser.listing

    async def slow_listing() -> Listing:
        await answer.wait()
        return await listing()

    browser.listing = slow_listing  # type: ignore[method-assign]
    async with chat(browser=browser) as it:
        await it.press("f3")
        await wait_until(lambda: it.screen.panes.models is not None)
        shown = Models(it.pilot, it.app, it.engine, it.messages, browser)
        await wait_until(lambda: "acme/Made-GGUF" in shown.rows)
        assert shown.highlighted == ""
        answer.set()
        await wait_until(lambda: HERE in shown.rows)
        assert shown.highlighted == HERE
    await browser._catalog.close()
    await browser._library.close()


@pytest.mark.slow
async def test_typing_filters_local_models_at_once_and_the_hub_after_a_pause(
    filled: LoopbackHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spnl_tui.ui.models.pane._TYPING_S", 1.0)  # a busy machine types slowly
    async with models(filled, tmp_path) as it:
        await it.until_found("")
        before = len(searches(filled))
        for typed, letter in enumerate("other", 1):
            it.app.simulate_key(letter)
            await wait_until(lambda typed=typed: it.pane.search.value == "other"[:typed])
        await it.pilot.pause()
        assert "# On this machine" not in it.rows
        await it.until_found("other")
        assert len(searches(filled)) == before + 1
        assert len(it.rows) == 9
        await it.press(*["backspace"] * 5, *"made")
        await it.until_found("made")
        assert it.rows[-1] == "acme/Made-GGUF"


@pytest.mark.slow
async def test_slow_answer_to_an_earlier_search_is_dropped(filled: LoopbackHub, tmp_path: Path) -> None:
    async with models(filled, tmp_path) as it:
        await it.until_found("")
        hang = filled.faults.add("hang_before_headers", path="/api/models")
        await it.type_text("other")
        await wait_until(lambda: hang.hits)
        assert "! searching…" in it.rows
        await it.press(*["backspace"] * 5, *"made")
        await it.until_found("made")
        assert it.rows[-1] == "acme/Made-GGUF"


@pytest.mark.slow
async def test_next_page_loads_when_the_highlight_nears_the_end(hub: LoopbackHub, tmp_path: Path) -> None:
    for number in range(70):
        hub.add_repo(f"acme/M-{number:02}-GGUF", {"m-Q8_0.gguf": b"GGUF"}, trending=100 - number)
    async with models(hub, tmp_path) as it:
        await it.until_found("")
        assert len(it.rows) == 31
        assert len(searches(hub)) == 1
        for count in (61, 71):
            while len(it.rows) < count:
                before = it.highlighted
                await it.press("pagedown")
                await it.until_found("")
                assert it.highlighted >= before
        await it.press("pagedown", "pagedown", "pagedown")
        await it.pilot.pause()
        assert it.highlighted == "acme/M-69-GGUF"
        assert len(searches(hub)) == 3


@pytest.mark.slow
async def test_failed_page_keeps_the_models_found_so_far(hub: LoopbackHub, tmp_path: Path) -> None:
    for number in range(40):
        hub.add_repo(f"acme/M-{number:02}-GGUF", {"m-Q8_0.gguf": b"GGUF"}, trending=100 - number)
    async with models(hub, tmp_path) as it:
        await it.until_found("")
        hub.faults.add("status", status=500, path="/api/models")
        await it.press(*["pagedown"] * 3)
        await it.until_found("")
        assert "! Hugging Face failed" in it.rows
        assert "acme/M-29-GGUF" in it.rows


@pytest.mark.slow
async def test_keys_change_sort_order_and_format(filled: LoopbackHub, tmp_path: Path) -> None:
    filled.add_repo("acme/Plain", {"model.safetensors": b"x"}, tags=["safetensors"])
    async with models(filled, tmp_path) as it:
        await it.until_found("")
        for sort, first in {
            "downloads": "acme/Made-GGUF",
            "likes": "acme/Made-GGUF",
            "updated": "someone/Other-07-Instruct-GGUF",
            "trending": "acme/Made-GGUF",
        }.items():
            await it.press("ctrl+s")
            await it.until_found("")
            place = it.rows.index(f"# Hugging Face · gguf, {sort}")
            assert it.rows[place + 1] == first
        await it.press("ctrl+t")
        await it.until_found("")
        assert it.rows[-2:] == ["# Hugging Face · safetensors, trending", "acme/Plain"]


@pytest.mark.slow
async def test_search_without_results_says_so(filled: LoopbackHub, tmp_path: Path) -> None:
    async with models(filled, tmp_path) as it:
        await it.type_text("zzz")
        await it.until_found("zzz")
        assert it.rows == ["# Hugging Face · gguf, trending", "! Nothing is called 'zzz'."]
        await it.press("enter", "tab", "f8")
        assert it.sent(messages.ModelChosen) == []


# ── what is here ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
async def test_delete_names_the_size_and_can_be_undone(filled: LoopbackHub, tmp_path: Path) -> None:
    async with models(filled, tmp_path) as it:
        await it.until_found("")
        await it.press("f8")
        await wait_until(lambda: isinstance(it.app.screen, ConfirmScreen))
        assert "Delete acme/Cached-GGUF:Q8_0 (11.2 MB)?" in str(it.app.screen.query_one(Static).render())
        await it.press("n")
        assert HERE in it.rows
        await it.press("f8")
        await wait_until(lambda: isinstance(it.app.screen, ConfirmScreen))
        await it.press("y")
        await wait_until(lambda: HERE not in it.rows)
        assert "# On this machine" not in it.rows
        await it.press("ctrl+z")
        await wait_until(lambda: HERE in it.rows)
        await it.press("ctrl+z")
        await it.pilot.pause()
        assert it.rows.count(HERE) == 1


async def test_path_in_the_search_box_is_imported(hub: LoopbackHub, tmp_path: Path) -> None:
    path = next(iter(made_files(tmp_path / "mine").values()))
    async with models(hub, tmp_path) as it:
        it.pane.search.value = str(path)
        await it.pilot.pause()
        assert it.rows[0] == f"Import {path}"
        await it.press("enter")
        await wait_until(lambda: "# On this machine" in it.rows)
        assert it.rows[1] == str(path)
        assert it.pane.search.value == ""
        it.pane.search.value = "/no/such.gguf"
        await it.pilot.pause()
        await it.press("enter")
        await wait_until(lambda: any("does not exist" in str(n.message) for n in it.app._notifications))


@pytest.mark.slow
async def test_keys_respond_with_two_hundred_repositories(hub: LoopbackHub, tmp_path: Path) -> None:
    for number in range(200):
        cache(tmp_path / "hub", {f"acme/Model-{number:03}-GGUF": {"m-Q8_0.gguf": b"%d" % number}})
    async with models(hub, tmp_path) as it:
        it.pane.refresh_library()
        for typed, letter in enumerate("model-19", 1):
            it.app.simulate_key(letter)
            await wait_until(lambda typed=typed: it.pane.search.value == "model-19"[:typed])
        await it.until_found("model-19")
        assert it.rows[1:11] == [f"acme/Model-{number}-GGUF:Q8_0" for number in range(190, 200)]


# ── the list ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
async def test_click_chooses_a_row_in_a_scrolled_list(hub: LoopbackHub, tmp_path: Path) -> None:
    for number in range(90):
        add_snapshot(tmp_path / "hub", f"acme/M-{number:02}-GGUF", {f"m-{number}-Q8_0.gguf": b"%d" % number})
    async with models(hub, tmp_path, size=WIDE) as it:
        await it.until_found("")
        await it.pilot.hover("#models-list", offset=(5, 3))
        await wait_until(lambda: it.pane.list.hovered == 3)
        await it.pilot.click("#models-list", offset=(5, 0))  # the heading
        assert it.sent(messages.ModelChosen) == []
        it.pane.list.scroll_to(y=2, animate=False)
        await it.pilot.pause()
        await it.pilot.click("#models-list", offset=(5, 3))
        [chosen] = it.sent(messages.ModelChosen)
        assert chosen.model.name == it.highlighted == "acme/M-04-GGUF:Q8_0"


@pytest.mark.slow
async def test_page_keys_move_by_pages_and_arrows_wrap_around(hub: LoopbackHub, tmp_path: Path) -> None:
    for number in range(90):
        add_snapshot(tmp_path / "hub", f"acme/M-{number:02}-GGUF", {f"m-{number}-Q8_0.gguf": b"%d" % number})
    async with models(hub, tmp_path, size=WIDE) as it:
        await it.until_found("")
        page = it.pane.list.size.height
        for keys, place in {
            ("pagedown",): 1 + page,
            ("pagedown", "pagedown", "pagedown"): 90,
            ("down",): 1,
            ("up",): 90,
            ("pageup",): 90 - page,
            ("pageup", "pageup", "pageup"): 1,
        }.items():
            await it.press(*keys)
            assert it.pane.list.highlighted == place, keys
            assert 0 <= place - it.pane.list.scroll_offset.y < page


@pytest.mark.slow
async def test_headings_follow_the_theme(hub: LoopbackHub, tmp_path: Path) -> None:
    async with models(hub, tmp_path, size=WIDE) as it:
        await it.until_found("")

        def colours() -> list[object]:
            return [segment.style and segment.style.color for segment in it.pane.list.render_line(0)]

        before = colours()
        it.app.theme = "ember"
        await wait_until(lambda: colours() != before)
