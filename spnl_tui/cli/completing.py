"""Shell completions beyond commands and options: models on this machine, conversations, prompts.

A completion must be quick and silent: whatever goes wrong, nothing is offered.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from spnl_tui.services import Services

_MOST = 200


def complete_models(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Offer the models on this machine; for a path, the shell's own files."""
    if incomplete.startswith((".", "/", "~")):
        return [CompletionItem(incomplete, type="file")]

    async def names(services: Services) -> list[CompletionItem]:
        entries = (await services.library.listing()).entries
        return [CompletionItem(entry.name) for entry in entries]

    return _beginning(_found(names), incomplete)


def complete_conversations(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Offer the conversations, the last changed first, with their titles."""
    from spnl_tui.conversations.storage.rows import ListFilter
    from spnl_tui.text import first_line

    async def ids(services: Services) -> list[CompletionItem]:
        page = await (await services.store_to_read()).list(ListFilter(), limit=_MOST)
        return [CompletionItem(item.id, help=first_line(item.title, 60)) for item in page.items]

    return _beginning(_found(ids), incomplete)


def complete_prompts(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Offer the user's own prompts."""
    from spnl_tui.conversations.personal_prompts import PersonalPrompts
    from spnl_tui.paths import Paths

    prompts = PersonalPrompts(Paths.for_user().config / "prompts", Path("prompts")).all().values()
    return _beginning((CompletionItem(each.name, help=each.description) for each in prompts), incomplete)


def _beginning(items: Iterable[CompletionItem], incomplete: str) -> list[CompletionItem]:
    # A line break or a comma would end an item where the shell reads it.
    return [
        item
        for item in items
        if item.value.startswith(incomplete) and item.value.isprintable() and "," not in item.value
    ][:_MOST]


def _found(find: Callable[[Services], Awaitable[list[CompletionItem]]]) -> list[CompletionItem]:
    from spnl_tui.errors import SpnlError
    from spnl_tui.paths import Paths
    from spnl_tui.services import Services
    from spnl_tui.settings.load import load_settings

    async def main() -> list[CompletionItem]:
        paths = Paths.for_user()
        settings = load_settings(paths.config / "config.toml", environ=os.environ)
        async with Services(settings, paths) as services:
            return await find(services)

    try:
        return asyncio.run(main())
    except (SpnlError, OSError):
        return []
