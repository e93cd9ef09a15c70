"""Reads conversations from ChatGPT's conversations.json.

The file is a list of conversations. The `mapping` of each is a tree of nodes by id, with `parent` and
`message`; `current_node` is the end of the branch shown last. A message has an author (user, assistant, tool
or system), a recipient ("all", or the tool that it calls) and content of some type.

OpenAI does not document the format. Values of the wrong type are ignored, and text in content of unknown
types is kept. The running time is proportional to the file's size.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from spnl_tui.conversations.conversation import Conversation
from spnl_tui.conversations.exchange.chatgpt_citations import Sources, footnotes, resolve_citations
from spnl_tui.conversations.titles import title_of
from spnl_tui.conversations.turn import Provenance, Turn
from spnl_tui.models.parts import Part, TextPart, ToolCallPart, ToolResultPart, fenced, merge_texts
from spnl_tui.text import first_line, well_formed

_TITLE = 200
_WORDS = ("title", "name", "url", "summary", "text", "content", "result", "output_str", "output", "caption")
"""The fields that contain text in content of unknown type."""
_MAX_DEPTH = 20


@dataclass(slots=True)
class _Node:
    """A message of the export that contains text."""

    role: str
    parts: list[Part] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    created_at: float | None = None
    model: str = ""
    leads_up: bool = False
    """True if it leads to the reply below it, as a thought, a tool call or its result does."""


def conversation_from_chatgpt(value: dict[str, Any], left_out: Counter[str]) -> Conversation:
    """Return a conversation of the export, without turns if no message contains text.

    Ids are derived from the export's ids, so that a later export gives the same ones. `left_out` counts
    attachments that the export names without their content.
    """
    mapping = {id: _dict(node) for id, node in _dict(value.get("mapping")).items()}
    key = _export_key(value, mapping)
    sources = Sources(node.get("message") for node in mapping.values())
    system: dict[str, None] = {}
    nodes: dict[str, _Node] = {}
    for id, node in mapping.items():
        message = _dict(node.get("message"))
        if words := _system_words(message):
            system |= dict.fromkeys(words)
        elif (read := _read_message(message, id, sources, left_out)) is not None:
            nodes[id] = read
    parents = _nearest_kept(mapping, nodes)
    _link_results(nodes, parents)
    merged = _merge_into_replies(nodes, parents)
    created_at = _time(value.get("create_time"))
    begin = created_at or min((n.created_at for n in nodes.values() if n.created_at), default=0.0)
    ids = {id: _stable_id(f"{key}\0{id}") for id in nodes}
    title, model = value.get("title"), value.get("default_model_slug")
    conversation = Conversation.of(
        Conversation(
            id=_stable_id(key),
            title=first_line(well_formed(title), _TITLE) if isinstance(title, str) else "",
            title_is_automatic=False,
            system_prompt="\n\n".join(system),
            model=well_formed(model) if isinstance(model, str) else "",
            archived=value.get("is_archived") is True,
            created_at=begin,
            updated_at=_time(value.get("update_time")) or begin,
        ),
        [_turn(ids[id], ids.get(parents[id] or ""), node, begin) for id, node in nodes.items()],
    )
    current = value.get("current_node")
    if isinstance(current, str) and current in parents:
        shown = merged.get(current, current if current in nodes else parents[current])
        if shown is not None:
            conversation.select(ids[shown])
    if not conversation.title:
        conversation.title, conversation.title_is_automatic = title_of(conversation), True
    return conversation


def _turn(id: str, parent: str | None, node: _Node, begin: float) -> Turn:
    reply = node.role == "assistant"
    return Turn(
        id=id,
        parent=parent,
        role="assistant" if reply else "user",
        content=merge_texts(node.parts),
        reasoning="\n\n".join(node.reasoning),
        finish_reason="stop" if reply else None,
        provenance=Provenance(model=node.model) if reply and node.model else None,
        created_at=node.created_at or begin,
    )


# ── ids ──────────────────────────────────────────────────────────────────────────────────────────


def _export_key(value: dict[str, Any], mapping: dict[str, dict[str, Any]]) -> str:
    """Return a key that identifies the conversation in every export of the account."""
    for name in ("conversation_id", "id"):
        if isinstance(given := value.get(name), str) and given:
            return given
    # Exports of 2023 lack this id, but their message ids are unique.
    first = next((id for id, node in mapping.items() if node.get("message")), "")
    return f"{first} {value.get('create_time')} {value.get('title')}"


def _stable_id(key: str) -> str:
    """Return an id derived from this key."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:24]


# ── messages ─────────────────────────────────────────────────────────────────────────────────────


def _system_words(message: dict[str, Any]) -> list[str]:
    """Return the instructions about the user and the task; empty if this is another kind of message."""
    content = _dict(message.get("content"))
    kind = content.get("content_type")
    if kind == "user_editable_context":
        return _strings(content, ("user_profile", "user_instructions"))
    if kind == "model_editable_context":
        return _strings(content, ("model_set_context",))
    if _dict(message.get("author")).get("role") == "system":
        return [well_formed(text) for text in _texts(content, Counter()) if text.strip()]
    return []


def _read_message(message: dict[str, Any], id: str, sources: Sources, left_out: Counter[str]) -> _Node | None:
    """Return the node of a message; None if it has no text."""
    author, metadata = _dict(message.get("author")), _dict(message.get("metadata"))
    content = _dict(message.get("content"))
    role, kind, recipient = author.get("role"), content.get("content_type"), message.get("recipient")
    if role not in ("user", "assistant", "tool"):
        return None
    model = metadata.get("model_slug")
    node = _Node(
        role="user" if role == "user" else "assistant",
        created_at=_time(message.get("create_time")),
        model=well_formed(model) if isinstance(model, str) else "",
    )
    texts = [*_texts(content, left_out), *_attachments(metadata, content, left_out)]
    text = well_formed("\n\n".join(text for text in texts if text.strip()))
    if kind in ("thoughts", "reasoning_recap"):
        node.reasoning, node.leads_up = [text] if text else [], True
    elif role == "tool":
        node.leads_up = True
        node.parts = [ToolResultPart("", (TextPart(text),), kind == "system_error")] if text else []
    elif role == "assistant" and isinstance(recipient, str) and recipient not in ("all", ""):
        node.leads_up = True
        node.parts = _tool_call(id, well_formed(recipient), text)
    elif metadata.get("is_visually_hidden_from_conversation"):
        node.role, node.leads_up = "assistant", True
        node.reasoning = [f"Hidden message:\n{text}"] if text else []
    elif text:
        if role == "assistant":
            text = resolve_citations(text, metadata, sources) + footnotes(text, metadata)
        node.parts = [TextPart(text)]
    return node if node.parts or node.reasoning else None


def _tool_call(id: str, name: str, text: str) -> list[Part]:
    """Return the parts of a tool call. For a canvas, they are the document, as part of the reply's text."""
    if not text:
        return []
    if name.startswith("canmore."):
        try:
            canvas = json.loads(text)
        except (ValueError, RecursionError):
            canvas = None
        if isinstance(canvas, dict) and (shown := _canvas(canvas)):
            return [TextPart(well_formed(shown))]
    return [ToolCallPart(id=well_formed(id), name=name, arguments=text)]


def _canvas(canvas: dict[str, Any]) -> str:
    """Return the text of a canvas: a new document, changes to it, or comments on it."""
    name, kind, content = canvas.get("name"), canvas.get("type"), canvas.get("content")
    shown = []
    if isinstance(content, str):
        language = kind.partition("/")[2] if isinstance(kind, str) and kind.startswith("code") else None
        shown.append(content if language is None else fenced(content, language if language.isalnum() else ""))
    for update in _list(canvas.get("updates")):
        shown += [text for text in [_dict(update).get("replacement")] if isinstance(text, str)]
    for comment in _list(canvas.get("comments")):
        shown += [f"- {text}" for text in [_dict(comment).get("comment")] if isinstance(text, str)]
    if not any(text.strip() for text in shown):
        return ""
    title = f"Canvas “{name}”:" if isinstance(name, str) and name else "Canvas:"
    return "\n\n".join([title, *shown])


# ── content ──────────────────────────────────────────────────────────────────────────────────────


def _texts(content: dict[str, Any], left_out: Counter[str]) -> list[str]:
    """Return the texts in content of any type."""
    match content.get("content_type"):
        case "thoughts":
            return [
                "\n".join(_strings(_dict(thought), ("summary", "content")))
                for thought in _list(content.get("thoughts"))
            ]
        case "tether_quote" | "sonic_webpage":
            return ["\n".join(_strings(content, ("title", "url", "text", "snippet")))]
        case "tether_browsing_display":
            return _strings(content, ("summary", "result"))
    if isinstance(parts := content.get("parts"), list):
        spoken = any(_dict(part).get("content_type") == "audio_transcription" for part in parts)
        return [text for part in parts for text in _part_texts(part, spoken, left_out)]
    if isinstance(text := content.get("text"), str):
        return [text]
    kind = content.get("content_type")
    if not isinstance(kind, str) or kind in ("text", "code", "multimodal_text", "execution_output"):
        return []
    return _any_words(content, 0) or _unknown(kind, content, left_out)


def _part_texts(part: Any, spoken: bool, left_out: Counter[str]) -> list[str]:
    if isinstance(part, str):
        return [part]
    if not isinstance(part, dict):
        return []
    kind = part.get("content_type")
    if isinstance(text := part.get("text"), str) and text.strip():
        return [text]
    if isinstance(kind, str) and "audio" in kind and spoken:
        left_out["audio"] += 1  # the transcription beside it has the words
        return []
    if isinstance(kind, str) and "asset_pointer" not in kind and (found := _any_words(part, 0)):
        return found
    return _unknown(kind if isinstance(kind, str) else "", part, left_out)


def _unknown(kind: str, part: dict[str, Any], left_out: Counter[str]) -> list[str]:
    """Return the name of content that has no text."""
    known = next((name for name in ("image", "video", "audio") if name in kind), "")
    left_out[known or "other content"] += 1
    width, height = part.get("width"), part.get("height")
    sized = isinstance(width, int) and isinstance(height, int) and 0 < width < 10**6 and 0 < height < 10**6
    prompt = _dict(_dict(part.get("metadata")).get("dalle")).get("prompt")
    drawn = isinstance(prompt, str) and prompt.strip()
    if not (known != "image" or sized or drawn):
        return ["[attachment]"]
    name = ", ".join(
        filter(
            None,
            [
                known or first_line(kind.replace("_", " "), 60),
                f"{width} × {height}" if sized else "",
                f"drawn from: {prompt}" if drawn else "",
            ],
        )
    )
    return [f"[attachment: {name}]" if name else "[attachment]"]


def _attachments(metadata: dict[str, Any], content: dict[str, Any], left_out: Counter[str]) -> list[str]:
    """Return the names of the files attached to a message, except images that its content shows."""
    shows_images = content.get("content_type") == "multimodal_text"
    named = []
    for attachment in _list(metadata.get("attachments")):
        name, media_type = _dict(attachment).get("name"), _dict(attachment).get("mime_type")
        image = isinstance(media_type, str) and media_type.startswith("image/")
        if isinstance(name, str) and name.strip() and not (image and shows_images):
            left_out["file"] += 1
            named.append(f"[attachment: {first_line(name, 200)}]")
    return named


def _any_words(value: Any, depth: int) -> list[str]:
    """Return the texts in content of an unknown type."""
    if depth > _MAX_DEPTH:
        return []
    if isinstance(value, list):
        return [text for each in value for text in _any_words(each, depth + 1)]
    found = []
    for name in _WORDS if isinstance(value, dict) else ():
        item = value.get(name)
        if isinstance(item, str) and item.strip():
            found.append(item)
        elif isinstance(item, (dict, list)):
            found += _any_words(item, depth + 1)
    return found


# ── the tree ─────────────────────────────────────────────────────────────────────────────────────


def _nearest_kept(mapping: dict[str, dict[str, Any]], kept: dict[str, _Node]) -> dict[str, str | None]:
    """Return the nearest kept node above each node. Cycles and unknown parents end the search."""
    above: dict[str, str | None] = {}
    for id in mapping:
        trail: list[str] = []
        at, found = id, None
        while at not in above:
            above[at] = None  # preliminary value, at which a cycle ends
            trail.append(at)
            parent = mapping[at].get("parent")
            if not isinstance(parent, str) or parent not in mapping:
                break
            if parent in kept:
                found = parent
                break
            at = parent
        else:
            found = above[at]
        for node in trail:
            above[node] = found
    return above


def _link_results(nodes: dict[str, _Node], parents: dict[str, str | None]) -> None:
    """Give each tool result the id of the call directly above it."""
    for id, node in nodes.items():
        above = nodes.get(parents[id] or "")
        if above is not None and above.parts and isinstance(call := above.parts[-1], ToolCallPart):
            results = [part for part in node.parts if isinstance(part, ToolResultPart)]
            linked = [ToolResultPart(call.id, part.content, part.error) for part in results]
            node.parts = [*linked] or node.parts


def _merge_into_replies(nodes: dict[str, _Node], parents: dict[str, str | None]) -> dict[str, str]:
    """Merge thoughts, calls and results into the reply below them, if there is one.

    Changes both arguments. Return which node each merged node became part of.
    """
    children: dict[str, list[str]] = {}
    for id in nodes:
        if (parent := parents[id]) is not None:
            children.setdefault(parent, []).append(id)
    into: dict[str, str] = {}
    for start in list(nodes):
        parent = parents[start]
        if not nodes[start].leads_up or (parent is not None and _continues(parent, nodes, children)):
            continue  # not the first node of its chain
        chain = [start]
        while _continues(chain[-1], nodes, children) and len(chain) <= len(nodes):
            chain.append(children[chain[-1]][0])
        last = nodes[chain[-1]]
        last.parts = [part for id in chain for part in nodes[id].parts]
        last.reasoning = [text for id in chain for text in nodes[id].reasoning]
        last.model = last.model or next((nodes[id].model for id in chain if nodes[id].model), "")
        into |= dict.fromkeys(chain[:-1], chain[-1])
        parents[chain[-1]] = parent
    for id in into:
        del nodes[id]
    for id, parent in parents.items():
        parents[id] = into.get(parent or "", parent)
    return into


def _continues(id: str, nodes: dict[str, _Node], children: dict[str, list[str]]) -> bool:
    """Return True if this node leads to the only reply below it."""
    below = children.get(id, [])
    return nodes[id].leads_up and len(below) == 1 and nodes[below[0]].role == "assistant"


# ── helpers ──────────────────────────────────────────────────────────────────────────────────────


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _strings(value: dict[str, Any], names: tuple[str, ...]) -> list[str]:
    return [well_formed(v) for v in (value.get(name) for name in names) if isinstance(v, str) and v.strip()]


def _time(value: Any) -> float | None:
    """Return Unix seconds; None if the value is not a valid time."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < 1e11:
        number = float(value)
        return number if math.isfinite(number) else None
    return None
