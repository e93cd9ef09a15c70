"""The chat templates of tests/data/templates/families.toml, and what each does."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spnl_tui.models.files.vocabulary import SpecialTokens
from spnl_tui.models.prompts.thought_markers import HARMONY

_FILE = Path(__file__).parents[1] / "data" / "templates" / "families.toml"


@dataclass(frozen=True, kw_only=True)
class Family:
    """One family; the file says what the fields mean."""

    name: str
    template: str
    bos: str
    eos: str
    ends: str
    opens: str | None = None
    strips: tuple[str, ...] = ()
    thinks: tuple[str, ...] = ()
    system: bool = True
    words: bool = False
    harmony: bool = False

    @property
    def tokens(self) -> SpecialTokens:
        """The special tokens of a model of this family."""
        words = [self.bos, self.eos, *([] if self.words else [self.ends]), *(HARMONY if self.harmony else ())]
        ids = {word: number for number, word in enumerate(dict.fromkeys(word for word in words if word))}
        named = {"bos_token": self.bos, "eos_token": self.eos}
        return SpecialTokens(ids=ids, control=frozenset(ids), ends=frozenset({self.eos} - {""}), named=named)


def families() -> list[Family]:
    """Return all families, in the file's order."""
    found = tomllib.loads(_FILE.read_text("utf-8"))["family"]
    families = []
    for each in found:
        fields: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in each.items()
        }
        families.append(Family(**fields))
    return families


def table() -> str:
    """Return the table of docs/models.md: families that do the same share a row."""
    rows: dict[tuple[str, ...], list[str]] = {}
    for family in families():
        ends = "its words" if family.words else _code(family.ends.strip())
        thinks = "channels" if family.harmony else " … ".join(map(_code, family.thinks)) or "–"
        stripped = "yes" if family.strips else "–"
        system = "yes" if family.system else "in the first prompt"
        rows.setdefault((thinks, "yes" if family.opens else "–", stripped, ends, system), []).append(
            family.name
        )
    lines = ["| Families | Thinks between | Prompt opens it | Stripped later | Turn ends | System role |"]
    lines.append("|---|---|---|---|---|---|")
    lines += [f"| {', '.join(names)} | {' | '.join(row)} |" for row, names in rows.items()]
    return "\n".join(lines) + "\n"


def _code(text: str) -> str:
    return "`" + text.strip().replace("|", "\\|") + "`"
