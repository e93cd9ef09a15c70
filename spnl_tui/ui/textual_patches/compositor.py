"""Textual's compositor, and what it forgets to paint over."""

from __future__ import annotations

from textual._compositor import Compositor, CompositorMap


class CarefulCompositor(Compositor):
    """Paints over what is gone, whoever notices first.

    Textual learns what to paint by comparing a layout with the one before. A new widget that asks for its
    place after others have gone, and before the screen is laid out without them, has the map made anew in
    between: what was there is not compared any more, and the remains of a toast stayed on the terminal until
    it was resized.
    """

    @property
    def full_map(self) -> CompositorMap:
        """The place of every widget. Where that has changed since it was painted will be painted."""
        if not self._full_map_invalidated:
            return super().full_map
        before = self._full_map if self._visible_map is None else self._visible_map
        now = super().full_map
        regions = (place.clip.intersection(place.region) for _, place in before.items() ^ now.items())
        self._dirty_regions.update(region for region in regions if region)
        return now
