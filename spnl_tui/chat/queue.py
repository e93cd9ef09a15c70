"""Prompts and commands typed while the conversation cannot answer them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(eq=False, repr=False, frozen=True, slots=True)
class QueuedCommand:
    """A command that waits because it may need the model."""

    text: str
    """The command as the user typed it."""
    run: Callable[[], Awaitable[None]]
    refuse: Callable[[], None]
    """Reports why the command cannot run."""


Queued: TypeAlias = str | QueuedCommand
"""A prompt as it is sent, or a command."""


class PromptQueue:
    """The prompts and commands that were typed ahead, in order. Consecutive prompts are joined into one."""

    def __init__(self) -> None:
        self._items: list[Queued] = []

    def __iter__(self) -> Iterator[Queued]:
        return iter(tuple(self._items))

    def __len__(self) -> int:
        return len(self._items)

    @property
    def first(self) -> Queued | None:
        """The next item; None if the queue is empty."""
        return self._items[0] if self._items else None

    @property
    def text(self) -> str:
        """All items as one text."""
        return "\n\n".join(item if isinstance(item, str) else item.text for item in self._items)

    def add(self, item: Queued) -> None:
        """Add a prompt or a command."""
        last = self._items[-1] if self._items else None
        if isinstance(item, str) and isinstance(last, str):
            self._items[-1] = f"{last}\n\n{item}"
        else:
            self._items.append(item)

    def pop(self) -> Queued:
        """Remove and return the next item."""
        return self._items.pop(0)

    def take_all(self) -> list[Queued]:
        """Remove and return all items."""
        items, self._items = self._items, []
        return items
