"""Reads conversations that are one JSON or YAML object each.

Sources:
- Claude's export (Settings, Privacy, Export data): conversations.json is a list of objects with `uuid`,
  `name` and `chat_messages`, each with `sender`, `text`, `content` blocks and `attachments`.
- Open WebUI (backend/open_webui/models/chats.py and its "Export all chats"): objects with `id`, `title` and
  `chat`, in which `history` has `messages` by id, with `parentId`, and `currentId`.
- LM Studio (~/.lmstudio/conversations/*.conversation.json; lmstudio-js, ChatHistoryData.ts): `messages`, each
  with `versions` and `currentlySelected`; a version has `content`, or `steps` with a `style`.
- OpenAI's chat format (platform.openai.com/docs, "Fine-tuning"): `messages` with `role` and `content`; so do
  parllama (~/.parllama/chats/*.json) and aichat (sessions/*.yaml).
- ShareGPT's format (github.com/lm-sys/FastChat, data format): `conversations` with `from` and `value`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from spnl_tui.conversations.conversation import Conversation
from spnl_tui.conversations.exchange.chatgpt import conversation_from_chatgpt
from spnl_tui.conversations.exchange.readers.messages import (
    PORTABLE,
    Gathered,
    Said,
    as_dict,
    as_list,
    as_text,
    call_part,
    content_parts,
    conversation_of,
    digest_of,
    file_part,
    image_from_base64,
    reasoning_of,
    result_part,
    role_of,
    text_parts,
    time_of,
)

Reader: TypeAlias = Callable[[dict[str, Any], str, Gathered], Conversation | None]
"""Reads an object. The text identifies the conversation if the object has no id or title."""


def find_reader(item: object) -> Reader | None:
    """Return the reader that recognizes this object; None if it is not a conversation."""
    if not isinstance(item, dict):
        return None
    return next((reader for recognizes, reader in _TABLE if recognizes(item)), None)


def read_messages(value: list[Any], name: str, gathered: Gathered) -> Conversation | None:
    """Return the conversation of a plain list of messages."""
    return _messages({"messages": value}, name, gathered)


def _chatgpt(item: dict[str, Any], name: str, gathered: Gathered) -> Conversation | None:
    conversation = conversation_from_chatgpt(item, gathered.left_out)
    return conversation if len(conversation) else None


def _claude(item: dict[str, Any], name: str, gathered: Gathered) -> Conversation | None:
    said = []
    for number, message in enumerate(as_dict(each) for each in as_list(item["chat_messages"])):
        blocks = message.get("content")
        parts = content_parts(blocks, gathered) or text_parts(message.get("text"))
        files = []
        for attachment in map(as_dict, as_list(message.get("attachments"))):
            content = file_part(attachment.get("file_name"), attachment.get("extracted_content"))
            gathered.left_out["file"] += not content
            files += content
        for file in map(as_dict, as_list(message.get("files"))):
            image = as_text(file.get("file_kind")) == "image"
            gathered.left_out["image" if image else "file"] += 1
        said.append(
            Said(
                role_of(message.get("sender")) or "user",
                [*files, *parts],
                reasoning_of(blocks),
                time_of(message.get("created_at")),
                id=as_text(message.get("uuid")) or str(number),
                parent=as_text(message.get("parent_message_uuid")) or None,
            )
        )
    tree = any(each.parent in {other.id for other in said} for each in said)
    return conversation_of(
        "claude",
        as_text(item.get("uuid")) or digest_of(item["chat_messages"][:1]),
        said,
        tree=tree,
        current=as_text(item.get("current_leaf_message_uuid")) or None,
        title=item.get("name"),
        model=item.get("model"),
        created_at=time_of(item.get("created_at")),
        updated_at=time_of(item.get("updated_at")),
    )


def _open_webui(item: dict[str, Any], name: str, gathered: Gathered) -> Conversation | None:
    chat = as_dict(item.get("chat")) or item
    history = as_dict(chat.get("history"))
    said = []
    for id, message in as_dict(history.get("messages")).items():
        message = as_dict(message)
        parts = content_parts(message.get("content"), gathered)
        for file in map(as_dict, as_list(message.get("files"))):
            if file.get("type") == "image":
                parts = [*image_from_base64(file.get("url"), gathered), *parts]
            else:
                document = as_dict(as_dict(file.get("file")).get("data")).get("content")
                content = file_part(file.get("name"), document)
                gathered.left_out["file"] += not content
                parts = [*content, *parts]
        said.append(
            Said(
                role_of(message.get("role")) or "user",
                parts,
                as_text(message.get("reasoning_content")),
                time_of(message.get("timestamp")),
                as_text(message.get("model")),
                id=as_text(id),
                parent=as_text(message.get("parentId")) or None,
            )
        )
    return conversation_of(
        "open-webui",
        as_text(item.get("id"))
        or as_text(chat.get("id"))
        or digest_of(sorted(as_dict(history.get("messages")))[:1]),
        said,
        tree=True,
        current=as_text(history.get("currentId")) or None,
        title=chat.get("title", item.get("title")),
        system=as_text(as_dict(chat.get("params")).get("system")),
        model=next(iter(as_list(chat.get("models"))), None),
        created_at=time_of(item.get("created_at", chat.get("timestamp"))),
        updated_at=time_of(item.get("updated_at")),
        archived=item.get("archived") is True,
        tags=as_list(as_dict(item.get("meta")).get("tags")) or as_list(chat.get("tags")),
    )


def _lm_studio(item: dict[str, Any], name: str, gathered: Gathered) -> Conversation | None:
    """Read a file of LM Studio. Versions become siblings; the conversation continues below the selected
    one."""
    said: list[Said] = []
    parent: str | None = None
    for number, message in enumerate(map(as_dict, as_list(item["messages"]))):
        chosen, below = message.get("currentlySelected"), parent
        for version, value in enumerate(map(as_dict, as_list(message.get("versions")))):
            id = f"{number}.{version}"
            steps = [as_dict(step) for step in as_list(value.get("steps"))]
            blocks = [step for step in steps if step.get("type") == "contentBlock"] or [value]
            words = [block for block in blocks if as_dict(block.get("style")).get("type") != "thinking"]
            thoughts = [block for block in blocks if as_dict(block.get("style")).get("type") == "thinking"]
            said.append(
                Said(
                    role_of(value.get("role")) or "user",
                    [part for block in words for part in content_parts(block.get("content"), gathered)],
                    "\n\n".join(
                        as_text(as_dict(each).get("text"))
                        for block in thoughts
                        for each in as_list(block.get("content"))
                    ),
                    model=as_text(as_dict(value.get("senderInfo")).get("senderName")),
                    id=id,
                    parent=parent,
                )
            )
            if said[-1].role == "system":
                continue
            if version == chosen or below == parent:
                below = id
        parent = below
    model = as_dict(item.get("lastUsedModel"))
    return conversation_of(
        "lm-studio",
        f"{name} {item.get('createdAt')}",
        said,
        tree=True,
        current=parent,
        title=item.get("name"),
        system=as_text(item.get("systemPrompt")),
        model=model.get("identifier"),
        created_at=time_of(item.get("createdAt")),
    )


def _messages(item: dict[str, Any], name: str, gathered: Gathered) -> Conversation | None:
    said = []
    for message in map(as_dict, as_list(item["messages"])):
        content = message.get("content", message.get("text"))
        parts = content_parts(content, gathered)
        for image in as_list(message.get("images")):  # Ollama and parllama store images here
            parts = [*image_from_base64(image, gathered), *parts]
        for call in map(as_dict, as_list(message.get("tool_calls"))):
            function = as_dict(call.get("function")) or call
            parts.append(call_part(call.get("id"), function.get("name"), function.get("arguments")))
        role = role_of(message.get("role", message.get("author"))) or "user"
        if role == "tool":
            parts = [result_part(message.get("tool_call_id"), parts)]
        thoughts = message.get("reasoning_content", message.get("reasoning", message.get("thinking")))
        said.append(
            Said(
                role,
                parts,
                as_text(thoughts) or reasoning_of(content),
                time_of(message.get("created_at", message.get("timestamp"))),
                as_text(message.get("model")),
            )
        )
    own = next(
        (as_text(item.get(key)) for key in ("id", "session_id", "conversation_id") if item.get(key)), ""
    )
    title = next((item[key] for key in ("title", "name", "session_name") if as_text(item.get(key))), None)
    model = (
        item.get("model") or item.get("llm_model_name") or as_dict(item.get("llm_config")).get("model_name")
    )
    times = [item.get(key) for key in ("created_at", "createdAt", "last_updated", "updated_at")]
    return conversation_of(
        PORTABLE,
        own or digest_of([as_text(title) or name, item["messages"][:2]]),
        said,
        title=title,
        model=model,
        created_at=time_of(times[0]) or time_of(times[1]),
        updated_at=time_of(times[3]) or time_of(times[2]),
        tags=as_list(item.get("tags")),
    )


def _sharegpt(item: dict[str, Any], name: str, gathered: Gathered) -> Conversation | None:
    said = []
    for message in map(as_dict, as_list(item["conversations"])):
        value = as_text(message.get("value"))
        sender = message.get("from")
        role = role_of(sender) or ("assistant" if sender == "function_call" else "user")
        if sender == "function_call":
            said.append(Said(role, [call_part("", "tool", value)]))
        elif role == "tool":
            said.append(Said(role, [result_part("", text_parts(value))]))
        else:
            said.append(Said(role, text_parts(value), as_text(message.get("reasoning"))))
    return conversation_of(
        PORTABLE,
        as_text(item.get("id")) or digest_of(item["conversations"][:2]),
        said,
        title=item.get("title"),
        system=as_text(item.get("system")),
        model=item.get("model"),
        created_at=time_of(item.get("created_at")),
        updated_at=time_of(item.get("updated_at")),
    )


def _is_list(*names: str) -> Callable[[dict[str, Any]], bool]:
    """Return a test for objects with a list of objects under the first name, with all other names in each."""
    first, *inner = names

    def recognizes(item: dict[str, Any]) -> bool:
        value = item.get(first)
        return isinstance(value, list) and bool(value) and _all_have(value, inner)

    return recognizes


def _all_have(value: list[Any], names: Iterable[str]) -> bool:
    # One damaged message must not hide the conversation.
    return any(isinstance(each, dict) and all(name in each for name in names) for each in value)


_TABLE: tuple[tuple[Callable[[dict[str, Any]], bool], Reader], ...] = (
    (lambda item: "mapping" in item, _chatgpt),
    (_is_list("chat_messages", "sender"), _claude),
    (
        lambda item: isinstance(as_dict(as_dict(item.get("chat")).get("history")).get("messages"), dict),
        _open_webui,
    ),
    (lambda item: isinstance(as_dict(item.get("history")).get("messages"), dict), _open_webui),
    (_is_list("messages", "versions"), _lm_studio),
    (_is_list("messages", "role"), _messages),
    (_is_list("messages", "author", "text"), _messages),
    (_is_list("conversations", "from", "value"), _sharegpt),
)
"""The tests that recognize objects, and their readers. The first match wins."""
