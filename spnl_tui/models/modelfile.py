"""Reads Ollama's Modelfiles and applies the supported instructions. Without side effects.

Source: Ollama's docs/modelfile.md and parser/parser.go. Instructions are case-insensitive, values may be in
double or triple quotes, lines that begin with # are comments, and PARAMETER may repeat.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from spnl_tui.errors import ModelFileError, RequestError
from spnl_tui.models.request import Sampling

_COMMAND = re.compile(
    r"\s*(FROM|PARAMETER|TEMPLATE|SYSTEM|ADAPTER|LICENSE|MESSAGE|REQUIRES)\s+(.*)", re.IGNORECASE | re.DOTALL
)
_FROM = re.compile(r"""\s*FROM\s+("[^"]+"|\S+)\s*""", re.IGNORECASE)
_SAMPLING = {
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "min_p": "min_p",
    "repeat_penalty": "repetition_penalty",
    "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty",
    "num_predict": "max_tokens",
    "stop": "stop",
    "seed": "seed",
}
"""Ollama's parameters and the names of the corresponding Sampling fields."""
_WHOLE = ("top_k", "max_tokens", "seed")


@dataclass(frozen=True, slots=True)
class Modelfile:
    """The instructions of a Modelfile."""

    base: str
    """The value of FROM: a name or a path."""
    system: str = ""
    template: str = ""
    parameters: tuple[tuple[str, str], ...] = ()
    adapters: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    """Unsupported instructions, such as MESSAGE."""


def looks_like_modelfile(text: str) -> bool:
    """Return True if the first instruction is FROM, or another instruction followed by FROM."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    return bool(lines) and _COMMAND.match(lines[0]) is not None and _has_from(lines)


def parse_modelfile(text: str, name: str) -> Modelfile:
    """Read a Modelfile. Errors mention it as `name`.

    Raises:
        ModelFileError: the text has no FROM, or cannot be parsed.
    """
    found = Modelfile("")
    for keyword, value in _instructions(text, name):
        match keyword:
            case "FROM":
                found = replace(found, base=value)
            case "SYSTEM":
                found = replace(found, system=value)
            case "TEMPLATE":
                found = replace(found, template=value)
            case "ADAPTER":
                found = replace(found, adapters=(*found.adapters, value))
            case "PARAMETER":
                key, _, rest = value.partition(" ")
                found = replace(found, parameters=(*found.parameters, (key.lower(), _unquoted(rest.strip()))))
            case "LICENSE" | "REQUIRES":
                pass
            case _:
                found = replace(found, others=(*found.others, keyword))
    if not found.base:
        raise ModelFileError("Not a Modelfile", f"{name} has no FROM.", "Add a line: FROM MODEL")
    return found


def sampling_of(parameters: Iterable[tuple[str, Any]], sampling: Sampling) -> tuple[Sampling, list[str]]:
    """Return the sampling with Ollama's parameters applied, and the unsupported parameters with reasons."""
    left_out = []
    for key, value in _with_stops(parameters):
        ours = _SAMPLING.get(key)
        if ours is None:
            why = "set [context] length instead" if key == "num_ctx" else "spnl-chat has no such setting"
            left_out.append(f"{key}: {why}")
            continue
        try:
            sampling = replace(sampling, **{ours: _converted(ours, value)})
        except (RequestError, ValueError, TypeError):
            # it means "no limit", which is also the default here
            if (key, str(value)) != ("num_predict", "-1"):
                left_out.append(f"{key}: {value} is not a valid value")
    return sampling, left_out


def sampling_from(parameters: Mapping[str, Any], sampling: Sampling, own: Iterable[str]) -> Sampling:
    """Return the sampling with the parameters of an Ollama model. The fields in `own` stay unchanged."""
    pairs = [
        (key, item)
        for key, value in parameters.items()
        for item in (value if isinstance(value, list) else [value])
    ]
    wanted, _ = sampling_of(pairs, Sampling())
    unset = {f.name: getattr(wanted, f.name) for f in fields(Sampling) if f.name not in set(own)}
    plain = Sampling()
    return replace(
        sampling, **{name: value for name, value in unset.items() if value != getattr(plain, name)}
    )


def _with_stops(parameters: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    """Yield the parameters, with all stop sequences combined."""
    stops = []
    for key, value in parameters:
        if key == "stop":
            stops.append(str(value))
        else:
            yield key, value
    if stops:
        yield "stop", tuple(stops)


def _converted(name: str, value: Any) -> Any:
    if name == "stop":
        return value
    return int(value) if name in _WHOLE else float(value)


def _has_from(lines: Iterable[str]) -> bool:
    return any(_FROM.fullmatch(line) for line in lines)


def _instructions(text: str, name: str) -> Iterator[tuple[str, str]]:
    lines = iter(enumerate(text.splitlines(), 1))
    for number, line in lines:
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _COMMAND.match(line)
        if match is None:
            raise ModelFileError(
                "Not a Modelfile", f"{name}, line {number}: {line.strip()[:60]!r} is not an instruction."
            )
        keyword, value = match[1].upper(), match[2].strip()
        head, _, quoted = value.partition('"""')
        if '"""' in value and '"""' not in quoted:
            inside = [quoted]
            for _, more in lines:
                if '"""' in more:
                    inside.append(more.partition('"""')[0])
                    break
                inside.append(more)
            else:
                raise ModelFileError(
                    "Not a Modelfile", f'{name}, line {number}: the text has no closing """.', "Add it."
                )
            value = f"{head}{chr(10).join(inside).removeprefix(chr(10))}"
            yield keyword, value.rstrip("\n") if keyword == "SYSTEM" else value
            continue
        yield keyword, value if keyword == "PARAMETER" else _unquoted(value)


def _unquoted(value: str) -> str:
    for quote in ('"""', '"'):
        if len(value) >= 2 * len(quote) and value.startswith(quote) and value.endswith(quote):
            return value[len(quote) : -len(quote)]
    return value
