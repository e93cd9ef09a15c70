"""Convert a chat to a query, and a query to a chat."""

from __future__ import annotations

from collections.abc import Sequence as Messages
from dataclasses import dataclass

from spnl_tui.conversations.conversation import Conversation
from spnl_tui.errors import QueryError
from spnl_tui.models.image_marks import content_of
from spnl_tui.models.parts import as_text
from spnl_tui.models.request import Message as ChatMessage
from spnl_tui.models.request import Sampling
from spnl_tui.queries.formats.lisp_writer import write_lisp
from spnl_tui.queries.run import sampling_of
from spnl_tui.queries.tree import Cross, File, Generate, Map, Message, Query, Repeat, asks, walk


def conversation_to_query(messages: Messages[ChatMessage], model: str, sampling: Sampling) -> Generate:
    """Return the query that asks for the last reply of a chat again.

    It omits replies at the very end, because it asks for them. Of the sampling, a query has the temperature
    and max_tokens.

    Raises:
        QueryError: the chat has no prompt yet.
    """
    asked = list(messages)
    while asked and asked[-1].role == "assistant":
        asked.pop()
    if not any(message.role == "user" for message in asked):
        raise QueryError("Nothing to export", "The conversation has no prompt yet.", "Send a prompt first.")
    # A query has three roles, so the results of tools are sent as the user's.
    parts = tuple(
        Message("user" if message.role == "tool" else message.role, as_text(message.content))
        for message in asked
    )
    return Generate(
        model, parts[0] if len(parts) == 1 else Cross(parts), sampling.temperature, sampling.max_tokens
    )


def query_to_messages(query: Query) -> tuple[Generate, tuple[ChatMessage, ...]]:
    """Return the only request of a query and its messages. The query's files must have been read.

    Raises:
        QueryError: the query makes several requests, or none, so no chat is equivalent to it.
    """
    requests = [node for _, node in walk(query) if isinstance(node, (Generate, Repeat, Map))]
    if len(requests) != 1 or isinstance(requests[0], Map) or asks(_generate(requests[0]).input):
        raise QueryError(
            "Not a chat",
            f"The query asks {len(requests)} times; a chat opens from a query that asks once.",
            "Run it with spnl-chat run instead.",
        )
    generate = _generate(requests[0])
    messages: list[ChatMessage] = []
    for _, node in walk(generate.input):
        if isinstance(node, Message):
            if isinstance(node.content, File):
                raise QueryError("A file is not read", f"{node.content.path} is still to be read.")
            messages.append(ChatMessage(node.role, node.content))
    return generate, tuple(messages)


@dataclass(frozen=True, slots=True)
class OpenedQuery:
    """A query as a chat whose next prompt is the query's."""

    conversation: Conversation
    """All messages except the last prompt."""
    prompt: str
    model: str


def branch_to_lisp(conversation: Conversation) -> str:
    """Return the query, as Lisp, that asks for the last reply of the active branch again.

    Raises:
        QueryError: the branch has no prompt yet.
    """
    sources = (turn.provenance for turn in reversed(conversation.path()))
    model = conversation.model or next((source.model for source in sources if source), "") or "starter"
    return write_lisp(conversation_to_query(conversation.messages(), model, conversation.sampling))


def query_to_chat(query: Query, defaults: Sampling) -> OpenedQuery:
    """Return the query as a chat. The query's files must have been read; `defaults` supplies missing values.

    Raises:
        QueryError: the query makes several requests, or none, so no chat is equivalent to it.
    """
    generate, messages = query_to_messages(query)
    said = list(messages)
    prompt = said.pop().model_text if said and said[-1].role == "user" else ""
    system = "\n\n".join(message.model_text for message in said if message.role == "system")
    conversation = Conversation(
        system_prompt=system, model=generate.model, sampling=sampling_of(generate, defaults)
    )
    for message in said:
        if message.role in ("user", "assistant"):
            turn = conversation.add_turn(message.role, content_of(message.model_text))
            if turn.role == "assistant":
                conversation.finish(turn.id, "stop")
    return OpenedQuery(conversation, prompt, generate.model)


def _generate(node: Generate | Repeat | Map) -> Generate:
    assert not isinstance(node, Map)
    return node.generate if isinstance(node, Repeat) else node
