"""Bindings that a widget is given, rather than declaring them in its class."""

from __future__ import annotations

from collections.abc import Iterable

from textual.binding import Binding, BindingsMap
from textual.dom import DOMNode


def bind_keys(node: DOMNode, bindings: Iterable[Binding]) -> None:
    """Bind these keys in this node. They replace the bindings of its class for the same keys.

    Widgets do not know the commands, so their owner passes the bindings in. Textual offers this for the app
    only (`App.bind`, one key at a time and without ids), hence the private attribute.
    """
    node._bindings.key_to_bindings.update(BindingsMap(bindings).key_to_bindings)
