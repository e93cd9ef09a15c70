"""Full-text search: what the user typed as an FTS5 query, and hits with the words shown in context."""

from __future__ import annotations

import itertools
import json
import re
import sqlite3
from dataclasses import dataclass

from spnl_tui.conversations.storage.folding import LETTER, UNSPACED, fold, fold_with_places, words
from spnl_tui.models.parts import as_text, content_from_plain
from spnl_tui.models.request import Role

CANDIDATES = 1000
"""The most matching turns that are ranked, newest first: a word in half of a million turns has no best hit,
and ranking them all would take seconds."""
_SNIPPET = 160
"""The characters of a turn that a hit shows."""
_RANKED_CHARACTERS = 4000
"""The characters of a turn that its rank depends on."""
_TYPED_CHARACTERS = 1000
"""The characters of a search that are used."""
_FOREVER = 1e11
_TAGGED = "(SELECT conversation FROM tag WHERE name = :tag)"
_FEW_TAGGED = 50_000
"""The most turns with a tag that are collected before the search, at 0.4 µs each."""


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of text. `hit` is True for a word of the search."""

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
    """The best hits, titles first. `more` is True if there are others."""

    hits: tuple[SearchHit, ...] = ()
    more: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchFilter:
    """A filter for the search. Times are Unix seconds: `since` is included, `until` is not."""

    model: str | None = None
    tag: str | None = None
    since: float | None = None
    until: float | None = None
    archived: bool = True
    """True searches archived conversations, too."""


@dataclass(frozen=True, slots=True)
class Query:
    """A search, as FTS5 and as regular expressions understand it."""

    match: str
    """An FTS5 expression (https://www.sqlite.org/fts5.html#full_text_query_syntax)."""
    words: tuple[str, ...]
    """The wanted words, folded."""
    pattern: re.Pattern[str]
    """Finds the wanted words and phrases in a folded text."""

    @classmethod
    def parse(cls, typed: str) -> Query | None:
        """Return the query for what the user typed; None if it has no words.

        Every word must occur; "words in quotes" must follow each other; -word must not occur. The last word
        may be the beginning of a longer one, because the user may still be typing it. Nothing else has a
        meaning.
        """
        wanted, unwanted, patterns, all_words = [], [], [], []
        tokens = re.findall(r'(-?)(?:"([^"]*)"?|(\S+))', typed[:_TYPED_CHARACTERS])
        for index, (minus, phrase, word) in enumerate(tokens):
            found = words(phrase or word)
            if not found:
                continue
            term = f'"{" ".join(found)}"'
            if minus:
                unwanted.append(term)
                continue
            last = fold(word)[-1:]
            begun = index == len(tokens) - 1 and len(found[-1]) >= 2 and last.isalnum()
            wanted.append(f"{term} *" if begun else term)
            all_words += found
            patterns.append(_pattern(found, begun))
        if not wanted:
            return None
        return cls(
            match=" NOT ".join([f"({' AND '.join(wanted)})", *unwanted]),
            words=tuple(dict.fromkeys(all_words)),
            pattern=re.compile("|".join(patterns)),
        )


def _pattern(found: list[str], begun: bool) -> str:
    """Return a regular expression for these words, one after the other, in a folded text.

    `begun`: the last may be the beginning of a word.
    """
    pattern = ""
    before = ""
    for word in found:
        unspaced = UNSPACED.match(word) is not None
        if before:
            pattern += r"[\W_]*" if unspaced or UNSPACED.match(before) else r"[\W_]+"
        pattern += re.escape(word) if unspaced else f"(?<!{LETTER}){re.escape(word)}"
        before = word
    if begun:
        return f"{pattern}{LETTER}*"
    return pattern if UNSPACED.match(before) else f"{pattern}(?!{LETTER})"


def snippet(text: str, pattern: re.Pattern[str]) -> tuple[Span, ...]:
    """Return the part of the text with the most matches of the pattern, in one line."""
    folded, places = fold_with_places(text)
    hits = [match.span() for match in itertools.islice(pattern.finditer(folded), 200)]
    if places is not None:
        hits = [(places[a], places[b]) for a, b in hits]
    # Begin at the hit that has the most hits, different ones first of all, close behind it.
    best = max(
        range(len(hits)),
        key=lambda n: (len({text[a:b] for a, b in hits[n : n + 20] if b < hits[n][0] + _SNIPPET}), -n),
        default=None,
    )
    start = max(0, hits[best][0] - _SNIPPET // 4) if best is not None else 0
    if best is not None and (space := re.compile(r"\s").search(text, start, hits[best][0])) and start:
        start = space.end()
    end = (
        len(text)
        if len(text) <= start + _SNIPPET
        else text.rfind(" ", start + _SNIPPET // 2, start + _SNIPPET)
    )
    end = end if end > 0 else start + _SNIPPET
    found = [Span("…")] if start else []
    at = start
    for a, b in hits:
        if start <= a and b <= end:
            found += [Span(_one_line(text[at:a])), Span(_one_line(text[a:b]), True)]
            at = b
    found += [Span(_one_line(text[at:end])), Span("…" if end < len(text) else "")]
    return tuple(span for span in found if span.text)


def _one_line(text: str) -> str:
    return re.sub(r"\s+", " ", text)


def search(connection: sqlite3.Connection, typed: str, where: SearchFilter, limit: int) -> SearchResult:
    """Return the best `limit` hits for what the user typed."""
    query = Query.parse(typed)
    if query is None:
        return SearchResult()
    if where.tag is not None and not _in_use(connection, where.tag):
        return SearchResult()
    titles = _search_titles(connection, query, where, limit)
    turns, more = _search_turns(connection, query, where, limit)
    return SearchResult((*titles, *turns)[:limit], more or len(titles) + len(turns) > limit)


def _in_use(connection: sqlite3.Connection, tag: str) -> bool:
    """True if any conversation has this tag. Otherwise the search would read all turns."""
    return connection.execute("SELECT 1 FROM tag WHERE name = ? LIMIT 1", (tag,)).fetchone() is not None


def _search_titles(
    connection: sqlite3.Connection, query: Query, where: SearchFilter, limit: int
) -> list[SearchHit]:
    rows = connection.execute(
        f"""
        SELECT c.id, c.title, c.model, c.created_at
        FROM title_index JOIN conversation AS c ON c.key = title_index.rowid
        WHERE title_index MATCH :match AND c.deleted = 0 AND c.archived <= :archived
          AND (:model IS NULL OR c.model = :model) AND (:tag IS NULL OR c.key IN {_TAGGED})
          AND c.updated_at >= :since AND c.created_at < :until
        ORDER BY rank LIMIT :limit
        """,
        _parameters(query.match, where, limit),
    )
    return [
        SearchHit(
            conversation=id,
            title=title,
            turn=None,
            role=None,
            model=model,
            created_at=created_at,
            snippet=snippet(title, query.pattern),
        )
        for id, title, model, created_at in rows
    ]


def _search_turns(
    connection: sqlite3.Connection, query: Query, where: SearchFilter, limit: int
) -> tuple[list[SearchHit], bool]:
    match = f"{{text}} : ({query.match})"
    if where.model is not None:
        # Index the model's name as text, so that the index can exclude other models.
        match = f'({match}) AND {{model}} : "{" ".join(words(where.model))}"'
    candidates = connection.execute(
        f"""
        SELECT t.key, substr(coalesce(t.searched, t.text), 1, {_RANKED_CHARACTERS})
        FROM turn_index CROSS JOIN turn AS t ON t.key = turn_index.rowid
            CROSS JOIN conversation AS c ON c.key = t.conversation
        WHERE turn_index MATCH :match
          AND turn_index.rowid >= :since_key AND turn_index.rowid <= :until_key
          AND t.created_at >= :since AND t.created_at < :until
          AND t.deleted = 0 AND c.deleted = 0 AND c.archived <= :archived
          AND (:model IS NULL OR t.model = :model) AND {_tagged_turns(connection, where.tag)}
        ORDER BY turn_index.rowid DESC LIMIT {CANDIDATES + 1}
        """,
        _parameters(match, where, limit),
    ).fetchall()
    hits = []
    for key in _best(candidates[:CANDIDATES], query.words, limit):
        row = connection.execute(
            """
            SELECT c.id, c.title, t.id, t.role, t.model, t.created_at, t.text, t.parts
            FROM turn AS t JOIN conversation AS c ON c.key = t.conversation WHERE t.key = ?
            """,
            (key,),
        ).fetchone()
        hits.append(
            SearchHit(
                conversation=row[0],
                title=row[1],
                turn=row[2],
                role=row[3],
                model=row[4],
                created_at=row[5],
                snippet=snippet(_shown(row[6], row[7]), query.pattern),
            )
        )
    return hits, len(candidates) > limit


def _shown(text: str, parts: str | None) -> str:
    """Return what was indexed of a turn, as it was written."""
    return text if parts is None else as_text(content_from_plain(json.loads(parts)))


def _tagged_turns(connection: sqlite3.Connection, tag: str | None) -> str:
    """Return the SQL condition that the conversation of a turn has the tag.

    Where few have, most turns with a frequent word are passed over by their key, without being read.
    """
    if tag is None:
        return "TRUE"
    rows = connection.execute(
        f"SELECT count(*) FROM (SELECT 1 FROM turn WHERE conversation IN {_TAGGED} LIMIT {_FEW_TAGGED + 1})",
        {"tag": tag},
    )
    if rows.fetchone()[0] > _FEW_TAGGED:
        return f"t.conversation IN {_TAGGED}"
    # With a plus, lest each of these keys is looked up in the index of words.
    return f"+turn_index.rowid IN (SELECT key FROM turn WHERE conversation IN {_TAGGED})"


def _best(candidates: list[tuple[int, str]], words: tuple[str, ...], limit: int) -> list[int]:
    """Return the keys of the best turns; among ties, the newest first.

    Ranked by BM25 (Robertson and Zaragoza, 2009, k1 = 1.2, b = 0.75) without its inverse document
    frequencies: FTS5's own bm25() reads every entry of every word to count them, 130 ms for one that stands
    in most of a million turns, and since every hit has all the words they would change little.
    """
    mean = sum(len(text) for _, text in candidates) / max(1, len(candidates)) or 1.0
    scores = {}
    for key, text in candidates:
        folded = text.lower()
        weight = 1.2 * (0.25 + 0.75 * len(text) / mean)
        scores[key] = sum(count / (count + weight) for word in words if (count := folded.count(word)))
    return sorted(scores, key=lambda key: -scores[key])[:limit]


def _parameters(match: str, where: SearchFilter, limit: int) -> dict[str, object]:
    since = max(0.0, where.since if where.since is not None else 0.0)
    until = min(_FOREVER, where.until if where.until is not None else _FOREVER)
    return {
        "match": match,
        "model": where.model,
        "tag": where.tag,
        "archived": int(where.archived),
        "since": since,
        "until": until,
        # Whole numbers: FTS5 goes through the entire index for a bound of another type. A key may be a
        # little above the time of its turn, if the time was taken.
        "since_key": int(since * 1000),
        "until_key": int((until + 60) * 1000),
        "limit": limit,
    }
