"""What is sent when not all fits, what it costs, and where the model's memory begins."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spnl_tui.conversations.context import (
    Budget,
    TemplateOverhead,
    messages_sent,
    plan_context,
    prompt_sha256,
    request_messages,
    summary_messages,
)
from spnl_tui.conversations.conversation import Conversation
from spnl_tui.conversations.meter import TokenMeter, learn_overhead
from spnl_tui.conversations.turn import Provenance, Turn
from spnl_tui.models.parts import as_content
from spnl_tui.models.request import Message

NONE = TemplateOverhead(0, 0, 0)


def branch(*sizes: int, pinned: Sequence[int] = ()) -> tuple[list[Turn], dict[str, int]]:
    """Turns of these many tokens, prompts and replies by turns, and the count of each."""
    turns = [
        Turn(
            id=str(number),
            parent=str(number - 1) if number else None,
            role="assistant" if number % 2 else "user",
            content=as_content("text"),
            finish_reason="stop" if number % 2 else None,
            pinned=number in pinned,
        )
        for number in range(len(sizes))
    ]
    return turns, {str(number): size for number, size in enumerate(sizes)}


def ids(turns: Sequence[Turn]) -> list[str]:
    return [turn.id for turn in turns]


def test_all_turns_are_sent_while_they_fit() -> None:
    turns, tokens = branch(10, 10, 10)
    plan = plan_context(turns, tokens, Budget(100, 20), system_tokens=5, overhead=TemplateOverhead(1, 2, 3))
    assert (plan.action, plan.left_out, plan.marker) == ("send", (), None)
    assert (plan.prompt_tokens, plan.limit, plan.max_tokens) == (5 + 30 + 2 + 3, 80, 20)


def test_the_oldest_turns_go_first_and_leave_room() -> None:
    turns, tokens = branch(20, 20, 20, 20, 20)
    plan = plan_context(turns, tokens, Budget(100, 10), overhead=NONE)
    # The limit is 90; it is brought to 67, by whole pairs.
    assert ids(plan.sent) == ["2", "3", "4"]
    assert (ids(plan.left_out), plan.marker, plan.prompt_tokens) == (["0", "1"], "2", 60)


def test_omitted_turns_stay_omitted_until_all_fits() -> None:
    turns, tokens = branch(20, 20, 20, 20, 20, 5, 5)
    again = plan_context(turns, tokens, Budget(100, 10), overhead=NONE, left_out_before=["0", "1"])
    assert ids(again.sent) == ["2", "3", "4", "5", "6"]
    larger = plan_context(turns, tokens, Budget(1000, 10), overhead=NONE, left_out_before=["0", "1"])
    assert ids(larger.sent) == ids(turns)


def test_omitting_a_prompt_omits_its_reply() -> None:
    turns, tokens = branch(60, 5, 20, 20, 20)
    plan = plan_context(turns, tokens, Budget(100, 10), overhead=NONE)
    assert ids(plan.sent) == ["2", "3", "4"]


def test_pinned_turns_are_sent_and_a_marker_follows_the_omission() -> None:
    turns, tokens = branch(20, 20, 20, 20, 20, 20, 20, pinned=[1])
    plan = plan_context(turns, tokens, Budget(120, 10), overhead=NONE)
    assert ids(plan.sent) == ["1", "4", "5", "6"]
    assert plan.marker == "4"


def test_prompt_that_cannot_fit_is_reported() -> None:
    turns, tokens = branch(10, 10, 200)
    plan = plan_context(turns, tokens, Budget(100, 10), overhead=NONE)
    assert (plan.action, ids(plan.sent), plan.prompt_tokens, plan.max_tokens) == ("too_long", ["2"], 200, 0)


def test_the_user_is_asked_once() -> None:
    turns, tokens = branch(20, 20, 20, 20, 20)
    plan = plan_context(turns, tokens, Budget(100, 10), overhead=NONE, policy="ask")
    assert plan.action == "ask"
    accepted = plan_context(
        turns, tokens, Budget(100, 10), overhead=NONE, policy="ask", left_out_before=ids(plan.left_out)
    )
    assert (accepted.action, accepted.left_out) == ("send", plan.left_out)


def test_turns_are_summarized_before_they_are_left_out() -> None:
    turns, tokens = branch(20, 20, 20, 20, 20)
    plan = plan_context(turns, tokens, Budget(100, 10), overhead=NONE, policy="summarize")
    assert plan.action == "summarize"
    done = plan_context(
        turns,
        tokens,
        Budget(100, 10),
        overhead=NONE,
        policy="summarize",
        system_tokens=8,
        left_out_before=ids(plan.left_out),
        summarized=ids(plan.left_out),
    )
    assert done.action == "send"


def test_summary_reads_only_new_turns_that_fit() -> None:
    turns, tokens = branch(20, 20, 20, 20)
    turns = [turn.with_text(f"said {turn.id}") for turn in turns]
    (whole,) = summary_messages(turns, tokens, 1000)
    assert whole.text.endswith("User: said 0\n\nAssistant: said 1\n\nUser: said 2\n\nAssistant: said 3")
    (more,) = summary_messages(turns, tokens, 1000, summary="before", summarized=["0", "1"])
    assert more.text.endswith("(Earlier, in short: before)\n\nUser: said 2\n\nAssistant: said 3")
    (tight,) = summary_messages(turns, tokens, 60)
    assert "said 1" not in tight.text
    assert tight.text.endswith("User: said 2\n\nAssistant: said 3")


@pytest.mark.slow
@given(
    st.lists(st.tuples(st.integers(1, 50), st.booleans()), min_size=1, max_size=20),
    st.integers(40, 400),
    st.integers(1, 400),
    st.sampled_from(["drop_oldest", "summarize", "ask"]),
)
def test_plans_keep_their_invariants(
    said: list[tuple[int, bool]], context_length: int, max_tokens: int, policy: str
) -> None:
    turns, tokens = branch(
        *(size for size, _ in said), pinned=[n for n, (_, pinned) in enumerate(said) if pinned]
    )
    budget = Budget(context_length, max_tokens)
    plan = plan_context(turns, tokens, budget, system_tokens=5, policy=policy)  # type: ignore[arg-type]
    assert plan.sent[-1] == turns[-1]
    assert [turn for turn in turns if turn in plan.sent] == list(plan.sent)
    assert set(turns) == set(plan.sent) | set(plan.left_out)
    assert not any(turn.pinned for turn in plan.left_out)
    assert (plan.action == "too_long") == (plan.prompt_tokens > budget.limit)
    assert plan.prompt_tokens + plan.max_tokens <= max(context_length, plan.prompt_tokens)
    if plan.left_out and plan.marker is not None:
        assert turns.index(plan.left_out[-1]) + 1 == ids(turns).index(plan.marker)
    again = plan_context(
        turns, tokens, budget, system_tokens=5, left_out_before=ids(plan.left_out), policy="drop_oldest"
    )
    assert again.sent == plan.sent


def test_a_long_conversation_keeps_its_beginning_for_many_turns() -> None:
    sizes = [60] * 401
    turns, tokens = branch(*sizes)
    left_out: list[str] = []
    beginnings = []
    for end in range(1, len(turns) + 1, 2):
        plan = plan_context(turns[:end], tokens, Budget(2000, 200), left_out_before=left_out)
        assert plan.action == "send"
        left_out = ids(plan.left_out)
        beginnings.append(plan.sent[0].id)
    changes = sum(a != b for a, b in itertools.pairwise(beginnings))
    assert changes < len(beginnings) / 3


# ── requests made again ──────────────────────────────────────────────────────────────────────────


def test_messages_of_a_reply_are_rebuilt_from_its_provenance() -> None:
    conversation = Conversation(system_prompt="now")
    first = conversation.add_turn("user", "q1")
    conversation.finish(conversation.add_turn("assistant", "a1").id, "stop")
    prompt = conversation.add_turn("user", "q2")
    sent = request_messages("then", [prompt], "a summary")
    reply = conversation.add_turn("assistant", "a2")
    provenance = Provenance(
        system_prompt="then",
        summary="a summary",
        left_out=(first.id, conversation.path()[1].id),
        prompt_sha256=prompt_sha256(sent),
    )
    reply = conversation.finish(reply.id, "stop", provenance=provenance)
    assert messages_sent(conversation, reply) == sent
    assert sent[0].text.startswith("then\n\n")
    assert sent[0].text.endswith("a summary")
    conversation.update_turn(prompt.with_text("changed"))
    assert prompt_sha256(messages_sent(conversation, reply)) != provenance.prompt_sha256


# ── the meter ────────────────────────────────────────────────────────────────────────────────────


class Tokenizer:
    """A word is a token. The template is like ChatML, with a system prompt of its own if none is given."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.loaded = True

    async def count(self, texts: Sequence[str]) -> tuple[int, ...] | None:
        self.calls.append(list(texts))
        return tuple(len(text.split()) for text in texts) if self.loaded else None

    async def prompt_tokens(self, messages: tuple[Message, ...]) -> int | None:
        own = () if messages[0].role == "system" else (Message("system", "You are helpful and so on"),)
        return sum(len(m.text.split()) + 5 for m in (*own, *messages)) + 3


def talk(exchanges: int, system: str = "") -> tuple[Message, ...]:
    said = [Message("system", system)] if system else []
    for number in range(exchanges):
        said += [Message("user", f"question number {number}"), Message("assistant", "an answer")]
    return tuple(said[:-1])


async def test_the_meter_is_exact_after_three_requests_for_one_token() -> None:
    tokenizer = Tokenizer()
    overhead = await learn_overhead(tokenizer.prompt_tokens, tokenizer.count)
    meter = TokenMeter(tokenizer.count, overhead)
    for messages in (talk(1), talk(7), talk(1, "Be brief."), talk(4, "Be brief.")):
        assert await meter.count_messages(messages) == await tokenizer.prompt_tokens(messages)


async def test_the_meter_learns_from_replies() -> None:
    tokenizer = Tokenizer()
    meter = TokenMeter(tokenizer.count, TemplateOverhead(0, 0, 10))
    for messages in (talk(1), talk(2, "Be brief.")):
        await meter.observe(messages, await tokenizer.prompt_tokens(messages) or 0)
    for messages in (talk(5), talk(4, "Be brief.")):
        assert await meter.count_messages(messages) == await tokenizer.prompt_tokens(messages)


async def test_two_replies_teach_the_cost_of_each_further_prompt() -> None:
    tokenizer = Tokenizer()
    meter = TokenMeter(tokenizer.count, TemplateOverhead(0, 0, 3))
    for prompts in (1, 2):
        messages = talk(prompts, "Be brief.")
        await meter.observe(messages, await tokenizer.prompt_tokens(messages) or 0)
    for prompts in (1, 3, 9):
        messages = talk(prompts, "Be brief.")
        assert await meter.count_messages(messages) == await tokenizer.prompt_tokens(messages)


async def test_learned_overhead_replaces_the_initial_one() -> None:
    tokenizer = Tokenizer()
    meter = TokenMeter(tokenizer.count)
    meter.begin_with(None)
    assert meter.overhead == TemplateOverhead()
    meter.begin_with(19)
    assert await meter.count_messages(talk(1)) == await tokenizer.prompt_tokens(talk(1))
    await meter.observe(talk(1), 30)
    meter.begin_with(19)
    assert await meter.count_messages(talk(1)) == 30


async def test_every_text_is_counted_once() -> None:
    tokenizer = Tokenizer()
    meter = TokenMeter(tokenizer.count)
    assert await meter.count_texts(["a b", "c", "a b", ""]) == (2, 1, 2, 0)
    assert await meter.count_texts(["c", "d e f", "a b"]) == (1, 3, 2)
    assert tokenizer.calls == [["a b", "c"], ["d e f"]]


async def test_without_a_loaded_model_there_is_no_count() -> None:
    tokenizer = Tokenizer()
    tokenizer.loaded = False
    meter = TokenMeter(tokenizer.count)
    assert await meter.count_texts(["a"]) is None
    assert await meter.count_unsent("a") is None
    assert await meter.count_messages(talk(1)) is None
    assert await meter.plan(branch(1)[0], Budget(100, 10)) is None
    await meter.observe(talk(1), 10)


async def test_plan_continues_from_the_last_reply() -> None:
    tokenizer = Tokenizer()
    meter = TokenMeter(tokenizer.count, NONE)
    turns, _ = branch(1, 1, 1, 1, 1)
    turns = [turn.with_text("word " * 20) for turn in turns]
    plan = await meter.plan(turns, Budget(100, 10), policy="summarize")
    assert plan is not None
    assert plan.action == "summarize"
    plan = await meter.plan(
        turns, Budget(100, 10), policy="summarize", left_out=ids(plan.left_out), summary="in short"
    )
    assert plan is not None
    assert (plan.action, ids(plan.left_out)) == ("send", ["0", "1"])
    turns[3] = dataclasses.replace(turns[3], provenance=Provenance(left_out=("0", "1"), summary="in short"))
    plan = await meter.plan(turns, Budget(100, 10), policy="summarize")
    assert plan is not None
    assert (plan.action, ids(plan.left_out)) == ("send", ["0", "1"])
