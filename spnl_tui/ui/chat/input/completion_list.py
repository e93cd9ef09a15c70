"""The list above the prompt: what the word before the cursor may become."""

from __future__ import annotations

from collections.abc import Sequence

from textual.content import Content
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from spnl_tui.text import first_line
from spnl_tui.ui.chat.input.completion import Offer

_SHOWN = 50
"""More than these are not worth scrolling through: one types another letter."""
_LABEL = 16
"""The width of the labels, at least; a longer one pushes what is said about it to the right."""


class Completions(OptionList, can_focus=False):
    """A list that is moved through from the prompt, which keeps the focus."""

    def __init__(self) -> None:
        super().__init__(compact=True, markup=False)
        self._offers: tuple[Offer, ...] = ()
        self.display = False

    def show(self, offers: Sequence[Offer], *, sure: bool) -> None:
        """Show these, the first one marked if it is `sure`. None at all: close."""
        self._offers = tuple(offers[:_SHOWN])
        self.set_options([Option(_line(offer)) for offer in self._offers])
        self.highlighted = 0 if self._offers and sure else None
        self.display = bool(self._offers)

    def close(self) -> None:
        """Show nothing."""
        if self.display:
            self.show((), sure=False)

    def move(self, by: int) -> None:
        """Mark another one; after the last comes the first."""
        if self.highlighted is None:
            self.highlighted = 0 if by > 0 else len(self._offers) - 1
        else:
            self.highlighted = (self.highlighted + by) % len(self._offers)

    @property
    def chosen(self) -> Offer | None:
        """The one that is marked."""
        return None if self.highlighted is None else self._offers[self.highlighted]

    def offer_at(self, place: int) -> Offer:
        """The one at this place in the list."""
        return self._offers[place]


def _line(offer: Offer) -> Content:
    label = first_line(offer.label, 100)
    return Content.assemble(f"{label:<{_LABEL}}  ", (first_line(offer.about, 200), "$text-muted"))
