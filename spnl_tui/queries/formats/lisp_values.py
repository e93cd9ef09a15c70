"""Read the arguments of a form in SPNL's Lisp. All raise QuerySyntaxError for a wrong one."""

from __future__ import annotations

from spnl_tui.models.request import MAX_TOKENS
from spnl_tui.queries.formats.expressions import Expression, List, Literal, head, what
from spnl_tui.queries.source import Found, QuerySyntaxError, check_count, check_model, check_temperature


def check_arguments(form: List, expected: str, low: int, high: int | None) -> None:
    """Reject a form with too few or too many arguments."""
    count = len(form.items) - 1
    name = head(form.items)
    if count < low:
        raise QuerySyntaxError(f"found the end of ({name} …); expected {expected}", form.end)
    if high is not None and count > high:
        extra = form.items[high + 1]
        raise QuerySyntaxError(f"found {what(extra)}; expected ) after {expected} in ({name} …)", extra.place)


def value_of(expression: Expression) -> object:
    """Return the value of a literal; for anything else, a description for the error."""
    return expression.value if isinstance(expression, Literal) else Found(what(expression))


def text_of(expression: Expression) -> str:
    """Return a literal as text."""
    if isinstance(expression, Literal):
        return expression.value if isinstance(expression.value, str) else str(expression.value)
    raise QuerySyntaxError(
        f"found {what(expression)}; expected a text in quotes", expression.place, 'For example "Hello".'
    )


def path_of(expression: Expression) -> str:
    """Return the path of a file."""
    path = text_of(expression)
    if not path or "\0" in path:
        raise QuerySyntaxError(f"found {what(expression)}; expected the path of a file", expression.place)
    return path


def model_of(expression: Expression) -> str:
    """Return the name of a model."""
    return check_model(value_of(expression), expression.place)


def temperature_of(expression: Expression | None) -> float | None:
    """Return a sampling temperature; None if it is not given."""
    return None if expression is None else check_temperature(value_of(expression), expression.place)


def max_tokens_of(expression: Expression | None) -> int | None:
    """Return a limit on the tokens of a reply; None if there is none."""
    if expression is None:
        return None
    # SPNL writes 0 for "no limit of its own".
    return check_count(value_of(expression), "max_tokens", 0, MAX_TOKENS, expression.place) or None
