"""Run work in the background of the interface."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, ParamSpec

from textual.dom import DOMNode

_P = ParamSpec("_P")


def start(
    node: DOMNode,
    group: str,
    work: Callable[_P, Coroutine[Any, Any, None]],
    *args: _P.args,
    **kwargs: _P.kwargs,
) -> None:
    """Run `work(…)` as a worker of this node."""
    # Pass the function: its coroutine would never be awaited if the worker were cancelled at once.
    function: Any = partial(work, *args, **kwargs)  # Textual's type for it rejects coroutines of `None`
    node.run_worker(function, group=group)


def restart(node: DOMNode, group: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run `work()` as the only worker of its group."""
    function: Any = work
    node.run_worker(function, group=group, exclusive=True)


class ScreenBackground:
    """Background work as workers of a node; see `chat.services.Background`."""

    def __init__(self, node: DOMNode) -> None:
        self._node = node

    def start(
        self,
        group: str,
        work: Callable[_P, Coroutine[Any, Any, None]],
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> None:
        """Run `work(…)` as a worker."""
        start(self._node, group, work, *args, **kwargs)

    def restart(self, group: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run `work()` as the only worker of its group."""
        restart(self._node, group, work)

    def cancel(self, group: str) -> None:
        """Cancel the workers of this group."""
        self._node.workers.cancel_group(self._node, group)
