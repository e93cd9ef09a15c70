"""What the models pane tells of one model, and what comes of choosing it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from textual.widgets import Static

from spnl_tui.engine.mistralrs.handles import to_handle
from spnl_tui.hub.verdicts import Conditions
from spnl_tui.paths import Paths
from spnl_tui.ui import messages
from spnl_tui.ui.dialogs.confirm_screen import ConfirmScreen
from tests.support.engines import fake_engine
from tests.support.gguf_maker import make_gguf
from tests.support.hub import LoopbackHub
from tests.support.scripted_engine import ScriptedEngine, reply
from tests.support.waiting import wait_until
from tests.ui.models_support import HERE, SMALL_MACHINE, WIDE, cache, models

# ── looking ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
async def test_verdict_of_every_quantization_follows_the_context(filled: LoopbackHub, tmp_path: Path) -> None:
    async with models(filled, tmp_path, size=WIDE) as it:
        it.pane.search.value = "made"
        await it.until_found("made")
        await it.until_judged()
        # Of those that SPNL would look for none fits, so it is the best that does.
        assert it.pane.details.label == "Q4_K_S"
        assert it.badges == {
            "Q2_K": "~fits",
            "IQ4_XS": "~unsupported",
            "Q4_K_S": "fits",
            "Q6_K": "~less context",
            "Q8_0": "less context",
            # Re-quantized to five bits, for which there is room.
            "F16": "~fits",
            "F32": "~fits",
        }
        await it.press("tab", *["plus"] * 5)
        assert it.pane.details.context == 131_072
        assert set(it.badges.values()) == {"~unsupported", "less context", "~less context"}
        assert "tokens of context it fits" in it.reasons
        assert "the model's most: 40,960" in str(it.pane.query_one("#context", Static).render())
        await it.press(*["minus"] * 8)
        assert it.pane.details.context == 2048
        assert set(it.badges.values()) == {"~unsupported", "fits", "~fits"}
        # Now the usual one fits, and the cursor, which nobody has moved, is on it.
        assert it.pane.details.label == "Q8_0"


@pytest.mark.slow
async def test_highlighted_quantization_is_judged_by_its_own_header(
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


@pytest.mark.slow
async def test_keys_work_while_the_machine_is_measured(filled: LoopbackHub, tmp_path: Path) -> None:
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


@pytest.mark.slow
async def test_sixty_quantizations_with_shards_are_listed(hub: LoopbackHub, tmp_path: Path) -> None:
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


@pytest.mark.slow
async def test_narrow_terminal_shows_details_or_list(filled: LoopbackHub, tmp_path: Path) -> None:
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
        assert it.screen.panes.seen == "models"
        await it.press("escape")
        assert it.screen.panes.seen == "chat"
        assert it.app.focused is it.prompt


# ── choosing ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
async def test_quantization_that_is_missing_is_pulled(filled: LoopbackHub, tmp_path: Path) -> None:
    async with models(filled, tmp_path, size=WIDE) as it:
        it.pane.search.value = "made"
        await it.until_found("made")
        await it.until_judged()
        await it.press("tab", "minus", "minus", "enter")
        await wait_until(lambda: it.sent(messages.PullRequested))
        [wanted] = it.sent(messages.PullRequested)
        assert (wanted.request.repo, wanted.request.files) == ("acme/Made-GGUF", ("made-Q8_0.gguf",))
        assert wanted.name == "acme/Made-GGUF:Q8_0"


@pytest.mark.slow
async def test_pulled_quantization_is_marked_and_the_cursor_stays(
    filled: LoopbackHub, tmp_path: Path
) -> None:
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


@pytest.mark.slow
async def test_quantization_that_would_not_run_is_pulled_only_if_confirmed(
    filled: LoopbackHub, tmp_path: Path
) -> None:
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


@pytest.mark.slow
async def test_cached_quantization_of_a_repository_is_loaded(filled: LoopbackHub, tmp_path: Path) -> None:
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


@pytest.mark.slow
async def test_model_chosen_during_a_reply_answers_the_next_prompt(
    filled: LoopbackHub, tmp_path: Path
) -> None:
    hold = asyncio.Event()
    whole = reply("From the first.")
    async with models(
        filled, tmp_path, engine=ScriptedEngine([[*whole[:-1], hold, whole[-1]], reply("From the second.")])
    ) as it:
        await it.press("f2")
        await it.ask("One", wait=False)
        await wait_until(lambda: it.screen.activity.state == "replying")
        await it.press("ctrl+o")
        await wait_until(lambda: it.screen.panes.seen == "models")
        await it.press("enter")
        await wait_until(lambda: it.screen.panes.seen == "chat")
        assert it.screen.activity.model == "SmolLM2-135M-Instruct"
        assert it.screen.activity.state == "replying"
        hold.set()
        await wait_until(lambda: it.screen.activity.model == HERE)
        await it.ask("Two")
        turns = [turn for turn in it.screen.conversation.path() if turn.role == "assistant"]
        assert [turn.text for turn in turns] == ["From the first.", "From the second."]
        used = [turn.provenance.model for turn in turns if turn.provenance]
        assert used == ["SmolLM2-135M-Instruct", HERE]


@pytest.mark.slow
async def test_context_chosen_in_the_details_is_the_one_that_is_loaded(
    filled: LoopbackHub, tmp_path: Path, paths: Paths
) -> None:
    cache(tmp_path / "hub", {"acme/Made-GGUF": {"made-F16.gguf": tmp_path / "made" / "made-F16.gguf"}})
    async with (
        fake_engine(paths) as engine,
        models(filled, tmp_path, size=WIDE, engine=engine, to_handle=to_handle, model=None) as it,
    ):

        async def load_from_details(*keys: str) -> int | None:
            await it.press("f3")
            await it.until_judged()
            await it.press("tab", *keys, "enter")
            await wait_until(lambda: it.screen.panes.seen == "chat")
            await wait_until(lambda: it.screen.activity.context_length is not None)
            (loaded,) = engine.loaded()
            assert loaded.context_length == it.screen.activity.context_length
            return loaded.context_length

        it.pane.search.value = "acme/Made-GGUF:F16"
        await it.until_found("acme/Made-GGUF:F16")
        await it.press("down")
        await wait_until(lambda: len(it.badges) == 7)
        assert await load_from_details() == 4096
        assert await load_from_details("minus", "minus", "minus") == 2048
        assert await load_from_details() == 2048
        await it.ask("Still the same?")
        assert engine.loaded()[0].context_length == 2048
