"""Damaged queries: typing errors, truncated and hostile files."""

from __future__ import annotations

import random

SEEDS = (
    '(g "m" (cross (system "Score; list") (plus (g "m" "a" 0.8 9) (g "m" "b" 0.8 9)) (user "NASA")) 0.0 600)',
    '(seq (print "x\\n") (repeat {n} (g {model} (user (file "a.txt")) 0.5)) (map "m" (list "a" "b")))',
    '(generate (model "m") (input (par (user "q") (take 1 "a"))) (temperature 0.5) (max_tokens 10)) ; end',
    '(combine "m" (plus (extract "m" 1 (with (user "q") "a.txt"))))',
    '{"g": {"model": "m", "input": {"cross": [{"system": "s"}, {"user": "\\u00e9"}]}, "temperature": 0.5}}',
    '{"plus": [{"repeat": {"n": 4, "g": {"model": "m", "input": {"user": "x"}, "max_tokens": 10}}}]}',
    '{"map": {"metadata": {"model": "m", "temperature": 1e0}, "inputs": ["a", "b"]}}',
)
_BITS = (
    *'()[]{}":,;\\ \n\t0-9.eE+#',
    "\0", "\x1b[2J", "é", "😀", "\ud800", "\u2028", "null", "true", "NaN", "Infinity", "1e999", "-1", "{n}",
    "(g", "(take", '"g":', "\\u{", "\\ud800", '"' * 3, "(" * 400, "[" * 400,
    '{"plus":[' * 200, "9" * 400, "{x}",
)  # fmt: skip


def mutate(text: str, chance: random.Random) -> str:
    """Return the text with one to four defects."""
    for _ in range(chance.randint(1, 4)):
        at, end = sorted(chance.choices(range(len(text) + 1), k=2))
        match chance.randrange(6):
            case 0:
                text = text[:at] + text[at + 1 :]
            case 1:
                text = text[:at] + chance.choice(_BITS) + text[at:]
            case 2:
                text = text[:at] + chance.choice(_BITS) + text[at + 1 :]
            case 3:
                text = text[:at]
            case 4:
                text = text[:end] + text[at:end] + text[end:]
            case 5:
                text = text[:at] + text[end:]
    return text
