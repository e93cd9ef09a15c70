"""How texts are compared when they are searched: without case, accents and differences of encoding.

FTS5's own tokenizer (https://www.sqlite.org/fts5.html#unicode61_tokenizer) does this for precomposed Latin
letters only. For other texts a folded copy is indexed. In it, each character of a script without spaces
between words, and each Korean syllable, is a word of its own, so that any part of a sentence is found.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Burmese, Khmer
    "\u1100-\u11ff\u3130-\u318f\ua960-\ua97f\uac00-\ud7ff"  # Korean
    "\u2e80-\u2fff\u3005-\u3007\u3021-\u3029\u3031-\u3035\u3038-\u303c\u3041-\u3096\u309d-\u309f\u30a1-\u30fa"
    "\u30fc-\u30ff\u3105-\u312f\u31a0-\u31bf\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U00020000-\U0003fffd"  # Chinese, Japanese
)
UNSPACED = re.compile(f"[{_UNSPACED}]")
"""A character that is searched as a word of its own."""
WORD = re.compile(rf"[{_UNSPACED}]|[^\W_{_UNSPACED}]+")
"""A word of a folded text, as FTS5 finds it in the indexed copy."""
LETTER = rf"[^\W_{_UNSPACED}]"
"""A letter or digit of a word with more than one, as a regular expression."""

_AS_FTS5 = re.compile(
    r"[\x00-\x7f\xa1\xa7\xab\xb0\xb1\xb6\xb7\xbb\xbf-\xde\xe0-\xff\u2010-\u2016\u2018-\u2023]*"
)
"""Texts that FTS5 folds as `fold` does."""
_CLUSTER = re.compile(
    # A Korean syllable in its letters, or a character and the marks on it.
    "[\u1100-\u115f]+[\u1160-\u11a7]+[\u11a8-\u11ff]*|."
    "[\u0300-\u036f\u0483-\u0487\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06ed\u0e31\u0e34-\u0e3a"
    "\u0e47-\u0e4e\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\u3099\u309a\ufe00-\ufe0f\ufe20-\ufe2f]*",
    re.DOTALL,
)


def fold(text: str) -> str:
    """Return the text in lower case, composed, without accents and vowel points."""
    return text.lower() if text.isascii() else "".join(map(_fold_cluster, _CLUSTER.findall(text)))


def fold_with_places(text: str) -> tuple[str, list[int] | None]:
    """Return `fold(text)` and for each of its characters the place in `text`; None: they are the same places.

    The list has one entry more, the length of `text`.
    """
    if text.isascii():
        return text.lower(), None
    folded, places = [], []
    for match in _CLUSTER.finditer(text):
        cluster = _fold_cluster(match.group())
        folded.append(cluster)
        places += [match.start()] * len(cluster)
    places.append(len(text))
    return "".join(folded), places


def indexed_copy(text: str) -> str | None:
    """Return the text to index in place of this one; None if FTS5 can index this one."""
    if _AS_FTS5.fullmatch(text):
        return None
    return UNSPACED.sub(r" \g<0> ", fold(text))


def words(text: str) -> list[str]:
    """Return the folded words of a text, as FTS5 finds them in the index."""
    return WORD.findall(fold(text))


@lru_cache(maxsize=20_000)
def _fold_cluster(cluster: str) -> str:
    # Case comes first: the capital I with a dot has a mark only in lower case.
    split = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", cluster).casefold())
    # A mark that stands alone stays: it is all there is.
    bare = "".join(char for char in split if unicodedata.category(char) != "Mn" or not split[0].isalnum())
    return unicodedata.normalize("NFC", bare)
