"""Read and write SPNL's JSON.

Its form is that of `serde` for spnl-core's `Query` (IBM/spnl 0.22): every node is an object with one key.

    {"g": {"model": …, "input": …, "temperature": …, "max_tokens": …}}      also "generate"
    {"repeat": {"n": 4, "g": {…}}}                    also "generate", and "query": {"g": {…}}
    {"map": {"metadata": {"model": …, …}, "inputs": ["…", …]}}
    {"cross": […]}  {"plus": […]}  {"seq": […]}  {"par": […]}
    {"user": "…"}  {"system": "…"}  {"assistant": "…"}  {"print": "…"}

Our additions: `{"file": "path"}` instead of a message's text, and a plain text as a user message.
"""

from __future__ import annotations

from typing import Any

from spnl_tui.models.request import MAX_TOKENS, ROLES
from spnl_tui.queries.formats.json_reader import Located, read_located
from spnl_tui.queries.source import (
    Found,
    Parameters,
    QuerySyntaxError,
    check_count,
    check_model,
    check_temperature,
    check_tool,
    excerpt,
    nearest,
)
from spnl_tui.queries.tree import (
    MAX_DEPTH,
    MAX_SIZE,
    Cross,
    File,
    Generate,
    Group,
    Map,
    Message,
    Parallel,
    Plus,
    Print,
    Query,
    Repeat,
    Sequence,
    check_limits,
)

_MAX_NESTING = 3 * MAX_DEPTH + 5  # {"repeat": {"query": {"g": {"input": …}}}} takes four objects for one node
_GROUPS: dict[str, type[Group]] = {"cross": Cross, "plus": Plus, "seq": Sequence, "par": Parallel}
_GROUP_NAMES = {group: name for name, group in _GROUPS.items()}
_KEYS = ("g", "generate", "repeat", "map", *_GROUPS, *ROLES, "print", "file")
_SAMPLING = ("model", "temperature", "max_tokens")


def read_json(text: str, parameters: Parameters | None = None) -> Query:
    """Return the query in `text`, with `{name}` in texts replaced by the value of that parameter.

    Raises:
        QuerySyntaxError: the text is not JSON or not a query. It says where, and what was expected.
    """
    query = _Builder().query(read_located(text, _MAX_NESTING, parameters or {}))
    check_limits(query)
    return query


class _Builder:
    """Converts located JSON to nodes."""

    def query(self, value: Located) -> Query:
        if isinstance(value.value, str):
            return Message("user", self.text(value), place=value.place)
        fields = _object(value, 'a query: an object such as {"user": "Hello"}')
        if len(fields) != 1:
            found = f"{len(fields)} keys" if fields else "an empty object"
            raise QuerySyntaxError(
                f"found {found}; expected a query: an object with one key",
                value.place,
                f"Known here: {', '.join(_KEYS)}.",
            )
        [(key, inner)] = fields.items()
        place = value.place
        if key in _GROUPS:
            return _GROUPS[key](tuple(self.query(item) for item in _array(inner)), place=place)
        for role in ROLES:
            if key == role:
                return Message(role, self.content(inner), place=place)
        match key:
            case "g" | "generate":
                return self.generate(inner)
            case "repeat":
                return self.repeat(inner)
            case "map":
                return self.map(inner)
            case "print":
                return Print(self.text(inner), place=place)
            case "file":
                return Message("user", self.file(inner), place=place)
        raise QuerySyntaxError(
            f'found the key "{excerpt(key)}"; expected a kind of query', inner.place, nearest(key, _KEYS)
        )

    def generate(self, value: Located) -> Generate:
        fields = _fields(value, (*_SAMPLING, "tools", "input"), ("model", "input"))
        tools = _array(fields["tools"]) if "tools" in fields else ()
        return Generate(
            self.model(fields["model"]),
            self.query(fields["input"]),
            self.temperature(fields.get("temperature")),
            self.max_tokens(fields.get("max_tokens")),
            tuple(check_tool(self.text(each), each.place) for each in tools),
            place=value.place,
        )

    def repeat(self, value: Located) -> Repeat:
        fields = _fields(value, ("n", "g", "generate", "query"), ("n",))
        times = fields.pop("n")
        n = check_count(self.number(times), "how many times", 1, MAX_SIZE, times.place)
        if len(fields) != 1:
            raise QuerySyntaxError(f'found {len(fields)} queries to repeat; expected one "g"', value.place)
        [(key, inner)] = fields.items()
        query = self.query(inner) if key == "query" else self.generate(inner)
        if not isinstance(query, Generate):
            raise QuerySyntaxError("found another kind of query; expected a g to repeat", inner.place)
        return Repeat(n, query, place=value.place)

    def map(self, value: Located) -> Map:
        fields = _fields(value, ("metadata", "inputs"), ("metadata", "inputs"))
        metadata = _fields(fields["metadata"], _SAMPLING, ("model",))
        return Map(
            self.model(metadata["model"]),
            tuple(self.text(item) for item in _array(fields["inputs"])),
            self.temperature(metadata.get("temperature")),
            self.max_tokens(metadata.get("max_tokens")),
            place=value.place,
        )

    def content(self, value: Located) -> str | File:
        if isinstance(value.value, dict):
            return self.file(_fields(value, ("file",), ("file",))["file"])
        return self.text(value)

    def file(self, value: Located) -> File:
        path = self.text(value)
        if not path or "\0" in path:
            raise QuerySyntaxError("found no path; expected the path of a file", value.place)
        return File(path, place=value.place)

    def text(self, value: Located) -> str:
        if isinstance(value.value, str):
            return value.value
        raise QuerySyntaxError(f"found {value.kind}; expected a text", value.place)

    def number(self, value: Located) -> object:
        """Return a number. SPNL's own query files also write numbers as texts: `"n": "{n}"`."""
        if not isinstance(value.value, str):
            return value.value if isinstance(value.value, (int, float)) else Found(value.kind)
        text = self.text(value)
        try:
            return int(text) if len(text) <= 30 and text.isdecimal() else float(text)
        except ValueError:
            return text

    def model(self, value: Located) -> str:
        return check_model(
            self.text(value) if isinstance(value.value, str) else Found(value.kind), value.place
        )

    def temperature(self, value: Located | None) -> float | None:
        if value is None or value.value is None:
            return None
        return check_temperature(self.number(value), value.place)

    def max_tokens(self, value: Located | None) -> int | None:
        if value is None or value.value is None:
            return None
        # SPNL writes 0 for "no limit of its own".
        return check_count(self.number(value), "max_tokens", 0, MAX_TOKENS, value.place) or None


def _object(value: Located, expected: str) -> dict[str, Located]:
    if isinstance(value.value, dict):
        return dict(value.value)
    raise QuerySyntaxError(f"found {value.kind}; expected {expected}", value.place)


def _array(value: Located) -> list[Located]:
    if isinstance(value.value, list):
        return value.value
    raise QuerySyntaxError(f"found {value.kind}; expected an array", value.place)


def _fields(value: Located, known: tuple[str, ...], needed: tuple[str, ...]) -> dict[str, Located]:
    """Return the fields of an object after checking that all are known and none is missing."""
    fields = _object(value, f"an object with {', '.join(needed)}")
    for key, inner in fields.items():
        if key not in known:
            raise QuerySyntaxError(f'found the key "{excerpt(key)}"', inner.place, nearest(key, known))
    for key in needed:
        if key not in fields:
            raise QuerySyntaxError(f'found no "{key}"; expected it in this object', value.place)
    return fields


def to_json(query: Query) -> dict[str, Any]:
    """Return the query as a JSON object.

    Raises:
        QuerySyntaxError: the tree is too deep or too large.
    """
    check_limits(query)
    return _to_json(query)


def _to_json(node: Query) -> dict[str, Any]:
    match node:
        case Message(role, File(path)):
            return {role: {"file": path}}
        case Message(role, text):
            return {role: text}
        case Print(text):
            return {"print": text}
        case Cross() | Plus() | Sequence() | Parallel():
            return {_GROUP_NAMES[type(node)]: [_to_json(child) for child in node.children]}
        case Generate():
            return {"g": _generate(node)}
        case Repeat():
            return {"repeat": {"n": node.n, "g": _generate(node.generate)}}
        case Map():
            return {"map": {"metadata": _sampling(node), "inputs": list(node.inputs)}}
    raise AssertionError(node)


def _generate(node: Generate) -> dict[str, Any]:
    tools = {"tools": list(node.tools)} if node.tools else {}
    return {"model": node.model, "input": _to_json(node.input)} | _sampling(node) | tools


def _sampling(node: Generate | Map) -> dict[str, Any]:
    values = {"model": node.model, "temperature": node.temperature, "max_tokens": node.max_tokens}
    return {name: value for name, value in values.items() if value is not None}
