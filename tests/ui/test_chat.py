"""The chat as a user meets it, key by key."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from textual import events
from textual.widgets import Static

from spnl_tui.conversations.conversation import Conversation
from spnl_tui.conversations.store import Store
from spnl_tui.conversations.turn import Turn
from spnl_tui.errors import HubError, ModelFileError, PullError, StoreError
from spnl_tui.settings import ChatSettings, Settings
from spnl_tui.ui import messages
from spnl_tui.ui.code_picker import CodePicker
from spnl_tui.ui.command_table import COMMANDS
from spnl_tui.ui.help_screen import HelpScreen
from spnl_tui.ui.widgets.turns import Reply, Thinking
from tests.support.scripted_engine import ScriptedEngine, failure, reply
from tests.ui.support import Chat, ScriptedStarter, chat, wait_until

SENT = (messages.PromptSubmitted, messages.ReplyBegan, messages.ReplyEnded)


def held(text: str, hold: asyncio.Event, rest: str = "") -> list[object]:
    """A reply that waits after its first text."""
    script = reply(text + rest, pieces=1)
    whole = reply(text)
    return [*whole[:-1], hold, *(reply(rest)[1:] if rest else script[-1:])]


def typed_ahead(it: Chat, *texts: str) -> None:
    """Type these and send each, in one go, as after a stall of the interface."""
    for text in texts:
        for key in [*text, "enter"]:
            it.app.simulate_key(key)


async def test_a_prompt_is_answered_and_the_next_one_knows_it() -> None:
    async with chat(ScriptedEngine([reply("Paris.", pieces=3), reply("Two million.")])) as it:
        await it.ask("Capital of France?")
        await it.ask("How many people?")
        assert it.happened(*SENT) == ["PromptSubmitted", "ReplyBegan", "ReplyEnded"] * 2
        assert it.turns == [
            ("user", "Capital of France?"),
            ("assistant", "Paris."),
            ("user", "How many people?"),
            ("assistant", "Two million."),
        ]
        sent = [(message.role, message.content) for message in it.engine.asked[1]]
        assert sent == it.turns[:3]
        assert it.prompt.text == ""
        assert it.engine.cancelled == 0
        assert it.screen.activity.tokens == 4
        assert it.screen.activity.context_length == 8192


async def test_a_reply_is_shown_as_ended_only_when_keys_for_what_has_ended_are_taken() -> None:
    async with chat(ScriptedEngine([reply("Paris.", pieces=3)])) as it:
        shown: list[tuple[str, bool]] = []
        screen = it.screen
        screen.watch(screen, "activity", lambda now: shown.append((now.state, screen.replying)), init=False)
        await it.ask("Capital of France?")
        assert ("idle", False) in shown
        assert ("idle", True) not in shown


async def test_the_system_prompt_and_the_sampling_are_sent() -> None:
    async with chat(settings=Settings(chat=ChatSettings(system_prompt="Be brief."))) as it:
        await it.ask("Hi")
        assert [(m.role, m.content) for m in it.engine.asked[0]] == [("system", "Be brief."), ("user", "Hi")]


async def test_a_blank_prompt_is_not_sent() -> None:
    async with chat() as it:
        await it.press("space", "enter")
        assert it.happened(messages.ReplyBegan) == []


async def test_escape_stops_and_keeps_the_partial_reply() -> None:
    hold = asyncio.Event()
    async with chat(ScriptedEngine([held("One, two", hold), reply("Three.")])) as it:
        await it.ask("Count", wait=False)
        await wait_until(lambda: it.screen.activity.state == "replying")
        await it.press("escape")
        await wait_until(it.ended)
        turn = it.screen.conversation.path()[-1]
        assert (turn.text, turn.finish_reason) == ("One, two", "cancelled")
        assert it.screen.activity.state == "idle"
        await wait_until(lambda: it.engine.cancelled == 1)
        await it.ask("Go on")
        assert it.turns[-1] == ("assistant", "Three.")


async def test_a_stop_before_the_first_token() -> None:
    hold = asyncio.Event()
    async with chat(ScriptedEngine([[hold]])) as it:
        await it.ask("Hi", wait=False)
        await wait_until(lambda: it.happened(messages.ReplyBegan))
        await it.press("escape")
        await wait_until(it.ended)
        assert it.screen.conversation.path()[-1].finish_reason == "cancelled"


async def test_a_failure_keeps_the_partial_reply_and_the_next_prompt_works() -> None:
    broken = [*reply("Half of", pieces=1)[:-1], failure("The model ended", "Killed.", "Send again.")]
    async with chat(ScriptedEngine([broken, reply("Whole.")])) as it:
        await it.ask("One")
        turn = it.screen.conversation.path()[-1]
        assert (turn.text, turn.finish_reason) == ("Half of", "failed")
        assert turn.error == "The model ended\nKilled.\nSend again."
        notes = it.screen.query(".note.-failed")
        assert [str(note.render()) for note in notes] == [turn.error]
        await it.ask("Two")
        assert it.turns[-1] == ("assistant", "Whole.")


async def test_an_engine_that_ends_without_an_end() -> None:
    async with chat(ScriptedEngine([reply("Half")[:-1]])) as it:
        await it.ask("One")
        assert it.screen.conversation.path()[-1].finish_reason == "failed"


async def test_regenerate_takes_the_same_path_and_keeps_the_old_reply() -> None:
    async with chat(ScriptedEngine([reply("First."), reply("Second.")])) as it:
        await it.ask("Say something")
        await it.press("ctrl+r")
        await wait_until(lambda: it.ended() == 2)
        assert it.happened(*SENT)[2:] == ["ReplyEnded", "ReplyBegan", "ReplyEnded"]
        assert it.turns == [("user", "Say something"), ("assistant", "Second.")]
        assert it.engine.asked[0] == it.engine.asked[1]
        last = it.screen.conversation.path()[-1]
        assert [turn.text for turn in it.screen.conversation.siblings(last.id)] == ["First.", "Second."]
        assert len(it.screen.query(Reply)) == 1


async def test_a_prompt_sent_during_a_reply_waits_for_its_end() -> None:
    hold = asyncio.Event()
    async with chat(ScriptedEngine([held("One", hold), reply("Two")])) as it:
        await it.ask("First", wait=False)
        await wait_until(lambda: it.screen.activity.state == "replying")
        await it.ask("Second", wait=False)
        await wait_until(lambda: it.screen.query(".queued"))
        assert it.prompt.text == ""
        assert len(it.engine.asked) == 1
        hold.set()
        await wait_until(lambda: it.ended() == 2)
        assert [text for _, text in it.turns] == ["First", "One", "Second", "Two"]
        assert not it.screen.query(".queued")


async def test_prompts_that_were_typed_ahead_are_answered_one_after_the_other() -> None:
    hold = asyncio.Event()
    async with chat(ScriptedEngine([held("One", hold), reply("Two"), reply("Three")])) as it:
        typed_ahead(it, "first", "second")
        await wait_until(lambda: it.screen.activity.state == "replying" and it.screen.query(".queued"))
        await it.pilot.pause()
        assert len(it.engine.asked) == 1
        hold.set()
        await wait_until(lambda: it.ended() == 2)
        assert [text for _, text in it.turns] == ["first", "One", "second", "Two"]
        assert [message.content for message in it.engine.asked[1]] == ["first", "One", "second"]
        assert not it.screen.query(".queued")


@pytest.mark.parametrize("how", ["ctrl+r", "/retry", "/continue"])
async def test_a_prompt_that_was_typed_ahead_waits_for_a_reply_that_is_made_again(how: str) -> None:
    first, last = asyncio.Event(), asyncio.Event()
    async with chat(ScriptedEngine([held("One", first), held("Two", last), reply("Three")])) as it:
        await it.ask("First", wait=False)
        await wait_until(lambda: it.screen.activity.state == "replying")
        await it.press("escape")
        await wait_until(lambda: it.ended() == 1 and it.engine.cancelled == 1)
        if how == "ctrl+r":
            it.app.simulate_key("ctrl+r")
        else:
            typed_ahead(it, how)
        typed_ahead(it, "second")
        await wait_until(lambda: it.screen.activity.state == "replying" and it.screen.query(".queued"))
        await it.pilot.pause()
        assert len(it.engine.asked) == 2
        last.set()
        await wait_until(lambda: it.ended() == 3)
        reply_before = "OneTwo" if how == "/continue" else "Two"
        assert [text for _, text in it.turns] == ["First", reply_before, "second", "Three"]


@pytest.mark.parametrize("how", ["stopped", "failed"])
async def test_a_queued_prompt_comes_back_when_the_reply_does_not_end_well(how: str) -> None:
    hold = asyncio.Event()
    script = [*held("One", hold)[:-1], failure("Broken")]
    async with chat(ScriptedEngine([script])) as it:
        await it.ask("First", wait=False)
        await wait_until(lambda: it.screen.activity.state == "replying")
        await it.ask("Second", wait=False)
        await wait_until(lambda: it.screen.query(".queued"))
        it.prompt.insert("third")
        if how == "stopped":
            await it.press("escape")
        else:
            hold.set()
        await wait_until(lambda: it.prompt.text == "Second\n\nthird")
        assert len(it.engine.asked) == 1


async def test_keys_are_answered_during_a_load_and_a_prompt_waits_for_it() -> None:
    hold = asyncio.Event()
    engine = ScriptedEngine()
    engine.load_script = [engine.load_script[0], hold, engine.load_script[1]]
    engine.scripts = [[engine.load_script[0], hold, *reply("Ready.")]]
    async with chat(engine) as it:
        await wait_until(lambda: it.screen.activity.state == "loading")
        assert it.screen.activity.stage == "reading"
        await it.press(*"hello", "ctrl+j", *"there")
        assert it.prompt.text == "hello\nthere"
        await it.press("enter", *"next")
        assert it.prompt.text == "next"
        await wait_until(lambda: it.screen.activity.state == "loading" and it.happened(messages.ReplyBegan))
        hold.set()
        await wait_until(it.ended)
        assert it.turns == [("user", "hello\nthere"), ("assistant", "Ready.")]
        await wait_until(lambda: it.screen.activity.context_length == 8192)


async def test_keys_are_answered_during_a_long_reply() -> None:
    text = (
        "".join(f"{n}. **item** number {n}\n" for n in range(1, 400))
        + "\n```python\n"
        + "x = 1\n" * 200
        + "```\n"
    )
    hold = asyncio.Event()
    script = reply(text, pieces=500)
    slowly = [step for event in script[:-1] for step in (event, 0.002)]
    async with chat(ScriptedEngine([[*slowly, hold, script[-1]]])) as it:
        await it.ask("Long", wait=False)
        for typed, letter in enumerate("abcdefghij", 1):
            # Not pilot.press, which would wait until the interface has nothing to do.
            it.app.simulate_key(letter)
            await wait_until(lambda typed=typed: it.prompt.text == "abcdefghij"[:typed])
        assert not it.ended()
        hold.set()
        await wait_until(it.ended, 60)
        assert it.turns[-1] == ("assistant", text)


async def test_the_end_is_followed_unless_the_user_scrolls_up() -> None:
    first, second = asyncio.Event(), asyncio.Event()
    para = "word " * 40 + "\n\n"
    chunks = reply(para * 40, pieces=4)
    script = [*chunks[:3], first, chunks[3], second, *chunks[4:]]
    async with chat(ScriptedEngine([script])) as it:
        await it.ask("Go", wait=False)
        transcript = it.transcript
        await wait_until(
            lambda: transcript.max_scroll_y > 30 and transcript.scroll_y == transcript.max_scroll_y
        )
        await it.press("pageup")
        place = transcript.scroll_y
        assert place < transcript.max_scroll_y
        height = transcript.max_scroll_y
        first.set()
        await wait_until(lambda: transcript.max_scroll_y > height)
        assert transcript.scroll_y == place
        await it.press("end")
        await wait_until(lambda: transcript.scroll_y == transcript.max_scroll_y)
        second.set()
        await wait_until(it.ended)
        await wait_until(lambda: transcript.scroll_y == transcript.max_scroll_y)
        assert it.app.focused is it.prompt


async def test_thinking_is_apart_and_folds_when_the_answer_begins() -> None:
    hold = asyncio.Event()
    script = reply("Because.", reasoning="The user asks why.")
    async with chat(ScriptedEngine([[*script[:2], hold, *script[2:]]])) as it:
        await it.ask("Why?", wait=False)
        await wait_until(lambda: it.screen.query(Thinking))
        thinking = it.screen.query_one(Thinking)
        assert not thinking.folded
        hold.set()
        await wait_until(it.ended)
        assert thinking.folded
        turn = it.screen.conversation.path()[-1]
        assert (turn.text, turn.reasoning) == ("Because.", "The user asks why.")
        await it.press("ctrl+t")
        assert not thinking.folded


async def test_copying_the_reply_and_one_of_its_code_blocks() -> None:
    text = "Look:\n\n```python\nx = 1\n```\n\nand\n\n```sh\nls\n```\n"
    async with chat(ScriptedEngine([reply(text)])) as it:
        await it.ask("Show")
        await it.press("ctrl+y")
        assert it.app.clipboard == text
        await it.press("ctrl+b")
        await wait_until(lambda: isinstance(it.app.screen, CodePicker))
        await it.press("up", "enter")
        await wait_until(lambda: it.app.clipboard == "x = 1")
        assert it.app.focused is it.prompt


async def test_control_characters_of_a_model_never_reach_the_terminal() -> None:
    async with chat(ScriptedEngine([reply("a\x1b]52;c;eA==\x07b \x9b31m [bold]c[/]")])) as it:
        await it.ask("Hi")
        (prose,) = it.screen.query("Reply Prose")
        assert str(prose.render()).strip() == "a]52;c;eA==b 31m [bold]c[/]"


async def test_a_reply_goes_on_beside_a_new_conversation() -> None:
    hold = asyncio.Event()
    async with chat(ScriptedEngine([held("One", hold), reply("Fresh.")])) as it:
        await it.ask("First", wait=False)
        await wait_until(lambda: it.screen.activity.state == "replying")
        old = it.screen.conversation
        await it.press("ctrl+n")
        await wait_until(lambda: it.screen.conversation is not old)
        assert it.screen.activity.state == "idle"
        await it.ask("Second")
        assert it.turns == [("user", "Second"), ("assistant", "Fresh.")]
        assert len(it.engine.asked[1]) == 1
        hold.set()
        await wait_until(lambda: it.ended() == 2)
        assert old.path()[-1].finish_reason == "stop"
        assert it.turns == [("user", "Second"), ("assistant", "Fresh.")]
        assert "A reply is complete" in [toast.title for toast in it.app._notifications]


@pytest.mark.parametrize("width", [56, 80, 120])
async def test_help_shows_the_names_by_which_keys_are_changed_at_every_width(width: int) -> None:
    async with chat(size=(width, 24)) as it:
        await it.press("f1")
        await wait_until(lambda: isinstance(it.app.screen, HelpScreen) and it.app.screen.query(".hint"))
        await it.pilot.pause()
        ids = list(it.app.screen.query(".id").results(Static))
        assert [str(id.render()) for id in ids] == [command.id for command in COMMANDS]
        assert all(id.region.width >= len(str(id.render())) for id in ids)


async def test_help_shows_the_keys_as_the_user_has_set_them() -> None:
    async with chat(settings=Settings(keys={"chat.new": "f5", "chat.send": "ctrl+s"})) as it:
        await it.ask("x", wait=False)
        assert it.prompt.text != ""  # Enter does not send any more
        it.prompt.text = "hello"
        await it.press("ctrl+s")
        await wait_until(it.ended)
        await it.press("f1")
        assert isinstance(it.app.screen, HelpScreen)
        keys = [str(row.render()) for row in it.app.screen.query(".keys")]
        assert "f5" in keys
        await it.press("escape", "f5")
        await wait_until(lambda: it.turns == [])


async def test_the_palette_offers_the_commands_that_apply() -> None:
    async with chat() as it:
        titles = [command.title for command in it.app.get_system_commands(it.screen)]
        assert "Theme" in titles
        assert "Copy" not in titles
        await it.ask("Hi")
        titles = [command.title for command in it.app.get_system_commands(it.screen)]
        assert {"Copy", "New", "Again"} <= set(titles)


# ── the prompt ───────────────────────────────────────────────────────────────────────────────────


async def test_history_walks_back_and_forth_and_keeps_the_draft() -> None:
    async with chat() as it:
        await it.ask("one")
        await it.ask("two")
        await it.press(*"draft", "up")
        assert it.prompt.text == "two"
        await it.press("up", "up")
        assert it.prompt.text == "one"
        await it.press("down", "down")
        assert it.prompt.text == "draft"


async def test_up_moves_the_cursor_within_several_lines_first() -> None:
    async with chat() as it:
        await it.ask("old")
        await it.press("a", "ctrl+j", "b", "up")
        assert it.prompt.text == "a\nb"
        await it.press("up")
        assert it.prompt.text == "old"


async def test_the_prompt_grows_up_to_a_third_of_the_screen() -> None:
    async with chat() as it:
        assert it.prompt.size.height == 1
        await it.press("a", "ctrl+j", "b", "ctrl+j", "c")
        await it.pilot.pause()
        assert it.prompt.size.height == 3
        it.prompt.insert("\n" * 30)
        await it.pilot.pause()
        assert it.prompt.outer_size.height <= 8


async def test_a_paste_of_several_lines_is_not_sent() -> None:
    async with chat() as it:
        # As a terminal's paste comes: by way of the app, which hands it to the focused widget.
        it.app.post_message(events.Paste("one\r\ntwo\x1b[31m\n"))
        await wait_until(lambda: it.prompt.text)
        await it.pilot.pause()
        assert it.prompt.text == "one\ntwo[31m\n"
        assert it.happened(messages.PromptSubmitted) == []


# ── without a model ──────────────────────────────────────────────────────────────────────────────


async def test_first_run_offers_the_starter_and_sends_what_was_typed() -> None:
    starter = ScriptedStarter()
    async with chat(model=None, starter=starter) as it:
        await wait_until(lambda: "SmolLM2" in str(it.screen.chat.welcome.render()))
        assert it.screen.activity.state == "no model"
        await it.ask("Hello", wait=False)
        await wait_until(lambda: "41%" in str(it.screen.chat.welcome.render()))
        starter.go_on.set()
        await wait_until(it.ended)
        assert it.turns == [("user", "Hello"), ("assistant", "Yes.")]
        assert starter.asked == 1


async def test_a_prompt_that_is_sent_before_the_model_is_found_waits_for_it() -> None:
    found, starter = asyncio.Event(), ScriptedStarter()
    async with chat(found=found, starter=starter) as it:
        await it.ask("Hello", wait=False)
        await it.pilot.pause()
        assert starter.asked == 0
        found.set()
        await wait_until(it.ended)
        assert it.turns == [("user", "Hello"), ("assistant", "Yes.")]
        assert starter.asked == 0


async def test_a_prompt_that_is_sent_before_no_model_is_found_comes_back_and_fetches_nothing() -> None:
    found, starter = asyncio.Event(), ScriptedStarter()
    async with chat(found=found, model=None, starter=starter) as it:
        await it.ask("Hello", wait=False)
        found.set()
        await wait_until(lambda: it.prompt.text == "Hello")
        assert it.screen.activity.state == "no model"
        assert starter.asked == 0


async def test_enter_alone_gets_the_starter_once() -> None:
    starter = ScriptedStarter()
    async with chat(model=None, starter=starter) as it:
        await wait_until(lambda: it.screen.activity.state == "no model")
        await it.press("enter", "enter", *"typed")
        await wait_until(lambda: starter.asked)
        starter.go_on.set()
        await wait_until(lambda: it.screen.activity.state == "idle")
        assert it.prompt.text == "typed"
        assert starter.asked == 1


async def test_a_starter_that_cannot_be_had_loses_nothing() -> None:
    starter = ScriptedStarter(error=PullError("No network", "Nothing answers.", "Try again."))
    starter.go_on.set()
    async with chat(model=None, starter=starter) as it:
        await wait_until(lambda: it.screen.activity.state == "no model")
        await it.ask("Hello", wait=False)
        await wait_until(lambda: it.prompt.text == "Hello")
        shown = str(it.screen.chat.welcome.render())
        assert "No network" in shown
        assert "Press Enter" in shown


async def test_a_model_that_cannot_be_used_is_named() -> None:
    error = ModelFileError("Not a model", "x.gguf is [empty].", "Pull it again.")
    async with chat(error=error) as it:
        await wait_until(lambda: "x.gguf is [empty]." in str(it.screen.chat.welcome.render()))


async def test_a_welcome_that_is_wider_than_the_terminal_wraps() -> None:
    # Narrower than the widest that a welcome may be, which wraps anyway.
    error = ModelFileError("Not a model", f"{'x' * 50}.gguf is empty.")
    async with chat(error=error, size=(60, 20)) as it:
        await wait_until(lambda: "is empty." in str(it.screen.chat.welcome.render()))
        await it.pilot.pause()
        assert it.screen.chat.welcome.region.right < 60
        assert it.screen.chat.welcome.size.height == 4


async def test_no_other_model_answers_than_the_one_that_was_asked_for() -> None:
    found, starter = asyncio.Event(), ScriptedStarter()
    error = HubError("The model is not on this machine", "a/b has not been pulled.", "Pull it.")
    async with chat(error=error, starter=starter, found=found) as it:
        await it.ask("Early", wait=False)
        found.set()
        await wait_until(lambda: it.prompt.text == "Early")
        shown = str(it.screen.chat.welcome.render())
        assert "a/b has not been pulled.\nPull it.\nF3 shows the models" in shown
        assert "SmolLM2" not in shown
        assert "Press Enter" not in shown
        await it.press("enter")
        await wait_until(lambda: it.app._notifications)
        (toast,) = it.app._notifications
        assert (toast.title, "a/b" in toast.message) == (error.title, True)
        await wait_until(lambda: it.prompt.text == "Early")
        await it.pilot.pause()
        assert (starter.asked, it.turns) == (0, [])
        # The starter comes if it is asked for.
        starter.go_on.set()
        await it.press("ctrl+g")
        await wait_until(lambda: it.screen.activity.state == "idle")
        await it.press("enter")
        await wait_until(it.ended)
        assert it.turns == [("user", "Early"), ("assistant", "Yes.")]


async def test_problems_from_the_start_are_toasts() -> None:
    async with chat(problems=(StoreError("Locked", "By [another].", "Close it."),)) as it:
        await wait_until(lambda: list(it.app._notifications))
        (toast,) = it.app._notifications
        assert (toast.title, toast.message, toast.markup) == ("Locked", "By [another].\nClose it.", False)


async def test_an_unknown_theme_is_reported() -> None:
    from spnl_tui.settings import InterfaceSettings

    async with chat(settings=Settings(interface=InterfaceSettings(theme="spnl-drak"))) as it:
        (toast,) = it.app._notifications
        assert "spnl-dark" in toast.message


class Full(Store):
    """A store on a full disk."""

    async def save_turn(self, conversation: Conversation, turn: Turn) -> None:
        raise StoreError("The disk is full")


async def test_a_store_that_cannot_be_written_is_told_and_the_chat_goes_on(tmp_path: Path) -> None:
    store = await Full.open(tmp_path / "c.db")

    async def open_store() -> Store:
        return store

    async with chat(store=open_store) as it:
        await it.ask("First")
        await wait_until(lambda: "The disk is full" in [toast.title for toast in it.app._notifications])
        assert it.turns == [("user", "First"), ("assistant", "Yes.")]
    await store.close()


async def test_a_store_that_cannot_be_opened_is_told_and_the_chat_goes_on() -> None:
    async def open_store() -> Store:
        raise StoreError("There is no place for it")

    async with chat(store=open_store) as it:
        await it.ask("First")
        assert it.turns == [("user", "First"), ("assistant", "Yes.")]
        assert "There is no place for it" in [toast.title for toast in it.app._notifications]


async def test_quitting_in_a_reply_closes_the_engine() -> None:
    hold = asyncio.Event()
    engine = ScriptedEngine([held("One", hold)])
    async with chat(engine) as it:
        await it.ask("First", wait=False)
        await wait_until(lambda: it.screen.activity.state == "replying")
        await it.press("ctrl+q")
    assert engine.closed


async def test_ctrl_c_stops_a_reply_and_else_says_how_to_leave() -> None:
    hold = asyncio.Event()
    async with chat(ScriptedEngine([held("One", hold)])) as it:
        await it.ask("First", wait=False)
        await wait_until(lambda: it.screen.activity.state == "replying")
        await it.press("ctrl+c")
        await wait_until(it.ended)
        assert it.screen.conversation.path()[-1].finish_reason == "cancelled"
        await it.press("ctrl+c")
        await wait_until(lambda: list(it.app._notifications))
        assert it.app.is_running
