"""Replaces the citations in ChatGPT's replies by links.

A reply contains marks between U+E200 and U+E201, with fields separated by U+E202: "cite", "turn0search0".
Older replies contain 【4:0†source】. `metadata.content_references` explains the marks; before 2025,
`metadata.citations` did.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

from spnl_tui.text import first_line, well_formed

_MARK = re.compile("\ue200[^\ue200\ue201]*\ue201|【[0-9]{1,4}(?::[0-9]{1,4})?†[^【】\n]{0,100}】")
_STRAY = re.compile("[\ue200-\ue20f]")
_REFERENCE = re.compile(r"turn[0-9]+[a-z]+[0-9]+")
_MOST_SOURCES = 20
"""The most sources to show for one mark."""


class Sources:
    """The web pages that a conversation's searches found, by the ids in marks."""

    def __init__(self, messages: Iterable[Any]) -> None:
        self._links: dict[str, str] = {}
        for message in messages:
            metadata = message.get("metadata") if isinstance(message, dict) else None
            if not isinstance(metadata, dict):
                continue
            for group in _dicts(metadata.get("search_result_groups")):
                for entry in _dicts(group.get("entries")):
                    self._add(entry, [entry.get("ref_id")])
            for reference in _dicts(metadata.get("content_references")):
                for item in _dicts(reference.get("items")):
                    self._add(item, item.get("refs"))

    def _add(self, page: dict[str, Any], references: Any) -> None:
        for reference in _dicts(references):
            name = f"turn{reference.get('turn_index')}{reference.get('ref_type')}{reference.get('ref_index')}"
            if link := _link(page):
                self._links.setdefault(name, link)

    def link(self, reference: str) -> str | None:
        """Return a Markdown link to this source; None if it is unknown."""
        return self._links.get(reference)


def resolve_citations(text: str, metadata: dict[str, Any], sources: Sources) -> str:
    """Replace every mark in a reply by its sources or text."""
    if "\ue200" not in text and "【" not in text and not _STRAY.search(text):
        return text
    known = _known(text, metadata)

    def replace(match: re.Match[str]) -> str:
        mark = match.group()
        if mark in known:
            return known[mark]
        return mark if mark.startswith("【") else _from_fields(mark[1:-1].split("\ue202"), sources)

    return well_formed(_STRAY.sub("", _MARK.sub(replace, text)))


def footnotes(text: str, metadata: dict[str, Any]) -> str:
    """Return the list of sources to append to a reply; empty if it has none."""
    links: dict[str, None] = {}
    for reference in _dicts(metadata.get("content_references")):
        if reference.get("type") == "sources_footnote":
            for source in _dicts(reference.get("sources")):
                if (link := _link(source)) and str(source.get("url")) not in text:
                    links[link] = None
    return "\n\nSources:\n\n" + "\n".join(f"- {link}" for link in links) if links else ""


def _known(text: str, metadata: dict[str, Any]) -> dict[str, str]:
    """Return the replacement for each mark that the metadata explains."""
    known: dict[str, str] = {}
    for reference in _dicts(metadata.get("content_references")):
        mark, shown = reference.get("matched_text"), _shown(reference)
        if isinstance(mark, str) and shown is not None:
            known[mark] = shown
    for citation in _dicts(metadata.get("citations")):
        start, end = citation.get("start_ix"), citation.get("end_ix")
        page = citation.get("metadata")
        link = _link(page) if isinstance(page, dict) else ""
        if isinstance(start, int) and isinstance(end, int) and 0 <= start < end <= start + 200 and link:
            known.setdefault(text[start:end], f"({link})")
    return known


def _shown(reference: dict[str, Any]) -> str | None:
    """Return the text for a reference; None if it has none."""
    links: dict[str, None] = {}
    for item in [*_dicts(reference.get("items")), *_dicts(reference.get("fallback_items")), reference]:
        for page in [item, *_dicts(item.get("supporting_websites"))]:
            if link := _link(page):
                links[link] = None
    alt = reference.get("alt")
    if isinstance(alt, str) and alt.strip():
        return alt
    if links:
        return f"({', '.join(list(links)[:_MOST_SOURCES])})"
    name = reference.get("name")
    if isinstance(name, str) and name.strip():
        return name
    return "" if alt == "" and reference.get("type") == "hidden" else None


def _from_fields(fields: list[str], sources: Sources) -> str:
    """Return the text that the mark's own fields give."""
    kind, *values = fields
    links = [link for value in values if (link := sources.link(value)) is not None]
    if links:
        return f"({', '.join(dict.fromkeys(links[:_MOST_SOURCES]))})"
    if kind == "url" and len(values) == 2:
        return _link({"title": values[0], "url": values[1]}) or values[0]
    words = [word for value in values for word in _words(value)]
    if kind == "entity" and words:
        return words[1] if len(words) > 1 else words[0]
    return f"[{first_line(' '.join([kind, *words]), 200)}]" if kind.strip() or words else ""


def _words(value: str) -> list[str]:
    """Return the strings in a field, which may be JSON."""
    if not value.startswith(("[", "{")):
        return [value] if value.strip() else []
    try:
        plain = json.loads(value)
    except (ValueError, RecursionError):
        return [value]
    found, waiting = [], [plain]
    while waiting:
        each = waiting.pop()
        if isinstance(each, str):
            found.append(each)
        elif isinstance(each, (list, dict)):
            waiting += reversed(each if isinstance(each, list) else list(each.values()))
    return found


def _link(page: dict[str, Any]) -> str:
    """Return a Markdown link to a web page; empty if it has no address."""
    url, title = page.get("url"), page.get("title")
    if not isinstance(url, str) or not url.startswith(("http://", "https://")):
        return ""
    url = re.sub(r"[\s<>()]", lambda match: f"%{ord(match.group()):02X}", url)
    name = first_line(title, 200) if isinstance(title, str) else ""
    name = re.sub(r"[\[\]\\]", "", name).strip() or url.split("/")[2]
    return f"[{name}]({url})"


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
