"""Queries of SPNL as Lisp, as JSON and as the tree that both mean."""

from __future__ import annotations

from spnl_tui.queries.tree import (
    Cross,
    Generate,
    Message,
    Plus,
    Query,
)

EMAIL = Generate("llama3.2:1b", Message("user", "Write a fun email"), 0.8, 300)

SPNL_QUERIES: list[tuple[str, dict[str, object], Query]] = [
    (
        '(g "llama3.2:1b" (user "Hello world") 0.6 256)',
        {
            "g": {
                "model": "llama3.2:1b",
                "input": {"user": "Hello world"},
                "temperature": 0.6,
                "max_tokens": 256,
            }
        },
        Generate("llama3.2:1b", Message("user", "Hello world"), 0.6, 256),
    ),
    (
        '(g "llama3.2:1b" (cross (system "You are helpful") (user "Why is the sky blue?")) 0.5 200)',
        {
            "generate": {
                "model": "llama3.2:1b",
                "input": {"cross": [{"system": "You are helpful"}, {"user": "Why is the sky blue?"}]},
                "temperature": 0.5,
                "max_tokens": 200,
            }
        },
        Generate(
            "llama3.2:1b",
            Cross((Message("system", "You are helpful"), Message("user", "Why is the sky blue?"))),
            0.5,
            200,
        ),
    ),
    (
        """(g "llama3.2:1b"
           (cross (system "Score each email 0-100; list the top 3")
                  (plus (g "llama3.2:1b" (user "Write a fun email") 0.8 300)
                        (g "llama3.2:1b" (user "Write a fun email") 0.8 300)
                        (g "llama3.2:1b" (user "Write a fun email") 0.8 300))
                  (user "I am applying to NASA"))
           0.0 600)""",
        {
            "g": {
                "model": "llama3.2:1b",
                "input": {
                    "cross": [
                        {"system": "Score each email 0-100; list the top 3"},
                        {
                            "plus": [
                                {
                                    "g": {
                                        "model": "llama3.2:1b",
                                        "input": {"user": "Write a fun email"},
                                        "temperature": 0.8,
                                        "max_tokens": 300,
                                    }
                                }
                            ]
                            * 3
                        },
                        {"user": "I am applying to NASA"},
                    ]
                },
                "temperature": 0.0,
                "max_tokens": 600,
            }
        },
        Generate(
            "llama3.2:1b",
            Cross(
                (
                    Message("system", "Score each email 0-100; list the top 3"),
                    Plus((EMAIL, EMAIL, EMAIL)),
                    Message("user", "I am applying to NASA"),
                )
            ),
            0.0,
            600,
        ),
    ),
]
