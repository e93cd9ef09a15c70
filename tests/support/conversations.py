"""Conversations for tests."""

from __future__ import annotations

import dataclasses

from spnl_tui.conversations.conversation import Conversation
from spnl_tui.conversations.turn import Provenance
from spnl_tui.models.request import Grammar, Sampling


def talk(*said: str, model: str = "smollm2:135m", title: str = "") -> Conversation:
    """Return a conversation of alternating prompts and replies."""
    conversation = Conversation(model=model, title=title)
    for index, text in enumerate(said):
        turn = conversation.add_turn("assistant" if index % 2 else "user", text)
        if turn.role == "assistant":
            conversation.finish(turn.id, "stop", provenance=Provenance(model=model))
    return conversation


def full() -> Conversation:
    """Return a conversation that uses every field."""
    conversation = talk("q1 \x00 \x1b[31m [bold]", "a1", "q2", "a2")
    conversation.title, conversation.title_is_automatic = "Über Zebras", False
    conversation.system_prompt = "Be brief."
    conversation.sampling = Sampling(temperature=0, top_k=3, stop=("\n", "x"), seed=7)
    conversation.tags, conversation.pinned, conversation.archived = ("b", "a"), True, True
    reply = conversation.path()[1]
    conversation.update_turn(
        dataclasses.replace(
            reply,
            reasoning="hm",
            pinned=True,
            error="e",
            provenance=Provenance(
                model="m",
                revision="r",
                file_sha256="f",
                engine_version="0.9.5",
                load_plan='{"device": "cpu"}',
                sampling=Sampling(temperature=0.5),
                thinking=False,
                grammar=Grammar("regex", "a+"),
                system_prompt="s",
                left_out=(conversation.path()[0].id,),
                summary="u",
                prompt_sha256="p",
                prompt_tokens=1,
                completion_tokens=2,
                ttft_s=0.1,
                itl_s=0.2,
                decode_tokens_per_s=3.0,
                started_at=4.0,
            ),
        )
    )
    again = conversation.regenerate(reply.id)
    conversation.finish(again.id, "failed", error="no memory")
    conversation.branch_from(conversation.path()[0].id, "other root")
    conversation.select(reply.id)
    return conversation


def conversation(name: str, turns: int = 2) -> Conversation:
    """Return `count` turns about a topic, with its title."""
    it = Conversation(title=name)
    for number in range(turns):
        if number % 2:
            it.finish(it.add_turn("assistant", f"A reply about {name.lower()}.").id, "stop")
        else:
            it.add_turn("user", f"Question {number // 2} about {name.lower()}?")
    return it
