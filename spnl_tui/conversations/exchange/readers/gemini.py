"""Reads Gemini's activity from Google Takeout (My Activity, Gemini Apps, as JSON).

`MyActivity.json` is a list of activities, newest first: `header`, `title` ("Prompted …"), `time`,
`safeHtmlItem` with the reply as HTML, and in newer exports `details` with the conversation's address. Google
does not document the format. Without an address, each prompt is a conversation of its own.
"""

from __future__ import annotations

import re
from typing import Any

from spnl_tui.conversations.conversation import Conversation
from spnl_tui.conversations.exchange.readers.messages import (
    Gathered,
    Said,
    as_dict,
    as_list,
    as_text,
    conversation_of,
    text_parts,
    time_of,
)

_ADDRESS = re.compile(r"https://gemini\.google\.com/(?:u/\d+/)?app/([0-9a-f]+)")
_PROMPTED = re.compile(r"(?:Prompted|Asked|Said)\s+", re.IGNORECASE)


def is_activity(item: object) -> bool:
    """Return True if this is one of Gemini's activities."""
    each = as_dict(item)
    named = [each.get("header"), *as_list(each.get("products"))]
    return "title" in each and "time" in each and any("Gemini" in as_text(name) for name in named)


def read_activities(items: list[Any], gathered: Gathered) -> tuple[list[Conversation], int]:
    """Return the conversations of these activities, and the number of activities without a prompt and
    reply."""
    groups: dict[str, list[tuple[float, list[Said]]]] = {}
    others = 0
    for item in map(as_dict, items):
        prompt = _PROMPTED.sub("", as_text(item.get("title")), count=1).strip()
        replies = [as_text(as_dict(each).get("html")) for each in as_list(item.get("safeHtmlItem"))]
        reply = _markdown("\n".join(replies))
        if not reply:
            others += 1
            continue
        at = time_of(item.get("time")) or 0.0
        gathered.left_out["file"] += len(as_list(item.get("attachedFiles")))
        addresses = [
            _ADDRESS.search(as_text(as_dict(each).get("url"))) for each in as_list(item.get("details"))
        ]
        chat = next((address[1] for address in addresses if address), f"{item.get('time')} {prompt}")
        key = f"{at} {prompt[:200]}"
        said = [
            Said("user", text_parts(prompt), created_at=at, id=f"{key} prompt"),
            Said("assistant", text_parts(reply), created_at=at + 0.001, model="Gemini", id=f"{key} reply"),
        ]
        groups.setdefault(chat, []).append((at, said))
    found = []
    for chat, pairs in groups.items():
        ordered = [each for _, pair in sorted(pairs, key=lambda pair: pair[0]) for each in pair]
        if (conversation := conversation_of("gemini", chat, ordered, model="Gemini")) is not None:
            found.append(conversation)
    return found, others


def _markdown(html: str) -> str:
    if not html.strip():
        return ""
    from markdownify import markdownify

    try:
        return str(markdownify(html, heading_style="ATX")).strip()
    except RecursionError:  # nested more deeply than any real reply
        return re.sub(r"<[^>]*>", " ", html).strip()
