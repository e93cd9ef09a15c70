"""The `spnl-chat …` commands printed in README and docs."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
_SHELL = re.compile(r"```(?:sh|console)\n(.*?)```", re.DOTALL)
_BLOCK = re.compile(r"```.*?```", re.DOTALL)
_INLINE = re.compile(r"`(spnl-chat [^`]+)`")


def documented(page: Path) -> list[list[str]]:
    """Return the arguments of every `spnl-chat …` in the shell blocks and the text of a page."""
    found = []
    text = page.read_text(encoding="utf-8")
    for block in (*_SHELL.findall(text), *_INLINE.findall(_BLOCK.sub("", text))):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line.removeprefix("$ "), comments=True)
            for place, word in enumerate(words):
                if word == "spnl-chat":
                    rest = words[place + 1 :]
                    end = next((n for n, w in enumerate(rest) if w in ("|", "&&", ";", "<", ">", "&")), None)
                    found.append(rest[:end])
    return found
