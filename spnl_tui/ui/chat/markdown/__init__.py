"""Markdown as lines for the terminal: parsing, layout, formulas, tables. No widgets."""
