"""Built-in tools without any effect: the time, and arithmetic."""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from spnl_tui.models.tools import Tool
from spnl_tui.tools.tool import Arguments, BuiltInTool, Effect, Outcome, Prepared, ToolError, schema

_MOST_DIGITS = 1000
_MOST_NODES = 500
_BINARY: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}
_UNARY: Mapping[type[ast.unaryop], Callable[[Any], Any]] = {ast.UAdd: operator.pos, ast.USub: operator.neg}
_FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "abs": abs, "round": round, "min": min, "max": max,
    **{
        name: getattr(math, name)
        for name in (
            "sqrt", "cbrt", "exp", "log", "log2", "log10", "sin", "cos", "tan", "asin", "acos", "atan",
            "atan2", "floor", "ceil", "degrees", "radians", "hypot", "gcd", "lcm",
        )
    },
}  # fmt: skip
_CONSTANTS = {"pi": math.pi, "e": math.e, "tau": math.tau}


def small_tools() -> tuple[BuiltInTool, ...]:
    """Return the tools for the time and for arithmetic."""
    zone = {
        "type": "string",
        "description": "Such as Europe/Berlin; by default this machine's.",
        "maxLength": 60,
    }
    expression = {"type": "string", "description": "Such as (3 + 4) * sqrt(2).", "maxLength": 1000}
    return (
        BuiltInTool(
            tool=Tool(
                name="current_time", description="Returns the date and time.", parameters=schema(zone=zone)
            ),
            group="time",
            prepare=_time,
            read_only=True,
        ),
        BuiltInTool(
            tool=Tool(
                name="calculate",
                description="Computes an arithmetic expression.",
                parameters=schema(("expression",), expression=expression),
            ),
            group="math",
            prepare=_calculate,
            read_only=True,
        ),
    )


async def _time(arguments: Arguments) -> Prepared:
    from zoneinfo import ZoneInfo

    name = arguments.get("zone", "")
    try:
        zone = ZoneInfo(name) if name else None
    except (KeyError, ValueError, OSError) as error:
        raise ToolError(f"There is no time zone {name!r}. Name one as Europe/Berlin.") from error

    async def run() -> Outcome:
        now = datetime.now(zone) if zone else datetime.now().astimezone()
        return Outcome.of_text(now.strftime("%A, %Y-%m-%d %H:%M:%S %Z (UTC%z)"))

    return Prepared(effect=Effect(summary=name or "here"), run=run)


async def _calculate(arguments: Arguments) -> Prepared:
    expression = arguments["expression"]

    async def run() -> Outcome:
        return Outcome.of_text(evaluate(expression))

    return Prepared(effect=Effect(summary=expression), run=run)


def evaluate(expression: str) -> str:
    """Return the value of an arithmetic expression.

    Raises:
        ToolError: it is not arithmetic, or too large.
    """
    text = expression.replace("^", "**").replace("×", "*").replace("÷", "/").replace("−", "-")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
        if sum(1 for _ in ast.walk(tree)) > _MOST_NODES:
            raise ToolError("The expression is too long.")
        value = _value(tree)
        if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
            value = int(value)
        return str(value)
    except ToolError:
        raise
    except (SyntaxError, ValueError, TypeError, ArithmeticError, RecursionError, MemoryError) as error:
        raise ToolError(f"The expression cannot be computed: {error}.") from error


def _value(node: ast.expr) -> Any:
    match node:
        case ast.Constant(value=value) if type(value) in (int, float):
            return value
        case ast.Name(id=name) if name in _CONSTANTS:
            return _CONSTANTS[name]
        case ast.BinOp(op=op) if type(op) in _BINARY:
            return _binary(type(op), _value(node.left), _value(node.right))
        case ast.UnaryOp(op=sign) if type(sign) in _UNARY:
            return _UNARY[type(sign)](_value(node.operand))
        case ast.Call(func=ast.Name(id=name), keywords=[]) if name in _FUNCTIONS:
            return _bounded(_FUNCTIONS[name](*map(_value, node.args)))
        case _:
            raise ToolError("Only numbers, + - * / // % ** and functions such as sqrt can be used.")


def _binary(op: type[ast.operator], left: Any, right: Any) -> Any:
    if op is ast.Pow and (abs(right) > _MOST_DIGITS * 4 or abs(left) > 10**_MOST_DIGITS):
        raise ToolError("The number is too large.")
    if (
        op is ast.Pow
        and isinstance(left, int)
        and left
        and abs(right) * math.log10(abs(left) + 1) > _MOST_DIGITS
    ):
        raise ToolError("The number is too large.")
    return _bounded(_BINARY[op](left, right))


def _bounded(value: Any) -> Any:
    if isinstance(value, complex):
        raise ToolError("The result is not a real number.")
    if isinstance(value, int) and abs(value) >= 10**_MOST_DIGITS:
        raise ToolError("The number is too large.")
    return value
