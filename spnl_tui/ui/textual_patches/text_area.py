"""Draws a text area in a terminal that is too narrow for a single character.

Textual 8.2.8 wraps the placeholder at the width of the content, which raises at 0. No upstream issue was
found.
"""

from __future__ import annotations

from textual.strip import Strip
from textual.widgets import TextArea


class NarrowTextArea(TextArea):
    """A text area that may have no room at all."""

    def render_line(self, y: int) -> Strip:
        """Return one line, blank without room."""
        return super().render_line(y) if self.content_size.width else Strip.blank(self.size.width)
