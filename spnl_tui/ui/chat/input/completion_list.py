"""The list of completions above the prompt."""

from __future__ import annotations

from collections.abc import Sequence

from textual.content import Content
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from spnl_tui.text import first_line
from spnl_tui.ui.chat.input.completion import Offer

_SHOWN = 50
"""The most completions to list; beyond that, typing another letter is faster than scrolling."""
_LABEL = 16
"""The least width of the labels; a longer label moves its description to the right."""


class Completions(OptionList, can_focus=False):
    """A list that the user moves through from the prompt, which keeps the focus."""

    def __init__(self) -> None:
        super().__init__(compact=True, markup=False)
        self._offers: tuple[Offer, ...] = ()
        self.display = False

    def show(self, offers: Sequence[Offer], *, sure: bool) -> None:
        """Show these, the first one highlighted if it is `sure`. Without any, close."""
        self._offers = tuple(offers[:_SHOWN])
        self.set_options([Option(_line(offer)) for offer in self._offers])
        self.highlighted = 0 if self._offers and sure else None
        self.display = bool(self._offers)

    def close(self) -> None:
        """Close the list."""
        if self.display:
            self.show((), sure=False)

    def move(self, by: int) -> None:
        """Highlight another completion; the first follows the last."""
        if self.highlighted is None:
            self.highlighted = 0 if by > 0 else len(self._offers) - 1
        else:
            self.highlighted = (self.highlighted + by) % len(self._offers)

    @property
    def chosen(self) -> Offer | None:
        """The highlighted completion."""
        return None if self.highlighted is None else self._offers[self.highlighted]

    def offer_at(self, place: int) -> Offer:
        """Return the completion at this index."""
        return self._offers[place]


def _line(offer: Offer) -> Content:
    label = first_line(offer.label, 100)
    return Content.assemble(f"{label:<{_LABEL}}  ", (first_line(offer.about, 200), "$text-muted"))
