"""The footer: the keys that are available now."""

from __future__ import annotations

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

    def on_mount(self) -> None:
        """Follow the available bindings of the screen."""
        self.screen.bindings_updated_signal.subscribe(self, self._bindings_changed)

    def _bindings_changed(self, screen: Screen[object]) -> None:
        if screen is not self.screen or not self.app.app_focus:
            return
        first: dict[str, tuple[str, str, str, str]] = {}
        for _, binding, _, tooltip in screen.active_bindings.values():
            if binding.show:
                key = (binding.key, self.app.get_key_display(binding), binding.description, tooltip)
                first.setdefault(binding.action, key)
        self.keys = tuple(first.values())

    def render(self) -> Content:
        """Return the line, or as many whole keys as fit and "…"."""
        room, line = self.size.width, self._line()
        if self.left_out or line.cell_length <= room:
            return line[self.left_out :].truncate(room, ellipsis=True)
        parts, used = [], 0
        for part in self._parts():
            used += part.cell_length + 1
            if used >= room:
                break
            parts.append(part)
        return Content(" ").join([*parts, Content("…")])

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
