"""Formats the output of `spnl-chat history`: plain lines, and JSON values for `--json`.

Control characters are removed from texts. `mark` is the text before and after the words of a search: empty by
default, escape sequences for a terminal.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from spnl_tui.conversations.conversation import Conversation
from spnl_tui.conversations.storage.rows import ConversationSummary
from spnl_tui.conversations.storage.search import SearchHit, SearchResult
from spnl_tui.conversations.turn import Turn
from spnl_tui.text import first_line, plain

SHORT_ID = 12
"""The number of digits of an id to show. They differ for conversations that begin 0.1 ms apart."""
_TITLE = 60


def list_lines(summaries: Iterable[ConversationSummary]) -> Iterator[str]:
    """Yield one line for each conversation, with id, time, turns, title, model and marks."""
    for item in summaries:
        more = [first_line(item.model, _TITLE)] * bool(item.model)
        more += ["pinned"] * item.pinned + ["archived"] * item.archived
        more += [f"#{first_line(tag, _TITLE)}" for tag in item.tags]
        line = f"{plain(item.id[:SHORT_ID])}  {_when(item.updated_at)}  {item.turns:>5}  {_title(item.title)}"
        yield f"{line}  ({', '.join(more)})" if more else line


def summary_to_plain(summary: ConversationSummary) -> dict[str, Any]:
    """Return a conversation of the list as JSON values."""
    return dataclasses.asdict(summary) | {"tags": list(summary.tags)}


def search_lines(result: SearchResult, mark: tuple[str, str] = ("", "")) -> Iterator[str]:
    """Yield two lines for each hit: where it is, and the matched words in context."""
    for hit in result.hits:
        where = {"user": "You", "assistant": plain(hit.model) or "Assistant", "system": "System"}
        who = where[hit.role] if hit.role else "Title"
        yield f"{plain(hit.conversation[:SHORT_ID])}  {_when(hit.created_at)}  {_title(hit.title)}"
        words = (f"{mark[0]}{plain(s.text)}{mark[1]}" if s.hit else plain(s.text) for s in hit.snippet)
        yield f"    {who}: {''.join(words)}"
    if result.more:
        yield "There are more hits. Add a word or a filter."


def hit_to_plain(hit: SearchHit) -> dict[str, Any]:
    """Return a hit as JSON values."""
    return dataclasses.asdict(hit) | {"snippet": [dataclasses.asdict(span) for span in hit.snippet]}


def show_lines(conversation: Conversation, turns: Iterable[Turn] | None = None) -> Iterator[str]:
    """Yield the active branch, or these turns, as readable lines."""
    yield _title(conversation.title)
    yield f"{plain(conversation.id)}  {_when(conversation.created_at)}  {plain(conversation.model)}".rstrip()
    for turn in conversation.path() if turns is None else turns:
        model = plain(turn.provenance.model) if turn.provenance else ""
        who = {"user": "You", "assistant": model or "Assistant", "system": "System"}[turn.role]
        siblings = conversation.siblings(turn.id)
        place = f" ({siblings.index(turn) + 1} of {len(siblings)})" if len(siblings) > 1 else ""
        yield ""
        yield f"{who}{place}:"
        yield from plain(turn.model_text).splitlines()
        if turn.finish_reason in ("cancelled", "failed"):
            # the same words as on the screen
            end = "stopped" if turn.finish_reason == "cancelled" else "failed"
            yield f"[{end}{f': {first_line(turn.error, 500)}' if turn.error else ''}]"


def _when(time: float) -> str:
    """Return the local time, to the minute."""
    return datetime.fromtimestamp(time).astimezone().strftime("%Y-%m-%d %H:%M")


def _title(title: str) -> str:
    return first_line(title, _TITLE) or "Untitled"
