"""Sets one sampling value by its name, as typed by the user."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from spnl_tui.errors import CommandError, RequestError
from spnl_tui.models.request import Sampling
from spnl_tui.settings.nearest import did_you_mean

_UNSET = ("", "none", "default")
_NOT_HERE = ("stop",)
"""Values that cannot be set as a single word."""


def with_value(sampling: Sampling, name: str, value: str) -> Sampling:
    """Return the sampling with this value; "none" lets the engine decide.

    Raises:
        CommandError: there is no value with this name, or it cannot be set to this.
    """
    from spnl_tui.settings.convert import Unfit, from_text, hints_of

    hints = {name: hint for name, hint in hints_of(Sampling).items() if name not in _NOT_HERE}
    if name not in hints:
        known = f"You can set {', '.join(hints)}."
        raise CommandError("No such value", f"{name!r} cannot be set.", did_you_mean(name, hints) or known)
    try:
        new = None if value.strip().casefold() in _UNSET else from_text(hints[name], value.strip())
        changed: dict[str, Any] = {name: new}
        return replace(sampling, **changed)
    except (Unfit, RequestError, TypeError) as error:
        raise CommandError(f"{name} cannot have this value", str(error)) from error


def values(sampling: Sampling, used: Sampling | None = None) -> Iterator[tuple[str, str]]:
    """Yield the names that can be set, with their values.

    `used` has the values of the next request, including those recommended by the model's authors.
    """
    for field in dataclasses.fields(Sampling):
        if field.name not in _NOT_HERE:
            own = getattr(sampling, field.name)
            value = own if used is None else getattr(used, field.name)
            shown = "not set" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
            yield field.name, shown if value == own else f"{shown} (recommended by the model's authors)"
