"""Several candidates for one prompt: asked for, stopped, compared and picked."""

from __future__ import annotations

import asyncio

import pytest

from spnl_tui.conversations.storage.store import Store
from spnl_tui.engine.backend import LoadProgressed, ModelLoaded
from spnl_tui.models.request import Sampling
from spnl_tui.settings import Settings
from spnl_tui.ui.chat.turns import Reply, UserTurn
from tests.support.scripted_engine import MODEL, ScriptedEngine, Step, failure, reply
from tests.support.waiting import wait_until
from tests.ui.candidates_support import OTHER, cards, command, heads, many, replies, three
from tests.ui.support import TempStore, chat, disk_error, held, in_file, told, typed_ahead

# ── asked for and picked ─────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
async def test_candidates_arrive_in_turn_and_one_is_picked(store: TempStore) -> None:
    async with chat(three(), store=store) as it:
        await many(it)
        assert it.turns[0] == ("user", "Write a tagline")
        assert [turn.text for turn in replies(it)] == ["One.", "Two.", "Three."]
        assert heads(it) == [f"{'*' * (n == 1)}{n} done · 4 tokens at 80.0/s" for n in (1, 2, 3)]
        await it.press("right", "right", "right", "left")
        await it.pilot.pause()
        assert [head[0] for head in heads(it)] == ["1", "*", "3"]
        await it.press("enter")
        await wait_until(lambda: not cards(it))
        assert it.turns == [("user", "Write a tagline"), ("assistant", "Two.")]
        await it.pilot.pause()
        (mounted,) = it.screen.query(".siblings")
        assert "◂ 2 of 3 ▸  Alt+←/→" in str(mounted.render())
        await it.ask("And now?")
        assert it.engine.asked[-1][-2].text == "Two."
        id = it.screen.conversation.id
    loaded = await (await store()).load(id)
    assert [turn.text for turn in loaded.path()] == ["Write a tagline", "Two.", "And now?", "Yes."]
    assert len(loaded) == 6


@pytest.mark.slow
async def test_candidates_requested_before_the_model_is_found_wait_for_it() -> None:
    found = asyncio.Event()
    async with chat(three(), found=found) as it:
        await command(it, "/n 3 Write a tagline")
        await it.pilot.pause()
        assert it.prompt.text == ""
        assert not told(it)
        found.set()
        await wait_until(lambda: it.ended() == 3)
        assert [turn.text for turn in replies(it)] == ["One.", "Two.", "Three."]


@pytest.mark.slow
async def test_candidates_requested_during_a_load_know_the_context_afterwards() -> None:
    first = [ModelLoaded(seconds=0.5, context_length=8192), *reply("One.")]
    engine = ScriptedEngine([first, reply("Two.")], load_script=[asyncio.Event()])
    async with chat(engine) as it:
        await many(it, "/n 2 Write a tagline", ended=2)
        assert it.screen.activity.context_length == 8192


@pytest.mark.slow
async def test_context_meter_follows_the_candidate_that_is_generated() -> None:
    loaded, hold = asyncio.Event(), asyncio.Event()
    load: list[Step] = [loaded, ModelLoaded(seconds=0.5, context_length=8192)]
    engine = ScriptedEngine([reply("One."), held("Two", hold)], load_script=load, pool=())
    async with chat(engine) as it:
        await command(it, "/n 2 Write a tagline")
        await wait_until(lambda: it.screen.replying)
        loaded.set()
        await wait_until(lambda: it.ended() == 1 and it.screen.activity.state == "replying")
        assert (it.screen.activity.context_used, it.screen.activity.context_length) == (24, 8192)
        hold.set()
        await wait_until(lambda: it.ended() == 2)


@pytest.mark.slow
async def test_context_meter_includes_the_template_during_a_reply() -> None:
    """The engine says that a prompt has 20 tokens, and the texts in it are of a word."""
    hold = asyncio.Event()
    async with chat(ScriptedEngine([reply("One."), held("Two", hold), reply("Three.")])) as it:
        await it.ask("Hi")
        assert it.screen.activity.context_used == 24
        await command(it, "/n 2 More")
        await wait_until(lambda: it.screen.activity.tokens == 4)
        assert it.screen.activity.context_used == 20 + 12 + 4  # each pair of turns is taken to cost ten
        hold.set()
        await wait_until(lambda: it.ended() == 3)


@pytest.mark.slow
async def test_context_meter_is_empty_until_the_new_model_has_counted() -> None:
    loaded, hold = asyncio.Event(), asyncio.Event()
    engine = ScriptedEngine([reply("Hello."), reply("One."), held("Two", hold)])
    async with chat(engine, models={"b": OTHER}) as it:
        await it.ask("Hi")
        assert (it.screen.activity.context_used, it.screen.activity.context_length) == (24, 8192)
        other = ModelLoaded(seconds=0.5, context_length=2048)
        engine.load_script = [LoadProgressed(stage="reading"), loaded, other]
        await command(it, "/compare b -- Who are you?")
        await wait_until(lambda: it.screen.activity.state == "loading")
        assert (it.screen.activity.model, it.screen.activity.context_length) == (OTHER.name, None)
        loaded.set()
        await wait_until(lambda: it.screen.activity.tokens)
        assert (it.screen.activity.context_used, it.screen.activity.context_length) == (24, 2048)
        hold.set()
        await wait_until(lambda: it.ended() == 3)
        await it.pilot.pause()
        assert it.screen.activity.model == MODEL.name
        assert (it.screen.activity.context_used, it.screen.activity.context_length) == (24, 8192)


async def test_candidates_requested_before_no_model_is_found_return_the_prompt() -> None:
    found = asyncio.Event()
    async with chat(found=found, model=None) as it:
        await command(it, "/n 3 Write a tagline")
        await it.pilot.pause()
        found.set()
        await wait_until(lambda: it.prompt.text == "/n 3 Write a tagline")
        await wait_until(lambda: told(it))
        assert "/n cannot run now" in told(it)[0]


@pytest.mark.slow
async def test_candidates_without_a_prompt_answer_the_last_prompt_again() -> None:
    engine = ScriptedEngine([reply("First."), reply("One."), reply("Two.")])
    async with chat(engine) as it:
        await it.ask("Hi")
        await many(it, "/n 2", ended=3)
        assert [turn.text for turn in replies(it)] == ["First.", "One.", "Two."]
        assert engine.asked[1] == engine.asked[0]
        assert len(heads(it)) == 2
        await it.press("alt+p")
        await wait_until(lambda: not cards(it))
        assert it.turns[-1] == ("assistant", "One.")


@pytest.mark.slow
async def test_key_requests_as_many_candidates_as_the_settings_say() -> None:
    async with chat(ScriptedEngine()) as it:
        await it.ask("Hi")
        await it.press("alt+n")
        await wait_until(lambda: it.ended() == 4)
        assert len(replies(it)) == 4


@pytest.mark.slow
async def test_fixed_seed_is_incremented_so_that_candidates_differ() -> None:
    settings = Settings(sampling=Sampling(seed=7))
    async with chat(three(), settings=settings) as it:
        await many(it)
        assert [sampling.seed for _, sampling, _ in it.engine.requests] == [7, 8, 9]


@pytest.mark.slow
async def test_edit_closes_the_candidates_and_branches_from_the_visible_one() -> None:
    async with chat(three()) as it:
        await many(it)
        await it.press("right", "alt+right")
        await wait_until(lambda: it.turns[-1] == ("assistant", "Three."))
        assert not cards(it)


@pytest.mark.slow
async def test_compared_models_each_reply_and_each_reply_names_its_model(store: TempStore) -> None:
    models = {"a": MODEL, "b": OTHER}
    async with chat(three(), store=store, models=models) as it:
        await many(it, "/compare a b -- Who are you?", ended=2)
        assert it.turns[0] == ("user", "Who are you?")
        assert [model for model, _, _ in it.engine.requests] == [MODEL, OTHER]
        assert [turn.provenance.model for turn in replies(it) if turn.provenance] == [MODEL.name, OTHER.name]
        assert heads(it)[1].startswith("2 Other-GGUF:Q8_0 done · 80/s")
        assert it.screen.activity.model == MODEL.name
        await it.press("enter")
        await many(it, "/compare b", ended=4)
        assert [model for model, _, _ in it.engine.requests][2:] == [MODEL, OTHER]
        assert len(replies(it)) == 4


# ── while they are made ──────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
async def test_line_below_shows_the_progress_of_the_active_candidate() -> None:
    hold = asyncio.Event()
    async with chat(ScriptedEngine([held("One", hold), reply("Two.")])) as it:
        await command(it, "/n 2 Go")
        await wait_until(lambda: it.screen.activity.state == "replying")
        await it.pilot.pause()
        assert heads(it) == ["*1 4 tokens", "2 waiting"]
        assert len(it.engine.asked) == 1
        hold.set()
        await wait_until(lambda: it.ended() == 2 and it.screen.activity.state == "idle")


@pytest.mark.slow
async def test_escape_stops_the_highlighted_candidate_then_all(store: TempStore) -> None:
    hold = asyncio.Event()
    engine = ScriptedEngine([held("One", hold), held("Two", hold), held("Three", hold)])
    async with chat(engine, store=store) as it:
        await command(it, "/n 3 Go")
        await wait_until(lambda: it.screen.activity.state == "replying")
        await it.press("escape")
        await wait_until(lambda: len(engine.asked) == 2 and it.screen.activity.tokens)
        await it.pilot.pause()
        assert heads(it) == ["*1 stopped", "2 4 tokens", "3 waiting"]
        await it.press("escape")
        await wait_until(lambda: it.ended() == 3)
        await it.pilot.pause()
        assert heads(it) == ["*1 stopped", "2 stopped", "3 stopped"]
        assert (len(engine.asked), engine.cancelled) == (2, 2)
        assert it.screen.activity.state == "idle"
        await it.press("right", "enter")
        await wait_until(lambda: not cards(it))
        # Of the third nothing had come.
        assert [turn.text for turn in replies(it)] == ["One", "Two"]
        id = it.screen.conversation.id
    loaded = await (await store()).load(id)
    assert [(t.text, t.finish_reason) for t in loaded.turns()][1:] == [
        ("One", "cancelled"),
        ("Two", "cancelled"),
    ]
    assert loaded.path()[-1].text == "Two"


@pytest.mark.slow
async def test_parallel_candidates_can_be_stopped_singly_or_all_at_once() -> None:
    hold = asyncio.Event()
    scripts = [held("One", hold), held("Two", hold), held("Three", hold)]
    engine = ScriptedEngine(scripts, side_by_side=True)
    async with chat(engine) as it:
        await command(it, "/n 3 Go")
        await wait_until(lambda: [head[-8:] for head in heads(it)] == ["4 tokens"] * 3)
        await it.press("escape")
        await wait_until(lambda: engine.cancelled == 1)
        await it.pilot.pause()
        assert heads(it) == ["*1 stopped", "2 4 tokens", "3 4 tokens"]
        await it.press("escape")
        await wait_until(lambda: it.ended() == 3)
        assert engine.cancelled == 3


@pytest.mark.slow
async def test_candidate_picked_early_is_finished_and_the_others_never_start() -> None:
    hold = asyncio.Event()
    engine = ScriptedEngine([[*held("One", hold)[:-1], hold, *reply(" more.")]])
    async with chat(engine) as it:
        await command(it, "/n 3 Go")
        await wait_until(lambda: it.screen.activity.state == "replying")
        await it.press("enter")
        await wait_until(lambda: len(replies(it)) == 1)
        hold.set()
        await wait_until(lambda: it.turns[-1] == ("assistant", "One more."))
        await wait_until(lambda: it.screen.activity.state == "idle")
        assert (len(engine.asked), engine.cancelled) == (1, 0)


@pytest.mark.slow
async def test_candidates_continue_in_a_hidden_conversation() -> None:
    hold = asyncio.Event()
    async with chat(ScriptedEngine([reply("One."), held("Two", hold)])) as it:
        await command(it, "/n 2 Go")
        await wait_until(lambda: it.screen.activity.state == "replying")
        first = it.screen.conversation
        await it.press("ctrl+n")
        await wait_until(lambda: it.screen.conversation is not first)
        assert not cards(it)
        await it.screen.chat_controller.show(first)
        await wait_until(lambda: len(heads(it)) == 2)
        hold.set()
        await wait_until(lambda: it.ended() == 2)
        await it.pilot.pause()
        assert heads(it)[0].startswith("*1 done")


@pytest.mark.slow
async def test_partial_candidates_are_stored_while_they_arrive(store: TempStore) -> None:
    hold = asyncio.Event()
    async with chat(ScriptedEngine([reply("One."), held("Half of it", hold)]), store=store) as it:
        await command(it, "/n 3 Go")
        await wait_until(lambda: in_file(store.file, "Half of it"))
        id = it.screen.conversation.id
        loaded = await (await store()).load(id)
        # The third, of which nothing has come, is not there.
        assert [turn.text for turn in loaded.turns()] == ["Go", "One.", "Half of it"]
        assert loaded.path()[-1].text == "One."
        await it.press("ctrl+q")
    loaded = await (await store()).load(id)
    assert [turn.text for turn in loaded.turns()] == ["Go", "One.", "Half of it"]
    assert loaded.path()[-1].text == "One."


@pytest.mark.slow
async def test_failed_candidate_is_shown_beside_the_others() -> None:
    async with chat(ScriptedEngine([reply("One."), [failure("No memory")], reply("Three.")])) as it:
        await many(it)
        assert [turn.finish_reason for turn in replies(it)] == ["stop", "failed", "stop"]
        assert heads(it)[1] == "2 failed"


# ── the next prompt ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
async def test_prompt_sent_during_candidates_waits_for_the_picked_one() -> None:
    hold = asyncio.Event()
    async with chat(ScriptedEngine([[*held("One", hold)[:-1], hold, *reply(" more.")]])) as it:
        await command(it, "/n 3 Go")
        await wait_until(lambda: it.screen.activity.state == "replying")
        await it.ask("Next", wait=False)
        await wait_until(lambda: it.ended() == 2)
        await it.pilot.pause()
        hold.set()
        await wait_until(lambda: it.turns[-1] == ("assistant", "Yes."))
        assert it.turns[1:3] == [("assistant", "One more."), ("user", "Next")]


@pytest.mark.slow
async def test_candidates_typed_ahead_wait_for_the_reply() -> None:
    hold = asyncio.Event()
    async with chat(ScriptedEngine([held("One", hold)])) as it:
        typed_ahead(it, "first", "/n 3 Go")
        await wait_until(lambda: it.prompt.text == "/n 3 Go")
        await wait_until(lambda: told(it))
        assert "/n cannot run now" in told(it)[0]
        hold.set()
        await wait_until(lambda: it.ended() == 1)
        assert (len(it.engine.asked), it.turns) == (1, [("user", "first"), ("assistant", "One")])


@pytest.mark.slow
async def test_prompt_typed_ahead_waits_for_the_candidates(store: TempStore) -> None:
    hold = asyncio.Event()
    engine = ScriptedEngine([reply("One."), reply("Two."), held("Three.", hold)])
    async with chat(engine, store=store) as it:
        typed_ahead(it, "/n 3 Go", "Next")
        await wait_until(lambda: it.ended() == 2 and len(cards(it)) == 3)
        assert it.turns == [("user", "Go"), ("assistant", "One.")]
        await it.press("right")
        hold.set()
        await wait_until(lambda: it.ended() == 4)
        assert [text for _, text in it.turns] == ["Go", "Two.", "Next", "Yes."]
        assert [message.text for message in engine.asked[-1]] == ["Go", "Two.", "Next"]
        assert not cards(it)
        assert len(it.transcript.query(UserTurn)) == len(it.transcript.query(Reply)) == 2


@pytest.mark.slow
@pytest.mark.parametrize("sought", [False, True])
async def test_candidates_belong_to_the_conversation_they_were_typed_in(
    sought: bool,
) -> None:
    """`sought`: the model is still being looked for."""
    found = asyncio.Event()
    async with chat(three(), found=found) as it:
        if not sought:
            found.set()
            await it.ask("First")
        old = it.screen.conversation
        typed_ahead(it, "/n 2 Go", "/new")
        await it.pilot.pause()
        found.set()
        await wait_until(lambda: it.screen.conversation is not old)
        await wait_until(lambda: it.ended() == (2 if sought else 3) and not it.screen.sessions.replying)
        assert it.turns == []
        assert [turn.text for turn in old.turns()][-3:] == [
            "Go",
            *(["One.", "Two."] if sought else ["Two.", "Three."]),
        ]
        assert not cards(it)
        await it.screen.chat_controller.show(old)
        await wait_until(lambda: len(cards(it)) == 2)


@pytest.mark.slow
@pytest.mark.parametrize("candidates", [False, True])
@pytest.mark.parametrize("text", ["/fork", "/tree", "/judge best", "/merge", "/side-by-side"])
async def test_new_conversation_typed_ahead_keeps_the_candidates(text: str, candidates: bool) -> None:
    async with chat(three()) as it:
        await many(it, "/n 2 Go", ended=2)
        if not candidates:
            await it.press("alt+p")
        await it.pilot.pause()
        old = it.screen.conversation
        typed_ahead(it, text, "/new")
        await it.pilot.pause()
        if it.app.screen is not it.screen:  # the tree, which has got what was typed after it
            await it.press("escape")
        else:
            await wait_until(lambda: it.screen.conversation is not old)
        await wait_until(lambda: not it.screen.sessions.replying)
        assert it.app._exception is None


@pytest.mark.slow
async def test_prompt_typed_before_a_wrong_command_is_sent() -> None:
    async with chat() as it:
        typed_ahead(it, "/n 3", "Next")
        await wait_until(lambda: it.ended() == 1)
        await wait_until(lambda: told(it))
        assert "There is no prompt yet" in told(it)[0]
        assert it.turns == [("user", "Next"), ("assistant", "Yes.")]
        assert not it.screen.replying
        assert not it.screen.query(".queued")


@pytest.mark.slow
async def test_sending_the_next_prompt_picks_the_highlighted_candidate() -> None:
    async with chat(three()) as it:
        await many(it)
        await it.press("right", *"2 more", "left", "right", "enter")
        await wait_until(lambda: it.ended() == 4)
        assert it.turns[1:] == [("assistant", "Two."), ("user", "2 more"), ("assistant", "Yes.")]
        assert not cards(it)


@pytest.mark.slow
async def test_prompt_is_sent_even_if_old_candidates_cannot_be_deleted(
    store: TempStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Store, "save_deletion", disk_error)
    hold = asyncio.Event()
    async with chat(ScriptedEngine([[*held("One", hold)[:-1], hold, *reply(" more.")]]), store=store) as it:
        await command(it, "/n 3 Go")
        await wait_until(lambda: it.screen.activity.state == "replying")
        await it.ask("Next", wait=False)
        hold.set()
        await wait_until(lambda: it.turns[-1] == ("assistant", "Yes."))
        assert it.turns[1:3] == [("assistant", "One more."), ("user", "Next")]
        assert any("The disk is broken" in text for text in told(it))


# ── how they are shown ───────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
async def test_short_candidates_leave_their_room_to_longer_ones() -> None:
    long = "\n".join(f"{number}. Line" for number in range(1, 21))
    async with chat(ScriptedEngine([reply(long), reply("Short."), reply(long)])) as it:
        await many(it)

        def free() -> int:
            return it.screen.chat.candidates._cards.size.height - sum(card.size.height for card in cards(it))

        for key in ("right", "right", "left", "left"):
            await it.press(key)
            await wait_until(lambda: free() == 0)
        await wait_until(lambda: cards(it)[0].size.height > cards(it)[2].size.height)
        assert free() == 0


@pytest.mark.slow
async def test_wide_terminal_shows_candidates_in_columns() -> None:
    for width, columns in [(80, False), (120, True)]:
        async with chat(three(), size=(width, 24)) as it:
            await many(it)
            assert it.screen.chat.candidates.has_class("-columns") is columns
            xs = {card.region.x for card in cards(it)}
            assert len(xs) == (3 if columns else 1)


# ── mistakes ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("/n 1 x", "Ask for 2 to 9, not 1"),
        ("/n 12", "not 12"),
        ("/n 2", "no prompt yet"),
        ("/compare nowhere", "nowhere has not been pulled"),
        ("/compare -- x", "Name at least one model"),
        ('/compare "a', "Put quotes around a path"),
    ],
)
async def test_wrong_commands_are_reported_and_return_to_the_prompt(text: str, says: str) -> None:
    async with chat() as it:
        await command(it, text)
        await wait_until(lambda: told(it))
        assert says in told(it)[0]
        assert (it.turns, it.engine.asked) == ([], [])
        assert it.prompt.text == text


async def test_failed_key_leaves_the_prompt_empty() -> None:
    async with chat() as it:
        await command(it, "/n 1 x")
        await wait_until(lambda: it.prompt.text)
        it.prompt.text = "a draft"
        await it.press("alt+n")
        await wait_until(lambda: len(told(it)) == 2)
        assert told(it)[1] == "There is no prompt yet: Send a prompt first, or type it after the command."
        assert it.prompt.text == "a draft"
