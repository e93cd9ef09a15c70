"""Mounting, where the widget in which it is done may be gone by then."""

from __future__ import annotations

from textual.widget import Widget


async def mount(parent: Widget, *widgets: Widget, before: int | Widget | None = None) -> None:
    """Mount these in the parent, unless that was taken off the screen, or the program ends.

    Textual ends the program at an attempt to mount something in a widget that was removed meanwhile.
    """
    if parent.is_attached:
        await parent.mount(*widgets, before=before)
