"""Automatic titles."""

from __future__ import annotations

import pytest

from spnl_tui.conversations.conversation import Conversation
from spnl_tui.conversations.titles import title_from_reply, title_from_text, title_of, title_request


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("why is the sky blue?", "Why is the sky blue?"),
        ("Hi, can you please explain recursion?\nThanks", "Explain recursion?"),
        ("Hello there! Can you, please: explain recursion?", "Explain recursion?"),
        ("hi please explain recursion?", "Explain recursion?"),
        ("Hello there", "Hello there"),
        ("Hello world in C", "Hello world in C"),
        ("Hi-fi on a budget", "Hi-fi on a budget"),
        ("Hi!", "Hi!"),
        ("# A heading\n\ntext", "A heading"),
        ("1. first of all", "First of all"),
        ("3 ways to cook", "3 ways to cook"),
        ("\n```\ncode\n```", "Code"),
        ("[bold]\x1b[31mred", "[bold][31mred"),
        ("  \n\t", ""),
        ("…", "…"),
        ("word " * 50, "Word " + "word " * 10 + "word…"),
    ],
)
def test_prompt_gives_a_title(text: str, title: str) -> None:
    assert title_from_text(text) == title


@pytest.mark.parametrize(
    ("reply", "title"),
    [
        ("Blue Sky", "Blue Sky"),
        ('\n**Title: "The Blue Sky."**\nMore', "The Blue Sky"),
        ("«Небо»", "Небо"),
        ('The title of this conversation is "The Capital of France."', "The Capital of France"),
        ("The title is hard to find", "The title is hard to find"),
        ("...", None),
        ("", None),
        ("Sure! " + "I would be glad to help you with that. " * 5, None),
    ],
)
def test_model_reply_gives_a_title(reply: str, title: str | None) -> None:
    assert title_from_reply(reply) == title


def test_title_is_requested_after_the_first_exchange() -> None:
    conversation = Conversation()
    assert title_of(conversation) == ""
    conversation.add_turn("user", "why?")
    assert title_of(conversation) == "Why?"
    assert title_request(conversation) is None
    reply = conversation.add_turn("assistant", "because")
    assert title_request(conversation) is None
    conversation.finish(reply.id, "stop")
    request = title_request(conversation)
    assert request is not None
    assert "why?" in request[0].text
    assert "because" in request[0].text
