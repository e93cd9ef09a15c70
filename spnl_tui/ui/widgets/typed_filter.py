"""Filtering a list by what is typed while it has the focus."""

from __future__ import annotations

from textual import events
from textual.widget import Widget


def filter_after_key(filter: str, event: events.Key, widget: Widget) -> str | None:
    """Return the filter after this key, which is then used up; None if the key is not for the filter.

    Letters belong to the filter, so no command of a list has one. A key that the user has given to a command
    of this list nevertheless is the command's; a "?" at the beginning is the help's.
    """
    active = widget.screen.active_bindings.get(event.key)
    if active is not None and (active.node is widget or (event.key == "question_mark" and not filter)):
        return None
    if event.is_printable and event.character is not None:
        after = filter + event.character
    elif event.key == "backspace" and filter:
        after = filter[:-1]
    elif event.key == "ctrl+u" and filter:
        after = ""
    else:
        return None
    event.stop()
    event.prevent_default()
    return after


def matches(filter: str, *texts: str) -> bool:
    """Return True if each word of the filter is in one of the texts, in capitals or not."""
    folded = [text.casefold() for text in texts]
    return all(any(word in text for text in folded) for word in filter.casefold().split())
