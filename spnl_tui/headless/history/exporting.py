"""`spnl-chat history export`: chosen conversations and branches, in several formats."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from spnl_tui.conversations.conversation import Conversation
from spnl_tui.conversations.exchange.export import to_json_text, to_markdown, whole_to_markdown
from spnl_tui.conversations.exchange.html_export import to_html
from spnl_tui.conversations.exchange.image_files import LinkedImages
from spnl_tui.conversations.exchange.message_export import Branch, to_openai, to_sharegpt
from spnl_tui.conversations.storage.rows import ListFilter
from spnl_tui.conversations.storage.search import SearchFilter
from spnl_tui.conversations.storage.store import Store
from spnl_tui.conversations.turn import Turn
from spnl_tui.errors import StoreError, cause_of
from spnl_tui.headless.conversations import load_conversation, open_store
from spnl_tui.headless.output import FAILED, OK, encodable_json, show_error
from spnl_tui.queries.chat import branch_to_lisp
from spnl_tui.services import Services

Format: TypeAlias = Literal["json", "markdown", "html", "openai", "sharegpt", "query"]
_HITS = 10_000
"""The most turns that a search selects conversations by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The conversations and branches to export."""

    ids: Sequence[str] = ()
    """The beginnings of their ids; empty for all."""
    tag: str | None = None
    words: str | None = None
    """Words that a turn must hold."""
    branch: str | None = None
    """ "active", "all", or the beginning of the id of the turn at which it ends; None: as the format does."""


async def export(services: Services, selection: Selection, *, format: Format, output: Path | None) -> int:
    """Export conversations: lossless as JSON, to read as Markdown or HTML, for programs as messages.

    Raises:
        StoreError: nothing matches, or the file cannot be written.
    """
    store = await open_store(services)
    conversations, failed = await _selected(store, selection)
    if not conversations:
        # An empty file would replace a good backup.
        raise StoreError("There is nothing to export", "No conversation that can be read matches.")
    linked = None
    if format == "markdown" and output is not None and output.suffix:
        linked = LinkedImages(f"{output.stem}-images")
    text = await asyncio.to_thread(_text, services, conversations, selection.branch, format, linked)
    if output is None:
        text = encodable_json(text) if format in ("json", "openai", "sharegpt") else text
        sys.stdout.write(text if text.endswith("\n") else f"{text}\n")
    else:
        try:
            await asyncio.to_thread(_write_whole, output, text)
            if linked is not None:
                await asyncio.to_thread(linked.write, output, services.media.images)
        except OSError as error:
            raise StoreError(
                "The export cannot be written", f"{output}: {cause_of(error)}.", "Check the path."
            ) from error
    if failed:
        lost = f"{failed:,} conversation{'' if failed == 1 else 's'}"
        print(f"The export lacks {lost} that cannot be read.", file=sys.stderr)
    return FAILED if failed else OK


def _text(
    services: Services,
    conversations: Sequence[Conversation],
    branch: str | None,
    format: Format,
    linked: LinkedImages | None,
) -> str:
    images = services.media.images
    if format == "json":
        if branch not in (None, "all"):
            raise StoreError("JSON has all branches", "It is the format without loss.", "Omit --branch.")
        return to_json_text(conversations, images)
    if format == "query":
        if len(conversations) != 1:
            raise StoreError(
                "Which conversation?", "A query is made of one conversation.", "Name one by its id."
            )
        return branch_to_lisp(conversations[0])
    if format == "markdown":
        link: Callable[[Turn], Turn] = linked.link if linked is not None else lambda turn: turn
        if branch in (None, "all"):
            return "\n".join(whole_to_markdown(each, link) for each in conversations)
        return "\n".join(to_markdown(each, turns, link) for each, turns in _branches(conversations, branch))
    branches = _branches(conversations, branch or "active")
    if format == "html":
        return to_html(branches, images)
    return to_openai(branches, images) if format == "openai" else to_sharegpt(branches)


def _branches(conversations: Sequence[Conversation], branch: str | None) -> list[Branch]:
    found: list[Branch] = []
    for conversation in conversations:
        if branch == "active" or branch is None:
            found.append((conversation, conversation.path()))
            continue
        ends = [
            turn
            for turn in conversation.turns()
            if (not conversation.children(turn.id) if branch == "all" else turn.id.startswith(branch))
        ]
        found += [(conversation, conversation.path_to(turn.id)) for turn in ends]
    if not found:
        raise StoreError(
            "No such branch", f"No turn's id begins with {branch!r}.", "See: spnl-chat history show ID --json"
        )
    return found


async def _selected(store: Store, selection: Selection) -> tuple[list[Conversation], int]:
    """Return the selected conversations, and how many cannot be read; their errors are shown."""
    if selection.ids:
        conversations = [await load_conversation(store, prefix) for prefix in selection.ids]
        failed = 0
    else:
        conversations, failed = await _all(store, selection.tag)
    if selection.tag is not None:
        conversations = [each for each in conversations if selection.tag in each.tags]
    if selection.words is not None:
        hits = (await store.search(selection.words, SearchFilter(), limit=_HITS)).hits
        holding = {hit.conversation for hit in hits}
        conversations = [each for each in conversations if each.id in holding]
    return conversations, failed


async def _all(store: Store, tag: str | None) -> tuple[list[Conversation], int]:
    """Return all readable conversations, or those with a tag, and the number of others."""
    conversations: list[Conversation] = []
    failed = 0
    for archived in (False, True):
        cursor = None
        while True:
            page = await store.list(ListFilter(archived=archived, tag=tag), after=cursor, limit=200)
            for item in page.items:
                try:
                    conversations.append(await store.load(item.id))
                except StoreError as error:
                    show_error(error)
                    failed += 1
            if (cursor := page.next) is None:
                break
    return conversations, failed


def _write_whole(path: Path, text: str) -> None:
    """Write the whole file or keep the existing one, because a full disk must not cost an older backup."""
    if path.exists() and not path.is_file():
        path.write_text(text, encoding="utf-8")  # a device or a pipe
        return
    target = path.resolve()
    partial = target.with_name(f".{target.name}.part")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(target)
    except OSError:
        partial.unlink(missing_ok=True)
        raise
