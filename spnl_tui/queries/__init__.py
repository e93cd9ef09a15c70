"""Span queries: ask in parallel, judge, combine."""
