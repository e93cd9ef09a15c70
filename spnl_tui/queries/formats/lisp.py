"""Read SPNL's Lisp at run time.

    (g MODEL INPUT [TEMPERATURE [MAX_TOKENS]])
    (generate (model MODEL) (input INPUT) [(temperature T)] [(max_tokens N)])    the first design's form
    (repeat N (g …))   (repeat N MODEL INPUT [TEMPERATURE [MAX_TOKENS]])
    (map MODEL (list TEXT…) [TEMPERATURE [MAX_TOKENS]])
    (cross …) (plus …) (seq …) (par …)
    (user TEXT) (system TEXT) (assistant TEXT) (print TEXT)        TEXT is "…" or (file "path")

A text by itself is a user message. `{name}` is a parameter, in texts and by itself. Parameters are replaced
after the source was split into words, so a value can never become part of the query's structure. Comments run
from `;` to the end of the line. docs/queries.md has the whole language.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence as Names

from spnl_tui.models.request import Role
from spnl_tui.queries.formats.expressions import Expression, List, Literal, Word, head, read_expression, what
from spnl_tui.queries.formats.lisp_values import (
    check_arguments,
    max_tokens_of,
    model_of,
    path_of,
    temperature_of,
    text_of,
    value_of,
)
from spnl_tui.queries.source import (
    Parameters,
    QuerySyntaxError,
    Source,
    check_count,
    check_tool,
    excerpt,
    nearest,
)
from spnl_tui.queries.tree import (
    MAX_SIZE,
    Cross,
    File,
    Generate,
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

_COMBINER = (
    "You combine what other assistants have answered. "
    "Reply with the result alone: no markdown, no explanations."
)
_KEYS = ("model", "input", "inputs", "temperature", "max_tokens")


def read_lisp(text: str, parameters: Parameters | None = None) -> Query:
    """Return the query in `text`, with `{name}` replaced by the value of that parameter.

    Raises:
        QuerySyntaxError: the text is not one query. It says where, and what was expected.
    """
    query = _Builder().query(read_expression(Source(text), parameters or {}))
    check_limits(query)
    return query


class _Builder:
    """Converts lists to nodes, with one method for each form."""

    def __init__(self) -> None:
        self.forms: dict[str, Callable[[List], Query]] = {
            "g": self.generate,
            "generate": self.generate,
            "cross": lambda form: Cross(self.children(form), place=form.place),
            "plus": lambda form: Plus(self.children(form), place=form.place),
            "seq": lambda form: Sequence(self.children(form), place=form.place),
            "par": lambda form: Parallel(self.children(form), place=form.place),
            "repeat": self.repeat,
            "map": self.map,
            "user": lambda form: self.message(form, "user"),
            "system": lambda form: self.message(form, "system"),
            "assistant": lambda form: self.message(form, "assistant"),
            "print": self.print,
            "file": lambda form: Message("user", self.file(form), place=form.place),
            "with": self.with_files,
            "extract": self.extract,
            "combine": self.combine,
        }

    def query(self, expression: Expression) -> Query:
        match expression:
            case Literal(str(text)):
                return Message("user", text, place=expression.place)
            case List((Word(name), *_)):
                if name in self.forms:
                    return self.forms[name](expression)
                place = expression.items[0].place
                if name == "take":
                    raise QuerySyntaxError(
                        "found (take …); expected it within cross, plus, seq or par", place
                    )
                raise QuerySyntaxError(
                    f"found {excerpt(name)}; expected the name of a form", place, nearest(name, self.forms)
                )
            case List(items):
                found = what(items[0]) if items else "()"
                raise QuerySyntaxError(
                    f"found {found}; expected the name of a form",
                    items[0].place if items else expression.place,
                    f"Known here: {', '.join(self.forms)}.",
                )
        raise QuerySyntaxError(
            f"found {what(expression)}; expected a query",
            expression.place,
            "A query is a (form …) or a text in quotes.",
        )

    def children(self, form: List) -> tuple[Query, ...]:
        """Return the queries in a group. `(take n …)` means the first n of its own."""
        parts: list[Query] = []
        for item in form.items[1:]:
            match item:
                case List((Word("take"), *_)):
                    check_arguments(item, "how many to take, then queries", 1, None)
                    count = check_count(value_of(item.items[1]), "how many", 0, MAX_SIZE, item.items[1].place)
                    parts += [self.query(part) for part in item.items[2:]][:count]
                case _:
                    parts.append(self.query(item))
        return tuple(parts)

    def generate(self, form: List) -> Generate:
        form, tools = _without_tools(form)
        values = self.settings(form, "input")
        return Generate(
            model_of(values["model"]),
            self.query(values["input"]),
            temperature_of(values.get("temperature")),
            max_tokens_of(values.get("max_tokens")),
            tools,
            place=form.place,
        )

    def map(self, form: List) -> Map:
        values = self.settings(form, "inputs")
        inputs = values["inputs"]
        if not isinstance(inputs, List) or head(inputs.items) not in ("list", "inputs"):
            raise QuerySyntaxError(f"found {what(inputs)}; expected (list TEXT …)", inputs.place)
        return Map(
            model_of(values["model"]),
            tuple(text_of(item) for item in inputs.items[1:]),
            temperature_of(values.get("temperature")),
            max_tokens_of(values.get("max_tokens")),
            place=form.place,
        )

    def settings(self, form: List, second: str) -> dict[str, Expression]:
        """Return the values of a generate or map by name, given either in order or as (name value)."""
        names = ("model", second, "temperature", "max_tokens")
        name = head(form.items)
        if len(form.items) > 1 and isinstance(form.items[1], List) and head(form.items[1].items) in _KEYS:
            values = self.keyed(form, names)
        else:
            check_arguments(form, "model, " + second + ", temperature and max_tokens", 2, 4)
            values = dict(zip(names, form.items[1:], strict=False))
        for needed in names[:2]:
            if needed not in values:
                raise QuerySyntaxError(
                    f"found no {needed}; expected ({needed} …) in this ({name} …)", form.end
                )
        return values

    def keyed(self, form: List, names: Names[str]) -> dict[str, Expression]:
        values: dict[str, Expression] = {}
        for item in form.items[1:]:
            if not isinstance(item, List) or not item.items or not isinstance(item.items[0], Word):
                raise QuerySyntaxError(
                    f"found {what(item)}; expected (name value)",
                    item.place,
                    f"Names here: {', '.join(names)}.",
                )
            key = item.items[0].name.replace("-", "_")
            if key not in names:
                raise QuerySyntaxError(
                    f"found {what(item.items[0])}; expected one of {', '.join(names)}",
                    item.items[0].place,
                    nearest(key, names),
                )
            if key in values:
                raise QuerySyntaxError(f"found a second ({key} …)", item.place, "Keep one of them.")
            if key == "inputs":
                values[key] = item
                continue
            check_arguments(item, "one value", 1, 1)
            values[key] = item.items[1]
        return values

    def repeat(self, form: List) -> Repeat:
        check_arguments(form, "how many times, and a (g …)", 2, 5)
        n = check_count(value_of(form.items[1]), "how many times", 1, MAX_SIZE, form.items[1].place)
        if len(form.items) > 3:  # SPNL's short form: (repeat n model input temperature max_tokens)
            return Repeat(n, self.generate(List(form.items[1:], form.place, form.end)), place=form.place)
        query = self.query(form.items[2])
        if not isinstance(query, Generate):
            raise QuerySyntaxError(
                f"found {what(form.items[2])}; expected the (g …) to repeat", form.items[2].place
            )
        return Repeat(n, query, place=form.place)

    def message(self, form: List, role: Role) -> Message:
        check_arguments(form, "one text", 1, 1)
        match form.items[1]:
            case List((Word("file"), *_)) as inner:
                return Message(role, self.file(inner), place=form.place)
        return Message(role, text_of(form.items[1]), place=form.place)

    def print(self, form: List) -> Print:
        check_arguments(form, "one text", 1, 1)
        return Print(text_of(form.items[1]), place=form.place)

    def file(self, form: List) -> File:
        check_arguments(form, "the path of a file", 1, 1)
        return File(path_of(form.items[1]), place=form.place)

    def with_files(self, form: List) -> Cross:
        """Read `(with INPUT FILE…)`, SPNL's question about documents; here with all of their text."""
        check_arguments(form, "a query, then files", 2, None)
        files: list[Query] = []
        for item in form.items[2:]:
            inner = isinstance(item, List) and head(item.items) == "file"
            file = (
                self.file(item) if inner and isinstance(item, List) else File(path_of(item), place=item.place)
            )
            files.append(Message("user", file, place=item.place))
        return Cross(
            (
                Plus(tuple(files), place=form.place),
                Message("user", "Please answer this question:", place=form.place),
                self.query(form.items[1]),
            ),
            place=form.place,
        )

    def extract(self, form: List) -> Generate:
        """Read `(extract MODEL N BODY)`, which asks for the N final answers in the replies of BODY."""
        check_arguments(form, "model, how many answers, and a query", 3, 3)
        n = check_count(value_of(form.items[2]), "how many answers", 1, MAX_SIZE, form.items[2].place)
        answers = "final answer" if n == 1 else f"{n} final answers"
        return self.ask_about(form, f"Extract the {answers} from this, each as short as can be.")

    def combine(self, form: List) -> Generate:
        """Read `(combine MODEL BODY)`, which asks for the replies of BODY as one list."""
        check_arguments(form, "model and a query", 2, 2)
        return self.ask_about(form, "Combine these answers into one flat JSON array, in the same order.")

    def ask_about(self, form: List, request: str) -> Generate:
        place = form.place
        parts = (
            Message("system", _COMBINER, place=place),
            self.query(form.items[-1]),
            Message("user", request, place=place),
        )
        return Generate(model_of(form.items[1]), Cross(parts, place=place), place=place)


def _without_tools(form: List) -> tuple[List, tuple[str, ...]]:
    """Return the form without its (tools NAME …), and the names."""
    kept = [item for item in form.items if not (isinstance(item, List) and head(item.items) == "tools")]
    names: dict[str, None] = {}
    for item in form.items:
        if isinstance(item, List) and head(item.items) == "tools":
            for each in item.items[1:]:
                name = each.name if isinstance(each, Word) else value_of(each)
                names[check_tool(name, each.place)] = None
    return List(tuple(kept), form.place, form.end), tuple(names)
