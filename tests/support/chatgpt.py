"""ChatGPT exports for tests."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

BEGIN = 1_700_000_000.0


def message(role: str, content: Any, **more: Any) -> dict[str, Any]:
    """One message; `content` is a text or an object with a content_type."""
    if isinstance(content, str):
        content = {"content_type": "text", "parts": [content]}
    author = {"role": role, "name": more.pop("tool", None)}
    return {"author": author, "content": content, "recipient": "all", "metadata": {}, **more}


def exported(*messages: dict[str, Any] | tuple[str, dict[str, Any]], **more: Any) -> dict[str, Any]:
    """A conversation of these messages, each below the one before, or below the node named with it.

    Nodes are called n0, n1 and so on.
    """
    mapping: dict[str, Any] = {"root": {"id": "root", "parent": None, "message": None}}
    last = "root"
    for number, item in enumerate(messages):
        parent, said = item if isinstance(item, tuple) else (last, item)
        last = f"n{number}"
        said = {"id": last, "create_time": BEGIN + number, **said}
        mapping[last] = {"id": last, "parent": parent, "message": said}
    return {
        "title": "Exported",
        "create_time": BEGIN,
        "update_time": BEGIN + len(messages),
        "conversation_id": "c-1",
        "current_node": last,
        "mapping": mapping,
        **more,
    }


def thoughts(*words: str) -> dict[str, Any]:
    """Content with what a model thought."""
    each = [{"summary": f"About {text}", "content": text, "finished": True} for text in words]
    return {"content_type": "thoughts", "thoughts": each}


CALL = message(
    "assistant", {"content_type": "code", "language": "unknown", "text": "search('tides')"}, recipient="web"
)
RESULT = message(
    "tool",
    {
        "content_type": "tether_quote",
        "url": "https://sea.example/tides",
        "title": "Tides",
        "text": "The moon.",
    },
    tool="web",
)
CANVAS = message(
    "assistant",
    {
        "content_type": "code",
        "text": json.dumps({"name": "Poem", "type": "document", "content": "# Sea\n\nWaves."}),
    },
    recipient="canmore.create_textdoc",
)
VOICE = {
    "content_type": "multimodal_text",
    "parts": [
        {"content_type": "audio_transcription", "text": "When is high tide?", "direction": "in"},
        {"content_type": "audio_asset_pointer", "asset_pointer": "file-service://a", "format": "wav"},
    ],
}
CITED = (
    "High tide follows the moon. \ue200cite\ue202turn0search0\ue201 "
    'Ask a \ue200entity\ue202["job","sailor","x"]\ue201.'
)
REFERENCES = [
    {
        "matched_text": "\ue200cite\ue202turn0search0\ue201",
        "type": "grouped_webpages",
        "items": [{"title": "Tides [1]", "url": "https://sea.example/a(b)", "refs": []}],
        "alt": None,
    }
]


def rich() -> list[dict[str, Any]]:
    """An account with everything that the reader knows."""
    image = {
        "content_type": "image_asset_pointer",
        "asset_pointer": "sediment://x",
        "width": 640,
        "height": 480,
    }
    return [
        exported(
            message("system", "You are a tide table."),
            message("user", VOICE),
            message("assistant", thoughts("the moon", "the sun")),
            CALL,
            RESULT,
            message("assistant", CITED, metadata={"content_references": REFERENCES, "model_slug": "gpt-5"}),
            message("user", {"content_type": "multimodal_text", "parts": [image, "What is this?"]}),
            CANVAS,
            message("tool", "Created.", tool="canmore.create_textdoc"),
            message("assistant", "Here is the poem."),
            ("n1", message("assistant", "Another answer.")),
            title="Tides",
        ),
        exported(message("user", "Hello"), message("assistant", "Hi."), conversation_id="c-2", title="Short"),
    ]


_BITS: tuple[Any, ...] = (
    *(
        None,
        True,
        0,
        -1,
        2**70,
        1e300,
        "",
        "x",
        "\ud800",
        "\ue200",
        "\ue200cite\ue202\ue201",
        [],
        {},
        [[]],
        {"a": {}},
    ),
    *(
        "audio_transcription",
        "thoughts",
        "n1",
        "tool",
        "【1†x】",
        "\x1b[2J",
        {"content_type": "text", "parts": None},
    ),
)


def mutated(chance: random.Random) -> str:
    """An export with some accidents, in its structure or in its text."""
    value: Any = rich()
    for _ in range(chance.randint(1, 6)):
        at: Any = value
        while True:
            keys = list(range(len(at))) if isinstance(at, list) else list(at)
            if not keys:
                break
            key = chance.choice(keys)
            below = at[key]
            if isinstance(below, (dict, list)) and below and chance.random() < 0.9:
                at = below
                continue
            accident = chance.randrange(4)
            if accident == 0:
                del at[key]
            elif accident == 1:
                at[key] = copy.deepcopy(chance.choice(_BITS))
            elif accident == 2 and isinstance(at, dict):
                at[str(chance.choice(_BITS))] = below
            else:
                at[key] = [below] if chance.random() < 0.5 else {"text": below, "content_type": "new_type"}
            break
    text = json.dumps(value)
    if chance.random() < 0.3:
        where = chance.randrange(len(text))
        text = (
            text[:where]
            + chance.choice(('"', "[", "}", "null", "", "\\ud800", "9" * 400))
            + text[where + 1 :]
        )
    return text
