"""`spnl-chat history`: work with conversations without a screen."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

from spnl_tui.conversations import listing as views
from spnl_tui.conversations.conversation import Conversation
from spnl_tui.conversations.exchange.export import conversation_to_plain
from spnl_tui.conversations.replay import ReplayRequest, ReplayResult, replay
from spnl_tui.conversations.storage.rows import ListFilter
from spnl_tui.conversations.storage.search import SearchFilter
from spnl_tui.conversations.storage.store import Store
from spnl_tui.engine.backend import ChatRequest
from spnl_tui.engine.reply import collect
from spnl_tui.errors import StoreError
from spnl_tui.headless.output import FAILED, OK, colour, print_json, show_error
from spnl_tui.headless.run_query import resolve
from spnl_tui.services import Services
from spnl_tui.text import plain


async def list_conversations(
    services: Services, *, limit: int, archived: bool, tag: str | None, model: str | None, json_: bool
) -> int:
    """Print conversations, pinned ones first, then the most recently changed."""
    store = await open_store(services)
    page = await store.list(ListFilter(archived=archived, tag=tag, model=model), limit=limit)
    if json_:
        items = [views.summary_to_plain(item) for item in page.items]
        print_json({"conversations": items, "more": page.next is not None})
    else:
        _print_lines(views.list_lines(page.items))
        if page.next is not None:
            print(f"There are more: --limit {limit * 2}", file=sys.stderr)
        if not page.items:
            such = "such conversations" if archived or tag or model else "conversations yet"
            print(f"There are no {such}.", file=sys.stderr)
    return OK


async def search(services: Services, words: str, *, limit: int, model: str | None, json_: bool) -> int:
    """Print the turns that contain these words."""
    store = await open_store(services)
    result = await store.search(words, SearchFilter(model=model), limit=limit)
    if json_:
        print_json({"hits": [views.hit_to_plain(hit) for hit in result.hits], "more": result.more})
    elif not result.hits:
        print(f"No turn holds {plain(words)!r}.", file=sys.stderr)
    else:
        _print_lines(views.search_lines(result, ("\x1b[1m", "\x1b[0m") if colour(sys.stdout) else ("", "")))
    return OK if result.hits else FAILED


async def show(services: Services, prefix: str, *, json_: bool) -> int:
    """Print a conversation's active branch."""
    conversation = await load_conversation(await open_store(services), prefix)
    if json_:
        print_json(conversation_to_plain(conversation))
    else:
        _print_lines(views.show_lines(conversation))
    return OK


async def remove(services: Services, prefixes: Sequence[str], *, confirm: Callable[[str], bool]) -> int:
    """Delete conversations for good, after `confirm` has received their titles and returned True."""
    store = await services.store()
    if store.problem is not None:
        show_error(store.problem)
    conversations = [await load_conversation(store, prefix) for prefix in prefixes]
    titles = ", ".join(repr(plain(each.title) or "(no title)") for each in conversations)
    if not confirm(f"Delete {titles} for good?"):
        return FAILED
    for each in conversations:
        await store.delete_conversation(each.id)
    return OK


async def replay_replies(services: Services, prefix: str, *, json_: bool) -> int:
    """Run the replies of a conversation's active branch again, and show where they differ."""
    conversation = await load_conversation(await open_store(services), prefix)
    if not any(turn.role == "assistant" and turn.provenance for turn in conversation.path()):
        raise StoreError(
            "Nothing to replay",
            "No reply of this conversation has a record of the request that made it.",
            "Only replies that were generated on this machine can be replayed.",
        )
    replier = _Replier(services)
    same = True
    results: list[dict[str, Any]] = []
    for turn in conversation.path():
        if turn.role != "assistant" or turn.provenance is None:
            continue
        result = await replay(conversation, turn.id, replier)
        same = same and result.same
        if json_:
            results.append(
                {"turn": turn.id, "same": result.same, "text": result.text, "doubts": result.request.doubts}
            )
        else:
            _print_replay(result)
    if json_:
        print_json({"replies": results})
    return OK if same else FAILED


def _print_replay(result: ReplayResult) -> None:
    print("same" if result.same else f"differs at character {result.differs_at}")
    for doubt in result.request.doubts:
        print(f"  {plain(doubt)}")
    if not result.same:
        marks = {"same": "  ", "kept": "- ", "said": "+ "}
        for piece in result.pieces:
            print("\n".join(f"{marks[piece.kind]}{line}" for line in plain(piece.text).splitlines()))


class _Replier:
    """The engine as a replay uses it."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def reply(self, request: ReplayRequest) -> str:
        model = await resolve(self._services, request.model)
        asked = ChatRequest(
            messages=request.messages,
            sampling=request.sampling,
            thinking=request.thinking,
            grammar=request.grammar,
            continue_reply=bool(request.begun),
        )
        return (await collect(self._services.engine, model, asked)).text


async def open_store(services: Services) -> Store:
    store = await services.store_to_read()
    if store.problem is not None:
        show_error(store.problem)
    return store


async def load_conversation(store: Store, prefix: str) -> Conversation:
    found = await store.find(prefix)
    if len(found) != 1 or not prefix:
        raise StoreError(
            "No such conversation" if not found else "Which conversation?",
            f"{len(found) or 'No'} ids begin with {prefix!r}.",
            "See: spnl-chat history list",
        )
    return await store.load(found[0])


def _print_lines(lines: Any) -> None:
    for line in lines:
        print(line)
