"""Formulas in TeX as Unicode text. Does not import Textual."""

from spnl_tui.ui.chat.markdown.formulas.rendering import to_unicode

__all__ = ["to_unicode"]
