"""Set the bindings of one widget instead of its class."""

from __future__ import annotations

from collections.abc import Iterable

from textual.binding import Binding, BindingsMap
from textual.dom import DOMNode


def bind_keys(node: DOMNode, bindings: Iterable[Binding]) -> None:
    """Bind these keys in this node. They replace its class's bindings of the same keys.

    Widgets do not know the commands, so their owner passes the bindings in. Textual supports this only for
    the app (`App.bind`, one key at a time and without ids), hence the private attribute.
    """
    node._bindings.key_to_bindings.update(BindingsMap(bindings).key_to_bindings)
