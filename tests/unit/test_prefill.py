"""How a long prompt is cut into steps, and what the steps cost."""

from __future__ import annotations

import pytest

from spnl_tui.engine.mistralrs.cache.cache_reuse import AGAIN, ask_again
from spnl_tui.engine.mistralrs.cache.prefill import PrefixMemory, prefill_steps
from spnl_tui.models.request import Message


def talk(*lengths: int) -> tuple[tuple[Message, ...], list[int]]:
    """Messages of so many tokens, each of four characters, and their counts."""
    messages = tuple(
        Message("assistant" if number % 2 else "user", "abc " * length)
        for number, length in enumerate(lengths)
    )
    return messages, list(lengths)


def positions(*lengths: int, known: int = 0, room: int | None = None) -> list[int]:
    messages, counts = talk(*lengths)
    return [done for done, _ in prefill_steps(messages, counts, 4 * known, room=room)]


def test_short_prompt_is_read_in_one_piece() -> None:
    assert positions(512) == []
    assert positions(3000, 400, known=3000) == []


def test_long_prompt_is_read_in_even_steps_that_end_before_it() -> None:
    assert positions(3000) == [500, 1000, 1500, 2000, 2500]
    assert positions(1000, 1000, 1000, known=2000) == [2500]


@pytest.mark.parametrize("room", [0, 1000, 4000, 20_000])
@pytest.mark.parametrize("known", [0, 3000])
def test_cached_steps_stay_within_the_room(room: int, known: int) -> None:
    steps = positions(8000, known=known, room=16_000 + room)
    assert sum(steps) <= room
    # And there are as many as can be.
    assert bool(steps) == (room >= (known + 8000) / 2 + 256)


def test_each_step_is_a_prefix_of_the_prompt() -> None:
    messages, counts = talk(300, 700, 600)
    for done, prefix in prefill_steps(messages, counts, 0):
        assert sum(len(message.text) for message in prefix) == 4 * done
        assert messages[: len(prefix) - 1] == prefix[:-1]
        assert messages[len(prefix) - 1].text.startswith(prefix[-1].text)


def test_steps_of_a_prompt_do_not_displace_other_prompts() -> None:
    memory = PrefixMemory(size=2)
    other, _ = talk(100)
    memory.remember(other)
    messages, counts = talk(0, 5000)
    for _, prefix in prefill_steps(messages, counts, 0):
        memory.remember(prefix)
    assert memory.known(other) == 400
    assert memory.known(messages) > 16_000


class TestAskingAgain:
    """mistral.rs leaves a cache unused that holds all of a prompt: asked again, it must differ."""

    LONG = (Message("system", "Be brief."), Message("user", "Why? " * 100))
    REPLY, OTHER = Message("assistant", "Because."), Message("assistant", "Who knows.")

    def test_prompt_is_sent_unchanged_until_it_was_answered(self) -> None:
        memory = PrefixMemory()
        assert memory.as_sent(self.LONG) == self.LONG
        memory.remember((*self.LONG[:1], Message("user", "Why? ")))  # a step of its prefill
        assert memory.as_sent(self.LONG) == self.LONG

    def test_repeated_prompt_differs_each_time(self) -> None:
        memory = PrefixMemory()
        seen = set()
        for number in range(4):
            sent = memory.as_sent(self.LONG)
            assert sent == ask_again(self.LONG, number)
            seen.add(sent)
            memory.remember((*sent, self.REPLY), (*self.LONG, self.REPLY))
        assert len(seen) == 4

    def test_next_turn_begins_with_the_sent_messages(self) -> None:
        memory = PrefixMemory()
        memory.remember((*self.LONG, self.REPLY), (*self.LONG, self.REPLY))
        again = memory.as_sent(self.LONG)
        memory.remember((*again, self.OTHER), (*self.LONG, self.OTHER))
        after = Message("user", "And then?")
        assert memory.as_sent((*self.LONG, self.OTHER, after)) == (*again, self.OTHER, after)
        assert memory.as_sent((*self.LONG, self.REPLY, after)) == (*self.LONG, self.REPLY, after)
        # Also once the conversation has gone on, and that turn is asked once more.
        turn = (*again, self.OTHER, after, self.REPLY)
        memory.remember(turn, (*self.LONG, self.OTHER, after, self.REPLY))
        *before, last = memory.as_sent((*self.LONG, self.OTHER, after))
        assert tuple(before) == (*again, self.OTHER)
        assert last == Message("user", after.text + AGAIN)
        edited = Message("user", "And before?")
        assert memory.as_sent((*self.LONG, self.OTHER, edited)) == (*again, self.OTHER, edited)

    def test_short_repeated_prompt_is_sent_unchanged(self) -> None:
        memory = PrefixMemory()
        short = (Message("user", "Why?"),)
        memory.remember((*short, self.REPLY), (*short, self.REPLY))
        assert memory.as_sent(short) == short
