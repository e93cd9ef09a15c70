"""Full-text search: what the user typed as an FTS5 query, and hits with the words shown in context."""

from __future__ import annotations

import re
import sqlite3
from dataclasses import dataclass

from spnl_tui.models.request import Role

CANDIDATES = 1000
"""Ranked are this many of the newest turns that match: a word that stands in half of a million turns has no
best hit, and to rank them all would take seconds."""
_OPEN, _CLOSE = "\x02", "\x03"
_SNIPPET_TOKENS = 24
_RANKED_CHARACTERS = 4000
"""How much of a turn is looked at to rank it."""


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of text; `hit` says that it is a word that was looked for."""

    text: str
    hit: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchHit:
    """A turn or, where `turn` is None, a conversation whose title matches."""

    conversation: str
    title: str
    turn: str | None
    role: Role | None
    model: str
    created_at: float
    snippet: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The best hits, titles first. `more` says that there are others, better or older ones."""

    hits: tuple[SearchHit, ...] = ()
    more: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchFilter:
    """What to look through. Times are Unix seconds: `since` is included, `until` is not."""

    model: str | None = None
    since: float | None = None
    until: float | None = None
    archived: bool = True
    """Whether archived conversations are searched, too."""


def match_expression(typed: str) -> str:
    """What was typed as an FTS5 query (https://www.sqlite.org/fts5.html#full_text_query_syntax), or nothing.

    Every word must be there; "words in quotes" must follow each other; -word must not be there. The last
    word may be the beginning of one, since it may still be being typed. Nothing else has a meaning.
    """
    wanted, unwanted = [], []
    tokens = re.findall(r'(-?)(?:"([^"]*)"?|(\S+))', typed)
    for index, (minus, phrase, word) in enumerate(tokens):
        words = _words(phrase or word)
        if not words:
            continue
        term = f'"{" ".join(words)}"'
        if minus:
            unwanted.append(term)
        else:
            beginning = index == len(tokens) - 1 and word and len(words[-1]) >= 2 and word[-1].isalnum()
            wanted.append(f"{term} *" if beginning else term)
    if not wanted:
        return ""
    return " NOT ".join([f"({' AND '.join(wanted)})", *unwanted])


def spans(marked: str) -> tuple[Span, ...]:
    """The spans of a text in which FTS5 has marked the words that were looked for."""
    found = []
    hit = False
    for piece in re.split(f"([{_OPEN}{_CLOSE}])", marked):
        if piece in (_OPEN, _CLOSE):
            hit = piece == _OPEN
        elif piece:
            found.append(Span(piece, hit))
    return tuple(found)


def search(connection: sqlite3.Connection, typed: str, where: SearchFilter, limit: int) -> SearchResult:
    """The best `limit` hits for what was typed."""
    match = match_expression(typed)
    if not match:
        return SearchResult()
    titles = _search_titles(connection, match, where, limit)
    turns, more = _search_turns(connection, match, where, limit)
    return SearchResult((*titles, *turns)[:limit], more or len(titles) + len(turns) > limit)


def _search_titles(
    connection: sqlite3.Connection, match: str, where: SearchFilter, limit: int
) -> list[SearchHit]:
    rows = connection.execute(
        f"""
        SELECT c.id, c.title, c.model, c.created_at,
               snippet(title_index, 0, '{_OPEN}', '{_CLOSE}', '…', {_SNIPPET_TOKENS})
        FROM title_index JOIN conversation AS c ON c.key = title_index.rowid
        WHERE title_index MATCH :match AND c.deleted = 0 AND c.archived <= :archived
          AND (:model IS NULL OR c.model = :model)
          AND c.updated_at >= :since AND c.created_at < :until
        ORDER BY rank LIMIT :limit
        """,
        _parameters(match, where, limit),
    )
    return [
        SearchHit(
            conversation=id,
            title=title,
            turn=None,
            role=None,
            model=model,
            created_at=created_at,
            snippet=spans(snippet),
        )
        for id, title, model, created_at, snippet in rows
    ]


def _search_turns(
    connection: sqlite3.Connection, match: str, where: SearchFilter, limit: int
) -> tuple[list[SearchHit], bool]:
    query = f"{{text}} : ({match})"
    if where.model is not None:
        # The model's name is indexed like a text, so that the index itself can leave the others out.
        query = f'({query}) AND {{model}} : "{" ".join(_words(where.model))}"'
    candidates = connection.execute(
        f"""
        SELECT t.key, substr(t.text, 1, {_RANKED_CHARACTERS})
        FROM turn_index CROSS JOIN turn AS t ON t.key = turn_index.rowid
            CROSS JOIN conversation AS c ON c.key = t.conversation
        WHERE turn_index MATCH :match
          AND turn_index.rowid >= :since * 1000 AND turn_index.rowid < :until * 1000
          AND t.deleted = 0 AND c.deleted = 0 AND c.archived <= :archived
          AND (:model IS NULL OR t.model = :model)
        ORDER BY turn_index.rowid DESC LIMIT {CANDIDATES + 1}
        """,
        _parameters(query, where, limit),
    ).fetchall()
    hits = []
    for key in _best(candidates[:CANDIDATES], match, limit):
        row = connection.execute(
            f"""
            SELECT c.id, c.title, t.id, t.role, t.model, t.created_at,
                snippet(turn_index, 0, '{_OPEN}', '{_CLOSE}', '…', {_SNIPPET_TOKENS})
            FROM turn_index JOIN turn AS t ON t.key = turn_index.rowid
                JOIN conversation AS c ON c.key = t.conversation
            WHERE turn_index MATCH ? AND turn_index.rowid = ?
            """,
            (query, key),
        ).fetchone()
        hits.append(
            SearchHit(
                conversation=row[0],
                title=row[1],
                turn=row[2],
                role=row[3],
                model=row[4],
                created_at=row[5],
                snippet=spans(row[6]),
            )
        )
    return hits, len(candidates) > limit


def _best(candidates: list[tuple[int, str]], match: str, limit: int) -> list[int]:
    """The keys of the best turns, of equally good ones the newest first.

    Ranked by BM25 (Robertson and Zaragoza, 2009, k1 = 1.2, b = 0.75) without its inverse document
    frequencies: FTS5's own bm25() reads every entry of every word to count them, 130 ms for one that stands
    in most of a million turns, and since every hit has all the words they would change little.
    """
    words = _words(match.partition(" NOT ")[0].replace(" AND ", " ").casefold())
    mean = sum(len(text) for _, text in candidates) / max(1, len(candidates)) or 1.0
    scores = {}
    for key, text in candidates:
        folded = text.casefold()
        weight = 1.2 * (0.25 + 0.75 * len(text) / mean)
        scores[key] = sum(count / (count + weight) for word in words if (count := folded.count(word)))
    return sorted(scores, key=lambda key: -scores[key])[:limit]


def _words(text: str) -> list[str]:
    """The words as FTS5's unicode61 finds them, near enough: letters and digits."""
    return re.findall(r"[^\W_]+", text)


def _parameters(match: str, where: SearchFilter, limit: int) -> dict[str, object]:
    return {
        "match": match,
        "model": where.model,
        "archived": int(where.archived),
        "since": where.since if where.since is not None else 0.0,
        "until": where.until if where.until is not None else 1e14,
        "limit": limit,
    }
