"""The texts of queries: Lisp and JSON."""
