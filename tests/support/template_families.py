"""The chat templates of tests/data/templates/families.toml, and what each does."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from spnl_tui.models.thought_markers import HARMONY
from spnl_tui.models.vocabulary import SpecialTokens

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
    return [
        Family(**{key: tuple(value) if isinstance(value, list) else value for key, value in each.items()})
        for each in found
    ]
