"""The models pane as a user meets it, key by key, against a hub on 127.0.0.1."""

from __future__ import annotations

import asyncio
import socket
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import pytest
from textual.widgets import Static

from spnl_tui.hub.library import Listing
from spnl_tui.hub.verdicts import Conditions
from spnl_tui.models.reference import ModelReference
from spnl_tui.ui import messages
from spnl_tui.ui.confirm_screen import ConfirmScreen
from tests.support.gguf_maker import make_gguf
from tests.support.hf_cache import add_snapshot
from tests.support.hub import LoopbackHub
from tests.support.scripted_engine import ScriptedEngine, reply
from tests.ui.models_support import SMALL_MACHINE, Models, cache, fill, made_files, make_browser, models
from tests.ui.support import chat, wait_until

WIDE = (200, 60)
HERE = "acme/Cached-GGUF:Q8_0"


@pytest.fixture
def filled(hub: LoopbackHub, tmp_path: Path) -> LoopbackHub:
    """A hub with something on it, and one model on this machine."""
    fill(hub, tmp_path / "made")
    cache(tmp_path / "hub", {"acme/Cached-GGUF": {"c-Q8_0.gguf": tmp_path / "made" / "made-Q8_0.gguf"}})
    return hub


def searches(hub: LoopbackHub) -> list[str]:
    return [request.query for request in hub.requests if request.path == "/api/models"]


# ── finding ──────────────────────────────────────────────────────────────────────────────────────


async def test_it_opens_with_what_is_here_and_what_is_trending(filled: LoopbackHub, tmp_path: Path) -> None:
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


async def test_the_first_row_is_highlighted_whichever_of_disk_and_hub_answers_first(
    filled: LoopbackHub, tmp_path: Path
) -> None:
    browser = make_browser(filled.endpoint, tmp_path)
    answer, listing = asyncio.Event(), browser.listing

    async def slow_listing() -> Listing:
        await answer.wait()
        return await listing()

    browser.listing = slow_listing  # type: ignore[method-assign]
    async with chat(browser=browser) as it:
        await it.press("f3")
        await wait_until(lambda: it.screen.models is not None)
        shown = Models(it.pilot, it.app, it.engine, it.messages, browser)
        await wait_until(lambda: "acme/Made-GGUF" in shown.rows)
        assert shown.highlighted == ""
        answer.set()
        await wait_until(lambda: HERE in shown.rows)
        assert shown.highlighted == HERE
    await browser._catalog.close()
    await browser._library.close()


async def test_typing_asks_the_hub_once_it_rests_and_filters_what_is_here_at_once(
    filled: LoopbackHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spnl_tui.ui.models_pane._TYPING_S", 1.0)  # a busy machine types slowly
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


async def test_a_slow_answer_to_an_earlier_search_is_dropped_and_keys_do_not_wait(
    filled: LoopbackHub, tmp_path: Path
) -> None:
    async with models(filled, tmp_path) as it:
        await it.until_found("")
        hang = filled.faults.add("hang_before_headers", path="/api/models")
        await it.type("other")
        await wait_until(lambda: hang.hits)
        assert "! searching…" in it.rows
        await it.press(*["backspace"] * 5, *"made")
        await it.until_found("made")
        assert it.rows[-1] == "acme/Made-GGUF"


async def test_pages_come_when_the_highlight_nears_the_end(hub: LoopbackHub, tmp_path: Path) -> None:
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


async def test_a_page_that_fails_leaves_what_was_found(hub: LoopbackHub, tmp_path: Path) -> None:
    for number in range(40):
        hub.add_repo(f"acme/M-{number:02}-GGUF", {"m-Q8_0.gguf": b"GGUF"}, trending=100 - number)
    async with models(hub, tmp_path) as it:
        await it.until_found("")
        hub.faults.add("status", status=500, path="/api/models")
        await it.press(*["pagedown"] * 3)
        await it.until_found("")
        assert "! Hugging Face has a problem" in it.rows
        assert "acme/M-29-GGUF" in it.rows


async def test_sort_and_format(filled: LoopbackHub, tmp_path: Path) -> None:
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


async def test_nothing_of_this_name(filled: LoopbackHub, tmp_path: Path) -> None:
    async with models(filled, tmp_path) as it:
        await it.type("zzz")
        await it.until_found("zzz")
        assert it.rows == ["# Hugging Face · gguf, trending", "! Nothing is called 'zzz'."]
        await it.press("enter", "tab", "f8")
        assert it.sent(messages.ModelChosen) == []


# ── errors are states ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ({"kind": "status", "status": 429, "retry_after": "30"}, "Too many requests"),
        ({"kind": "status", "status": 500}, "Hugging Face has a problem"),
        ({"kind": "status", "status": 404}, None),
        ({"kind": "hang_before_headers"}, "Hugging Face does not answer"),
    ],
    ids=["429", "500", "404", "hang"],
)
async def test_a_search_that_fails_leaves_the_library_usable(
    filled: LoopbackHub, tmp_path: Path, fault: dict[str, object], told: str | None
) -> None:
    filled.faults.add(**fault, path="/api/models", times=None)  # type: ignore[arg-type]
    async with models(filled, tmp_path, timeout=0.5) as it:
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


async def test_offline(filled: LoopbackHub, tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        async with models(f"http://127.0.0.1:{unused.getsockname()[1]}", tmp_path, size=WIDE) as it:
            await wait_until(lambda: it.pane._results.error is not None)
            await it.until_judged()
            assert "! Hugging Face cannot be reached" in it.rows
            assert it.badges == {"Q8_0": "tight"} or it.badges == {"Q8_0": "less context"}
            await it.press("enter")
            assert [chosen.model.name for chosen in it.sent(messages.ModelChosen)] == [HERE]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("acme/Missing-GGUF", "acme/Missing-GGUF was not found"),
        ("acme/Private-GGUF", "acme/Private-GGUF was not found"),
        ("acme/Gated-GGUF", "acme/Gated-GGUF is gated"),
    ],
)
async def test_what_may_not_be_seen_says_so(
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
            assert it.badges == {"Q8_0": "not known", "IQ2_M": "unsupported"}


async def test_a_cached_repository_that_cannot_be_read_says_so(filled: LoopbackHub, tmp_path: Path) -> None:
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


async def test_a_token_opens_what_is_private(filled: LoopbackHub, tmp_path: Path) -> None:
    file = tmp_path / "made" / "made-Q2_K.gguf"
    filled.add_repo("acme/Private-GGUF", {"p-Q2_K.gguf": file}, private=True, granted=["hf_alice"])
    async with models(filled, tmp_path, size=WIDE, token="hf_alice") as it:
        it.pane.search.value = "acme/Private-GGUF"
        await it.until_found("acme/Private-GGUF")
        await it.until_judged()
        assert list(it.badges) == ["Q2_K"]
        assert "hf_alice" not in it.reasons


# ── looking ──────────────────────────────────────────────────────────────────────────────────────


async def test_every_quantization_has_a_verdict_that_follows_the_context(
    filled: LoopbackHub, tmp_path: Path
) -> None:
    async with models(filled, tmp_path, size=WIDE) as it:
        it.pane.search.value = "made"
        await it.until_found("made")
        await it.until_judged()
        # Of those that SPNL would look for none fits, so it is the best that does.
        assert it.pane.details.label == "Q4_K_S"
        assert it.badges == {
            "Q2_K": "~fits",
            "IQ4_XS": "unsupported",
            "Q4_K_S": "fits",
            "Q6_K": "~less context",
            "Q8_0": "less context",
            # Re-quantized to five bits, for which there is room.
            "F16": "~fits",
            "F32": "~fits",
        }
        await it.press("tab", *["plus"] * 5)
        assert it.pane.details.context == 131_072
        assert set(it.badges.values()) == {"unsupported", "less context", "~less context"}
        assert "tokens of context it fits" in it.reasons
        assert "the model's most: 40,960" in str(it.pane.query_one("#context", Static).render())
        await it.press(*["minus"] * 8)
        assert it.pane.details.context == 2048
        assert set(it.badges.values()) == {"unsupported", "fits", "~fits"}
        # Now the usual one fits, and the cursor, which nobody has moved, is on it.
        assert it.pane.details.label == "Q8_0"


async def test_resting_on_a_quantization_looks_into_its_own_header(
    filled: LoopbackHub, tmp_path: Path
) -> None:
    async with models(filled, tmp_path, size=WIDE) as it:
        it.pane.search.value = "made"
        await it.until_found("made")
        await it.until_judged()
        looked_into = {request.path for request in filled.downloads() if request.where == "cdn"}
        # The usual one, and the one that turned out to be the better choice here.
        assert looked_into == {"made-Q8_0.gguf", "made-Q4_K_S.gguf"}
        await it.press("tab", "down")
        label = it.pane.details.label
        assert label is not None
        assert it.badges[label].startswith("~")
        assert "Estimated from the header of another quantization." in it.reasons
        await wait_until(lambda: not it.badges[label].startswith("~"))
        await it.pilot.pause()
        assert "Estimated" not in it.reasons
        assert filled.sent() < 2 * (4 << 20)


async def test_the_machine_is_measured_on_request_and_keys_are_answered(
    filled: LoopbackHub, tmp_path: Path
) -> None:
    hold = asyncio.Event()

    async def measure() -> None:
        await hold.wait()

        async def now() -> Conditions:
            return SMALL_MACHINE

        it.browser._conditions = now

    unmeasured = replace(SMALL_MACHINE, calibration=None)
    async with models(filled, tmp_path, size=WIDE, conditions=unmeasured, measure=measure) as it:
        await it.until_judged()
        assert "this machine has not been measured" in it.reasons
        await it.press("f7", "f7", *"mad")
        assert it.pane.search.value == "mad"
        hold.set()
        await wait_until(lambda: "tokens/s" in it.reasons)


async def test_sixty_quantizations_with_shards(hub: LoopbackHub, tmp_path: Path) -> None:
    labels = [
        f"{p}Q{bits}_K_{mix}" for p in ("", "UD-") for bits in range(2, 7) for mix in ("S", "M", "L", "XL")
    ]
    labels += [f"IQ{bits}_{mix}" for bits in (1, 2, 3) for mix in ("XXS", "XS", "S", "M", "NL")] + ["F16"]
    files: dict[str, bytes | Path] = {f"big-{label}.gguf": b"GGUF" * len(label) for label in labels}
    made = make_gguf(tmp_path / "big-Q8_0.gguf", matrix="Q8_0")
    files["big-Q8_0.gguf"] = made
    files |= {f"BF16/big-BF16-{n:05}-of-00003.gguf": b"GGUF" * 999 for n in (1, 2, 3)}
    hub.add_repo("acme/Big-GGUF", files, gguf={"total": 10**7, "architecture": "llama"})
    async with models(hub, tmp_path) as it:
        it.pane.search.value = "acme/Big-GGUF:BF16"
        await it.until_found("acme/Big-GGUF:BF16")
        await it.press("enter")
        await it.until_judged()
        assert len(it.badges) == 58
        assert it.pane.details.label == "BF16"
        await it.press(*["home"], *["down"] * 12)
        assert it.pane.details.label is not None
        await it.press("end", "enter")
        # Nobody knows whether it fits, so it is pulled without a question; all shards, in order.
        while it.pane.details.label != "BF16":
            await it.press("up")
        await it.press("enter")
        await wait_until(lambda: it.sent(messages.PullRequested) or isinstance(it.app.screen, ConfirmScreen))
        if isinstance(it.app.screen, ConfirmScreen):
            await it.press("y")
        await wait_until(lambda: it.sent(messages.PullRequested))
        [wanted] = it.sent(messages.PullRequested)[-1:]
        assert wanted.request.files == tuple(f"BF16/big-BF16-{n:05}-of-00003.gguf" for n in (1, 2, 3))
        assert wanted.name == "acme/Big-GGUF:BF16"


async def test_details_take_turns_with_the_list_on_a_narrow_terminal(
    filled: LoopbackHub, tmp_path: Path
) -> None:
    async with models(filled, tmp_path) as it:
        await it.until_found("")
        # What cannot be seen is not asked for.
        assert [r.path for r in filled.requests if r.path != "/api/models"] == []
        await it.press("down", "enter")
        await it.until_judged()
        assert it.pane.details.look is not None
        assert it.pane.details.look.name == "acme/Made-GGUF"
        assert not it.pane.query_one("#find").display
        await it.press("escape")
        assert it.app.focused is it.pane.search
        assert it.screen.pane == "models"
        await it.press("escape")
        assert it.screen.pane == "chat"
        assert it.app.focused is it.prompt


# ── choosing ─────────────────────────────────────────────────────────────────────────────────────


async def test_what_is_not_here_is_pulled(filled: LoopbackHub, tmp_path: Path) -> None:
    async with models(filled, tmp_path, size=WIDE) as it:
        it.pane.search.value = "made"
        await it.until_found("made")
        await it.until_judged()
        await it.press("tab", "minus", "minus", "enter")
        await wait_until(lambda: it.sent(messages.PullRequested))
        [wanted] = it.sent(messages.PullRequested)
        assert (wanted.request.repo, wanted.request.files) == ("acme/Made-GGUF", ("made-Q8_0.gguf",))
        assert wanted.name == "acme/Made-GGUF:Q8_0"


async def test_what_was_pulled_is_marked_and_the_cursor_stays(filled: LoopbackHub, tmp_path: Path) -> None:
    async with models(filled, tmp_path, size=WIDE) as it:
        it.pane.search.value = "made"
        await it.until_found("made")
        await it.until_judged()
        await it.press("tab", "up", "up")
        assert it.pane.details.label == "Q2_K"
        files = {"made-Q6_K.gguf": tmp_path / "made" / "made-Q6_K.gguf"}
        cache(tmp_path / "hub", {"acme/Made-GGUF": files})
        it.pane.library_changed()
        await wait_until(lambda: it.pane.details.look and it.pane.details.look.here)
        await it.pilot.pause()
        assert "acme/Made-GGUF:Q6_K" in it.rows
        assert it.pane.details.label == "Q2_K"
        assert it.pane.details.has_focus_within


async def test_what_would_not_run_is_pulled_only_on_insistence(filled: LoopbackHub, tmp_path: Path) -> None:
    async with models(filled, tmp_path, size=WIDE) as it:
        it.pane.search.value = "acme/Made-GGUF:IQ4_XS"
        await it.until_found("acme/Made-GGUF:IQ4_XS")
        await it.until_judged()
        assert it.pane.details.label == "IQ4_XS"
        await it.press("tab")
        for answer in ("n", "y"):
            await it.press("enter")
            await wait_until(lambda: isinstance(it.app.screen, ConfirmScreen))
            text = str(it.app.screen.query_one(Static).render())
            assert "mistral.rs cannot load IQ4_XS tensors" in text
            await it.press(answer)
            await it.pilot.pause()
            assert len(it.sent(messages.PullRequested)) == (answer == "y")


async def test_the_cached_quantization_of_a_repository_is_loaded(filled: LoopbackHub, tmp_path: Path) -> None:
    cache(tmp_path / "hub", {"acme/Made-GGUF": {"made-F16.gguf": tmp_path / "made" / "made-F16.gguf"}})
    async with models(filled, tmp_path, size=WIDE) as it:
        it.pane.search.value = "acme/Made-GGUF:F16"
        await it.until_found("acme/Made-GGUF:F16")
        await it.press("down")
        await wait_until(lambda: len(it.badges) == 7)
        await it.until_judged()
        assert it.pane.details.label == "F16"
        await it.press("tab", "enter")
        await wait_until(lambda: it.sent(messages.ModelChosen))
        [chosen] = it.sent(messages.ModelChosen)
        assert chosen.model.name == "acme/Made-GGUF:F16"
        assert (chosen.model.directory / chosen.model.files[0]).is_file()
        assert it.sent(messages.PullRequested) == []


async def test_another_model_is_chosen_while_a_reply_is_made(filled: LoopbackHub, tmp_path: Path) -> None:
    hold = asyncio.Event()
    whole = reply("From the first.")
    async with models(
        filled, tmp_path, engine=ScriptedEngine([[*whole[:-1], hold, whole[-1]], reply("From the second.")])
    ) as it:
        await it.press("f2")
        await it.ask("One", wait=False)
        await wait_until(lambda: it.screen.activity.state == "replying")
        await it.press("ctrl+o")
        await wait_until(lambda: it.screen.pane == "models")
        await it.press("enter")
        await wait_until(lambda: it.screen.pane == "chat")
        assert it.screen.activity.model == "SmolLM2-135M-Instruct"
        assert it.screen.activity.state == "replying"
        hold.set()
        await wait_until(lambda: it.screen.activity.model == HERE)
        await it.ask("Two")
        turns = [turn for turn in it.screen.conversation.path() if turn.role == "assistant"]
        assert [turn.text for turn in turns] == ["From the first.", "From the second."]
        used = [turn.provenance.model for turn in turns if turn.provenance]
        assert used == ["SmolLM2-135M-Instruct", HERE]


# ── changing what is here ────────────────────────────────────────────────────────────────────────


async def test_delete_names_the_size_first_and_can_be_undone(filled: LoopbackHub, tmp_path: Path) -> None:
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


async def test_a_path_in_the_search_box_is_imported(hub: LoopbackHub, tmp_path: Path) -> None:
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


async def test_two_hundred_repositories_and_no_key_waits(hub: LoopbackHub, tmp_path: Path) -> None:
    for number in range(200):
        cache(tmp_path / "hub", {f"acme/Model-{number:03}-GGUF": {"m-Q8_0.gguf": b"%d" % number}})
    async with models(hub, tmp_path) as it:
        it.pane.refresh_library()
        for typed, letter in enumerate("model-19", 1):
            it.app.simulate_key(letter)
            await wait_until(lambda typed=typed: it.pane.search.value == "model-19"[:typed])
        await it.until_found("model-19")
        assert it.rows[1:11] == [f"acme/Model-{number}-GGUF:Q8_0" for number in range(190, 200)]


async def test_a_click_chooses_a_row_also_when_the_list_is_scrolled(hub: LoopbackHub, tmp_path: Path) -> None:
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


async def test_pages_and_round_the_ends(hub: LoopbackHub, tmp_path: Path) -> None:
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


async def test_headings_follow_the_theme(hub: LoopbackHub, tmp_path: Path) -> None:
    async with models(hub, tmp_path, size=WIDE) as it:
        await it.until_found("")

        def colours() -> list[object]:
            return [segment.style and segment.style.color for segment in it.pane.list.render_line(0)]

        before = colours()
        it.app.theme = "ember"
        await wait_until(lambda: colours() != before)
