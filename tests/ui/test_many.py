"""Many answers to one prompt: candidates, comparisons, verdicts and merges."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from spnl_tui.conversations.store import Store
from spnl_tui.conversations.turn import Turn
from spnl_tui.engine.protocol import ModelLoaded
from spnl_tui.models.local import LocalModel
from spnl_tui.models.request import Sampling
from spnl_tui.queries.chat import query_to_chat
from spnl_tui.queries.text import read_query
from spnl_tui.queries.tree import with_model
from spnl_tui.settings import Settings
from spnl_tui.ui.text_screen import TextScreen
from spnl_tui.ui.widgets.candidates import Candidate, Candidates
from spnl_tui.ui.widgets.turns import Reply, UserTurn
from tests.support.scripted_engine import MODEL, ScriptedEngine, failure, reply
from tests.ui.support import Chat, TempStore, chat, disk_error, held, in_file, told, typed_ahead, wait_until

OTHER = LocalModel("org/Other-GGUF:Q8_0", "gguf", Path("/models"), ("other.gguf",))


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[TempStore]:
    it = TempStore(tmp_path / "data" / "conversations.db")
    yield it
    await it.close()


def three() -> ScriptedEngine:
    return ScriptedEngine([reply("One."), reply("Two."), reply("Three.")])


def cards(it: Chat) -> list[Candidate]:
    return list(it.screen.chat.candidates.query(Candidate)) if it.screen.chat.candidates.display else []


def heads(it: Chat) -> list[str]:
    """What stands above each candidate, and * before the highlighted one."""
    texts = [" ".join(str(card._head.render()).split()) for card in cards(it)]
    return [
        ("*" if card.has_class("-chosen") else "") + text for card, text in zip(cards(it), texts, strict=True)
    ]


def replies(it: Chat) -> list[Turn]:
    """The replies in the place of the last one."""
    conversation = it.screen.conversation
    return list(conversation.siblings(conversation.path()[-1].id))


def foot(it: Chat) -> str:
    return str(it.screen.query_one(Candidates)._foot.render())


async def command(it: Chat, text: str) -> None:
    it.prompt.insert(text)
    await it.press("enter")


async def many(it: Chat, text: str = "/n 3 Write a tagline", *, ended: int = 3) -> None:
    """Ask, and wait until every candidate has ended."""
    await command(it, text)
    await wait_until(lambda: it.ended() == ended and not it.screen.replying)
    await it.pilot.pause()


# ── candidates ───────────────────────────────────────────────────────────────────────────────────


async def test_candidates_come_one_after_the_other_and_one_is_picked(store: TempStore) -> None:
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
        assert "◂ 2/3 ▸" in str(mounted.render())
        await it.ask("And now?")
        assert it.engine.asked[-1][-2].content == "Two."
        id = it.screen.conversation.id
    loaded = await (await store()).load(id)
    assert [turn.text for turn in loaded.path()] == ["Write a tagline", "Two.", "And now?", "Yes."]
    assert len(loaded) == 6


async def test_candidates_that_are_asked_for_before_the_model_is_found_wait_for_it() -> None:
    found = asyncio.Event()
    async with chat(three(), found=found) as it:
        await command(it, "/n 3 Write a tagline")
        await it.pilot.pause()
        assert it.prompt.text == ""
        assert not told(it)
        found.set()
        await wait_until(lambda: it.ended() == 3)
        assert [turn.text for turn in replies(it)] == ["One.", "Two.", "Three."]


async def test_the_context_is_known_after_candidates_that_were_asked_for_while_the_model_loaded() -> None:
    first = [ModelLoaded(id=1, seconds=0.5, context_length=8192), *reply("One.")]
    engine = ScriptedEngine([first, reply("Two.")], load_script=[asyncio.Event()])
    async with chat(engine) as it:
        await many(it, "/n 2 Write a tagline", ended=2)
        assert it.screen.activity.context_length == 8192


async def test_candidates_that_are_asked_for_before_no_model_is_found_come_back() -> None:
    found = asyncio.Event()
    async with chat(found=found, model=None) as it:
        await command(it, "/n 3 Write a tagline")
        await it.pilot.pause()
        found.set()
        await wait_until(lambda: it.prompt.text == "/n 3 Write a tagline")
        assert "/n cannot be done now" in told(it)[0]


async def test_without_a_prompt_the_last_one_is_answered_again() -> None:
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


async def test_the_key_asks_for_as_many_as_the_settings_say() -> None:
    async with chat(ScriptedEngine()) as it:
        await it.ask("Hi")
        await it.press("alt+n")
        await wait_until(lambda: it.ended() == 4)
        assert len(replies(it)) == 4


async def test_one_is_made_while_the_others_wait_and_the_line_below_tells_of_that_one() -> None:
    hold = asyncio.Event()
    async with chat(ScriptedEngine([held("One", hold), reply("Two.")])) as it:
        await command(it, "/n 2 Go")
        await wait_until(lambda: it.screen.activity.state == "replying")
        await it.pilot.pause()
        assert heads(it) == ["*1 4 tokens", "2 waiting"]
        assert len(it.engine.asked) == 1
        hold.set()
        await wait_until(lambda: it.ended() == 2 and it.screen.activity.state == "idle")


async def test_escape_stops_the_highlighted_one_and_then_all(store: TempStore) -> None:
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


async def test_a_picked_one_is_written_to_its_end_and_the_others_are_not_begun() -> None:
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


async def test_a_prompt_that_is_sent_meanwhile_waits_for_the_picked_one() -> None:
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


async def test_candidates_that_were_typed_ahead_are_not_asked_for_beside_a_reply() -> None:
    hold = asyncio.Event()
    async with chat(ScriptedEngine([held("One", hold)])) as it:
        typed_ahead(it, "first", "/n 3 Go")
        await wait_until(lambda: it.prompt.text == "/n 3 Go")
        assert "/n cannot be done now" in told(it)[0]
        hold.set()
        await wait_until(lambda: it.ended() == 1)
        assert (len(it.engine.asked), it.turns) == (1, [("user", "first"), ("assistant", "One")])


async def test_a_prompt_that_was_typed_ahead_waits_for_the_candidates(store: TempStore) -> None:
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
        assert [message.content for message in engine.asked[-1]] == ["Go", "Two.", "Next"]
        assert not cards(it)
        assert len(it.transcript.query(UserTurn)) == len(it.transcript.query(Reply)) == 2


async def test_a_prompt_that_was_typed_ahead_of_a_mistake_is_sent() -> None:
    async with chat() as it:
        typed_ahead(it, "/n 3", "Next")
        await wait_until(lambda: it.ended() == 1)
        assert "There is no prompt yet" in told(it)[0]
        assert it.turns == [("user", "Next"), ("assistant", "Yes.")]
        assert not it.screen.replying
        assert not it.screen.query(".queued")


async def test_the_next_prompt_can_be_typed_and_its_sending_picks_the_highlighted_one() -> None:
    async with chat(three()) as it:
        await many(it)
        await it.press("right", *"2 more", "left", "right", "enter")
        await wait_until(lambda: it.ended() == 4)
        assert it.turns[1:] == [("assistant", "Two."), ("user", "2 more"), ("assistant", "Yes.")]
        assert not cards(it)


async def test_a_prompt_is_sent_though_what_is_left_of_the_candidates_cannot_be_deleted(
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


async def test_the_room_that_a_short_candidate_leaves_goes_to_those_that_are_cut() -> None:
    long = "\n".join(f"{number}. Line" for number in range(1, 21))
    async with chat(ScriptedEngine([reply(long), reply("Short."), reply(long)])) as it:
        await many(it)

        def free() -> int:
            return it.screen.chat.candidates._cards.size.height - sum(card.size.height for card in cards(it))

        for key in ("right", "right", "left", "left"):
            await it.press(key)
            await wait_until(lambda: free() == 0)
        assert cards(it)[0].size.height > cards(it)[2].size.height


async def test_what_has_come_is_kept_while_it_comes(store: TempStore) -> None:
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


async def test_candidates_go_on_in_a_conversation_out_of_sight_and_are_there_again() -> None:
    hold = asyncio.Event()
    async with chat(ScriptedEngine([reply("One."), held("Two", hold)])) as it:
        await command(it, "/n 2 Go")
        await wait_until(lambda: it.screen.activity.state == "replying")
        first = it.screen.conversation
        await it.press("ctrl+n")
        await wait_until(lambda: it.screen.conversation is not first)
        assert not cards(it)
        await it.screen.show_conversation(first)
        await wait_until(lambda: len(heads(it)) == 2)
        hold.set()
        await wait_until(lambda: it.ended() == 2)
        await it.pilot.pause()
        assert heads(it)[0].startswith("*1 done")


async def test_a_failed_candidate_stands_beside_the_others() -> None:
    async with chat(ScriptedEngine([reply("One."), [failure("No memory")], reply("Three.")])) as it:
        await many(it)
        assert [turn.finish_reason for turn in replies(it)] == ["stop", "failed", "stop"]
        assert heads(it)[1] == "2 failed"


async def test_a_seed_is_counted_on_so_that_candidates_differ() -> None:
    settings = Settings(sampling=Sampling(seed=7))
    async with chat(three(), settings=settings) as it:
        await many(it)
        assert [sampling.seed for _, sampling, _ in it.engine.requests] == [7, 8, 9]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("/n 1 x", "From 2 to 9, not 1"),
        ("/n 12", "not 12"),
        ("/n 2", "no prompt yet"),
        ("/compare nowhere", "nowhere has not been pulled"),
        ("/compare -- x", "at least one name"),
        ('/compare "a', "Quote a path"),
    ],
)
async def test_mistakes_are_told_go_back_and_ask_nothing(text: str, says: str) -> None:
    async with chat() as it:
        await command(it, text)
        await wait_until(lambda: told(it))
        assert says in told(it)[0]
        assert (it.turns, it.engine.asked) == ([], [])
        assert it.prompt.text == text


async def test_a_key_that_fails_puts_nothing_into_the_prompt() -> None:
    async with chat() as it:
        await command(it, "/n 1 x")
        await wait_until(lambda: it.prompt.text)
        it.prompt.text = "a draft"
        await it.press("alt+n")
        await wait_until(lambda: len(told(it)) == 2)
        assert "no prompt yet" in told(it)[1]
        assert it.prompt.text == "a draft"


async def test_those_that_come_side_by_side_are_stopped_one_or_all() -> None:
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


async def test_columns_where_they_are_wide_enough() -> None:
    for width, columns in [(80, False), (120, True)]:
        async with chat(three(), size=(width, 24)) as it:
            await many(it)
            assert it.screen.chat.candidates.has_class("-columns") is columns
            xs = {card.region.x for card in cards(it)}
            assert len(xs) == (3 if columns else 1)


async def test_an_edit_closes_the_candidates_and_finds_the_tree_as_it_was_seen() -> None:
    async with chat(three()) as it:
        await many(it)
        await it.press("right", "alt+right")
        await wait_until(lambda: it.turns[-1] == ("assistant", "Three."))
        assert not cards(it)


# ── several models ───────────────────────────────────────────────────────────────────────────────


async def test_models_are_compared_and_each_reply_remembers_its_model(store: TempStore) -> None:
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


# ── verdicts and merges ──────────────────────────────────────────────────────────────────────────


def verdict(best: int) -> str:
    return json.dumps({"reason": "It is the shortest one.", "best": best})


async def test_the_judge_highlights_and_gives_reasons_and_does_not_pick() -> None:
    engine = three()
    engine.scripts.append(reply(verdict(3)))
    async with chat(engine) as it:
        await many(it)
        await command(it, "/judge brevity")
        await wait_until(lambda: "★ 3" in foot(it))
        assert "It is the shortest one." in foot(it)
        assert heads(it)[2].startswith("*★ 3")
        assert it.turns[-1] == ("assistant", "Three.")
        _, sampling, grammar = engine.requests[-1]
        assert sampling.temperature == 0
        assert grammar is not None
        asked = engine.asked[-1][-1].content
        assert "Reply 2:\nTwo." in asked
        assert "Criteria: brevity" in asked
        assert len(replies(it)) == 3


async def test_the_criteria_can_be_edited() -> None:
    engine = three()
    engine.scripts.append(reply(verdict(2)))
    async with chat(engine) as it:
        await many(it)
        await it.press("alt+v")
        await wait_until(lambda: isinstance(it.app.screen, TextScreen))
        await it.press("end", *" and warm", "enter")
        await wait_until(lambda: "★ 2" in foot(it))
        assert "correct, clear, and to the point and warm" in engine.asked[-1][-1].content


@pytest.mark.parametrize(
    ("script", "says"),
    [
        (reply("I cannot say"), "gave no verdict"),
        (reply(verdict(4)), "gave no verdict"),
        ([failure("The context is full")], "The context is full"),
    ],
)
async def test_a_judge_that_gives_no_verdict(script: list, says: str) -> None:
    engine = three()
    engine.scripts.append(script)
    async with chat(engine) as it:
        await many(it)
        await command(it, "/judge brevity")
        await wait_until(lambda: says in foot(it))
        assert it.turns[-1] == ("assistant", "One.")
        assert it.screen.activity.state == "idle"


async def test_a_judge_can_be_stopped_and_nothing_runs_afterwards() -> None:
    hold = asyncio.Event()
    engine = three()
    engine.scripts.append(held("{", hold))
    async with chat(engine) as it:
        await many(it)
        await command(it, "/judge brevity")
        await wait_until(lambda: len(engine.asked) == 4 and it.screen.activity.state == "replying")
        await it.press("escape")
        await wait_until(lambda: engine.cancelled == 1)
        await wait_until(lambda: not it.screen.replying)
        assert "Judging" not in foot(it)


async def test_replies_beside_each_other_can_be_judged_later() -> None:
    engine = ScriptedEngine([reply("One."), reply("Two."), reply(verdict(1))])
    async with chat(engine) as it:
        await it.ask("Hi")
        await it.press("ctrl+r")
        await wait_until(lambda: it.ended() == 2)
        await command(it, "/judge brevity")
        await wait_until(lambda: "★ 1" in foot(it))
        assert heads(it)[0].startswith("*★ 1")


async def test_a_merge_is_one_more_candidate(store: TempStore) -> None:
    engine = three()
    engine.scripts.append(reply("All of them."))
    async with chat(engine, store=store) as it:
        await many(it)
        await it.press("alt+g")
        await wait_until(lambda: it.ended() == 4)
        await it.pilot.pause()
        assert heads(it)[3].startswith("*4 merged done")
        assert "Reply 3:\nThree." in engine.asked[-1][-1].content
        await it.press("enter")
        await wait_until(lambda: not cards(it))
        assert it.turns[-1] == ("assistant", "All of them.")
        assert len(replies(it)) == 4


async def test_one_reply_alone_is_not_weighed() -> None:
    async with chat() as it:
        await it.ask("Hi")
        for name in ("judge", "merge"):
            assert not it.screen.check_action("choose", (name,))


# ── queries ──────────────────────────────────────────────────────────────────────────────────────


async def test_a_query_opens_as_a_chat_and_a_chat_is_written_as_a_query(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: TempStore
) -> None:
    monkeypatch.chdir(tmp_path)
    text = '(g "m" (cross (system "Be brief") (user "One?") (assistant "Yes.") (user "Two?")) 0.5 64)'
    opened = query_to_chat(read_query(text), Sampling())
    async with chat(opened=opened, store=store) as it:
        await wait_until(lambda: it.prompt.text == "Two?")
        assert it.turns == [("user", "One?"), ("assistant", "Yes.")]
        await it.press("enter")
        await wait_until(lambda: it.ended() == 1)
        asked = [(message.role, message.content) for message in it.engine.asked[0]]
        assert asked == [("system", "Be brief"), ("user", "One?"), ("assistant", "Yes."), ("user", "Two?")]
        assert it.engine.requests[0][1].max_tokens == 64
        await command(it, "/export-query")
        await wait_until(lambda: exported(tmp_path))
    assert read_query(exported(tmp_path)) == with_model(read_query(text), MODEL.name)


def exported(folder: Path) -> str:
    """The text of the query that was written; empty while there is none."""
    return "".join(file.read_text() for file in folder.glob("*.lisp"))
