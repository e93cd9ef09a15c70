"""The text formats of queries: Lisp and JSON."""
