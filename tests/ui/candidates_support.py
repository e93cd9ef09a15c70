"""Several candidates for one prompt, for tests: requesting them, and what the screen shows."""

from __future__ import annotations

from spnl_tui.conversations.turn import Turn
from spnl_tui.engine.backend import ModelHandle
from spnl_tui.ui.chat.candidate_list import Candidate, Candidates
from tests.support.scripted_engine import ScriptedEngine, reply
from tests.support.waiting import wait_until
from tests.ui.support import Chat

OTHER = ModelHandle(name="org/Other-GGUF:Q8_0", backend="scripted", key=("/models", "other.gguf"))


def three() -> ScriptedEngine:
    """Return an engine that replies One, Two and Three."""
    return ScriptedEngine([reply("One."), reply("Two."), reply("Three.")])


def cards(it: Chat) -> list[Candidate]:
    """Return the visible candidates."""
    return list(it.screen.chat.candidates.query(Candidate)) if it.screen.chat.candidates.display else []


def heads(it: Chat) -> list[str]:
    """Return the heading of each candidate, with * before the highlighted one."""
    texts = [" ".join(str(card._head.render()).split()) for card in cards(it)]
    return [
        ("*" if card.has_class("-chosen") else "") + text for card, text in zip(cards(it), texts, strict=True)
    ]


def replies(it: Chat) -> list[Turn]:
    """Return the replies at the place of the last one."""
    conversation = it.screen.conversation
    return list(conversation.siblings(conversation.path()[-1].id))


def foot(it: Chat) -> str:
    """Return the line below the candidates."""
    return str(it.screen.query_one(Candidates)._foot.render())


async def command(it: Chat, text: str) -> None:
    """Type the text and send it."""
    it.prompt.insert(text)
    await it.press("enter")


async def many(it: Chat, text: str = "/n 3 Write a tagline", *, ended: int = 3) -> None:
    """Send a prompt and wait until every candidate has ended."""
    await command(it, text)
    await wait_until(lambda: it.ended() == ended and not it.screen.replying)
    await it.pilot.pause()
