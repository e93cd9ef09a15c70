"""Plan a query without running it: `--dry-run`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from collections.abc import Sequence as Texts
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from spnl_tui.models.request import Sampling
from spnl_tui.queries.files import read_files
from spnl_tui.queries.run import sampling_of
from spnl_tui.queries.tree import Generate, Map, Message, NodePath, Query, Repeat, children, models, walk
from spnl_tui.queries.view import render_tree

CountTokens: TypeAlias = Callable[[str, Texts[str]], Awaitable[Texts[int] | None]]
"""Counts the tokens of texts for the model of that name; returns None if they are unknown now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestPlan:
    """A node that would send a request to a model."""

    path: NodePath
    model: str
    requests: int
    """The number of replies: n of a Repeat, one for each input of a Map."""
    prompt_tokens: int | None
    """The tokens of the known messages (for a Map, of the longest input), without the chat template."""
    inner_tokens: int
    """The highest number of tokens that inner replies can add to the prompt."""
    max_tokens: int


@dataclass(frozen=True, slots=True)
class QueryPlan:
    """The requests that a query would send, and its tree with token counts."""

    requests: tuple[RequestPlan, ...]
    lines: tuple[str, ...]


async def plan_query(
    query: Query, count: CountTokens, *, defaults: Sampling | None = None, directory: Path | None = None
) -> QueryPlan:
    """Return the plan of a query. Read its files, but send no request.

    Raises:
        QuerySyntaxError: a file of the query cannot be read.
    """
    query = await read_files(query, directory or Path())
    counts = await _count_messages(query, count)
    notes: dict[NodePath, list[str]] = {
        path: [_tokens(number)] for path, number in counts.items() if isinstance(number, int)
    }
    requests: list[RequestPlan] = []
    for path, node in walk(query):
        if isinstance(node, (Generate, Repeat, Map)):
            plan = await _plan(node, path, counts, count, defaults or Sampling())
            requests.append(plan)
            notes[path] = [_note(plan)]
    return QueryPlan(tuple(requests), tuple(render_tree(query, notes)))


async def _count_messages(query: Query, count: CountTokens) -> dict[NodePath, int | None]:
    """Return the tokens of every message, counted for the model of its request."""
    by_model: dict[str, list[tuple[NodePath, str]]] = {name: [] for name in models(query)}
    stack: list[tuple[NodePath, Query, str | None]] = [((), query, None)]
    while stack:
        path, node, model = stack.pop()
        if isinstance(node, (Generate, Repeat)):
            model = node.model if isinstance(node, Generate) else node.generate.model
        if isinstance(node, Message) and isinstance(node.content, str) and model is not None:
            by_model[model].append((path, node.content))
        stack.extend(((*path, index), child, model) for index, child in enumerate(children(node)))
    counts: dict[NodePath, int | None] = {}
    for name, messages in by_model.items():
        numbers = await count(name, [text for _, text in messages]) if messages else ()
        for index, (path, _) in enumerate(messages):
            counts[path] = numbers[index] if numbers is not None else None
    return counts


async def _plan(
    node: Generate | Repeat | Map,
    path: NodePath,
    counts: dict[NodePath, int | None],
    count: CountTokens,
    defaults: Sampling,
) -> RequestPlan:
    generate = node.generate if isinstance(node, Repeat) else node
    if isinstance(generate, Map):
        numbers = await count(generate.model, generate.inputs) if generate.inputs else (0,)
        prompt, inner, requests = max(numbers) if numbers else None, 0, len(generate.inputs)
    else:
        prompt, inner = _input_tokens(generate.input, (*path, 0), counts, defaults)
        requests = node.n if isinstance(node, Repeat) else 1
    return RequestPlan(
        path=path,
        model=generate.model,
        requests=requests,
        prompt_tokens=prompt,
        inner_tokens=inner,
        max_tokens=sampling_of(generate, defaults).max_tokens,
    )


def _input_tokens(
    query: Query, path: NodePath, counts: dict[NodePath, int | None], defaults: Sampling
) -> tuple[int | None, int]:
    """Return the tokens of an input's messages, and the most that its own requests can add."""
    prompt: int | None = 0
    inner = 0
    stack = [(query, path)]
    while stack:
        node, at = stack.pop()
        match node:
            case Message():
                number = counts.get(at)
                prompt = None if prompt is None or number is None else prompt + number
            case Generate():
                inner += sampling_of(node, defaults).max_tokens
            case Repeat():
                inner += node.n * sampling_of(node.generate, defaults).max_tokens
            case Map():
                inner += len(node.inputs) * sampling_of(node, defaults).max_tokens
            case _:
                stack.extend((child, (*at, index)) for index, child in enumerate(children(node)))
    return prompt, inner


def _tokens(number: int) -> str:
    return f"{number:,} token" + ("" if number == 1 else "s")


def _note(plan: RequestPlan) -> str:
    known = "unknown" if plan.prompt_tokens is None else _tokens(plan.prompt_tokens)
    inner = f" + up to {plan.inner_tokens:,} from inner replies" if plan.inner_tokens else ""
    times = f", {plan.requests} requests" if plan.requests != 1 else ""
    return f"prompt {known}{inner}, reply up to {plan.max_tokens:,}{times}"
