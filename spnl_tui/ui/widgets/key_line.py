"""The line at the bottom: the keys that can be pressed now."""

from __future__ import annotations

from textual import events
from textual.content import Content
from textual.reactive import reactive
from textual.screen import Screen
from textual.style import Style
from textual.widget import Widget

_STEP = 4
"""Cells by which the wheel moves a line that is too long for the terminal."""


class KeyLine(Widget):
    """Keys and what they do; a click presses the key.

    Textual's footer makes a widget of every key, and all of them anew whenever one changes: at each change of
    focus that took as long as drawing the whole screen.
    """

    ALLOW_SELECT = False

    keys: reactive[tuple[tuple[str, str, str, str], ...]] = reactive(())
    """Of each: the key, its name, what it does in a word, and in a sentence."""
    hovered: reactive[str] = reactive("")
    """The key under the mouse."""
    left_out: reactive[int] = reactive(0)
    """Characters at the left that the wheel has moved out of sight."""

    def on_mount(self) -> None:
        """Follow what can be done."""
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
        """The line, or as many whole keys of it as there is room for, and "…"."""
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
        """No further than to the end of the line."""
        return max(0, min(left_out, len(self._line()) - self.size.width))

    def watch_keys(self) -> None:
        """Begin at the left."""
        self.left_out = 0

    def on_resize(self) -> None:
        """There may be room for all."""
        self.left_out = 0

    def watch_hovered(self, hovered: str) -> None:
        """Say what the key under the mouse does."""
        self.tooltip = next((tooltip for key, _, _, tooltip in self.keys if key == hovered), None)
        self.styles.pointer = "pointer" if hovered else "default"

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """Show which key a click would press."""
        self.hovered = event.style.meta.get("key", "")

    def on_leave(self) -> None:
        """Nothing is under the mouse any more."""
        self.hovered = ""

    def on_mouse_down(self, event: events.MouseDown) -> None:
        """Press the key."""
        if key := event.style.meta.get("key"):
            self.app.simulate_key(key)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Show more of the end."""
        event.stop()
        self.left_out += _STEP

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Show more of the beginning."""
        event.stop()
        self.left_out -= _STEP
