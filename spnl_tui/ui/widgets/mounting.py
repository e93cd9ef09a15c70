"""Mount widgets in a parent that may have been removed meanwhile."""

from __future__ import annotations

from textual.widget import Widget


async def mount(parent: Widget, *widgets: Widget, before: int | Widget | None = None) -> None:
    """Mount these in the parent, unless it was removed from the screen or the program ends.

    Textual ends the program if a widget is mounted in a removed one.
    """
    if parent.is_attached:
        await parent.mount(*widgets, before=before)
