"""Repaints what Textual's compositor forgets to paint over.

No upstream issue was found. Textualize/textual#2016 (closed) reports the same symptom: a removed widget
stays visible.
"""

from __future__ import annotations

from textual._compositor import Compositor, CompositorMap


class CarefulCompositor(Compositor):
    """Repaints the place of removed widgets, whichever code rebuilds the map.

    Textual finds what to repaint by comparing a layout with the previous one. If a new widget asks for its
    place after others were removed and before the next layout, `full_map` is rebuilt in between. The next
    layout is then compared with that map, so the removed widgets are not repainted: a toast stayed on the
    terminal until the window was resized.
    """

    @property
    def full_map(self) -> CompositorMap:
        """The place of every widget. Reading it marks places that changed since the last paint as dirty."""
        if not self._full_map_invalidated:
            return super().full_map
        before = self._full_map if self._visible_map is None else self._visible_map
        now = super().full_map
        regions = (place.clip.intersection(place.region) for _, place in before.items() ^ now.items())
        self._dirty_regions.update(region for region in regions if region)
        return now
