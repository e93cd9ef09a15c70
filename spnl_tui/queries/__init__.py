"""Span queries: fan out, judge, combine."""
