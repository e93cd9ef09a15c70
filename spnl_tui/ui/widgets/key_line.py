"""The footer: the keys that are available now."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from textual import events
from textual.content import Content
from textual.reactive import reactive
from textual.screen import Screen
from textual.style import Style
from textual.widget import Widget

_STEP = 4
"""The cells by which the mouse wheel scrolls a line that is too long for the terminal."""


class KeyLine(Widget):
    """Shows keys and their commands; a click presses the key.

    Textual's footer creates a widget for every key, and recreates all of them whenever one changes. At each
    change of focus that took as long as drawing the whole screen.
    """

    ALLOW_SELECT = False

    keys: reactive[tuple[tuple[str, str, str, str], ...]] = reactive(())
    """For each key: the key, its displayed name, its label and its help sentence."""
    hovered: reactive[str] = reactive("")
    """The key under the mouse."""
    left_out: reactive[int] = reactive(0)
    """The characters scrolled out of sight at the left."""

    def __init__(
        self, first: Callable[[], Sequence[str]] = tuple, last: Sequence[str] = (), *, most: int = 6
    ) -> None:
        """`first` returns the ids of the keys to show, in this order, whether their bindings say so or not;
        none: those whose bindings do. `last` are shown at the end in any case. `most`: how many there may be.
        """
        super().__init__()
        self._first = first
        self._last = last
        self._most = most

    def on_mount(self) -> None:
        """Follow the available bindings of the screen."""
        self.screen.bindings_updated_signal.subscribe(self, self._bindings_changed)

    def _bindings_changed(self, screen: Screen[object]) -> None:
        if screen is not self.screen or not self.app.app_focus:
            return
        known: dict[str, tuple[str, str, str, str]] = {}
        shown: list[str] = []
        for _, binding, _, tooltip in screen.active_bindings.values():
            if binding.id is not None and binding.id not in known:
                key = (binding.key, self.app.get_key_display(binding), binding.description, tooltip)
                known[binding.id] = key
                if binding.show:
                    shown.append(binding.id)
        last = [id for id in self._last if id in known]
        wanted = self._first() or shown
        first = [id for id in wanted if id in known and id not in last][: self._most - len(last)]
        self.keys = tuple(known[id] for id in (*first, *last))

    def render(self) -> Content:
        """Return the line, or as many whole keys as fit and "…"."""
        room, line = self.size.width, self._line()
        if self.left_out or line.cell_length <= room:
            return line[self.left_out :].truncate(room, ellipsis=True)
        # The last key leads to all others: it stays, and those before it give way.
        *parts, last = self._parts()
        while parts and sum(part.cell_length + 1 for part in (*parts, last)) + 1 > room:
            parts.pop()
        return Content(" ").join([*parts, Content("…"), last]).truncate(room, ellipsis=True)

    def _line(self) -> Content:
        return Content(" ").join(self._parts())

    def _parts(self) -> list[Content]:
        parts = []
        for key, name, what, _ in self.keys:
            part = Content.assemble(
                (name, "bold $footer-key-foreground on $footer-key-background"),
                (f" {what}", "$footer-description-foreground on $footer-description-background"),
            )
            ground = "$block-hover-background" if key == self.hovered else "$footer-item-background"
            parts.append(part.stylize_before(f"on {ground}").stylize(Style.from_meta({"key": key})))
        return parts

    def validate_left_out(self, left_out: int) -> int:
        """Limit scrolling to the end of the line."""
        return max(0, min(left_out, len(self._line()) - self.size.width))

    def watch_keys(self) -> None:
        """Scroll to the left end."""
        self.left_out = 0

    def on_resize(self) -> None:
        """Scroll to the left end, because all keys may fit now."""
        self.left_out = 0

    def watch_hovered(self, hovered: str) -> None:
        """Show the help of the key under the mouse as a tooltip."""
        self.tooltip = next((tooltip for key, _, _, tooltip in self.keys if key == hovered), None)
        self.styles.pointer = "pointer" if hovered else "default"

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """Show which key a click would press."""
        self.hovered = event.style.meta.get("key", "")

    def on_leave(self) -> None:
        """Clear the highlight when the mouse leaves."""
        self.hovered = ""

    def on_mouse_down(self, event: events.MouseDown) -> None:
        """Press the key."""
        if key := event.style.meta.get("key"):
            self.app.simulate_key(key)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Scroll towards the end."""
        event.stop()
        self.left_out += _STEP

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Scroll towards the beginning."""
        event.stop()
        self.left_out -= _STEP
