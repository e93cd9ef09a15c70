"""The models that a server offers, by the names that its clients use."""

from __future__ import annotations

import difflib
from collections.abc import Awaitable, Callable, Mapping, Sequence

from spnl_tui.engine.backend import ModelHandle
from spnl_tui.errors import SpnlError
from spnl_tui.server.errors import ApiError, api_error

Find = Callable[[str], Awaitable[ModelHandle | None]]
Names = Callable[[], Awaitable[Sequence[str]]]
DEFAULT = "default"
"""The name that always means the first model."""


class ServedModels:
    """Looks up models. The first one also answers requests that name none."""

    def __init__(
        self, chosen: Mapping[str, ModelHandle], find: Find | None = None, names: Names | None = None
    ) -> None:
        """`chosen` are the models by the names that the user gave. With `find` and `names`, those of this
        machine are served, too."""
        self._chosen = dict(chosen)
        self._find = find
        self._names = names

    async def names(self) -> tuple[str, ...]:
        """Return the names of all models."""
        others = () if self._names is None else await self._names()
        return tuple(dict.fromkeys((*(model.name for model in self._chosen.values()), *others)))

    async def find(self, name: str | None) -> ModelHandle:
        """Return the model of this name; the first one for none.

        Raises:
            ApiError: there is no such model.
        """
        chosen = tuple(self._chosen.values())
        if name in (None, "", DEFAULT) and chosen:
            return chosen[0]
        name = name or DEFAULT
        for given, model in self._chosen.items():
            if name in (given, model.name):
                return model
        names = await self.names()
        try:
            found = await self._find(name) if self._find is not None else None
        except SpnlError as error:
            raise api_error(error, "model") from error
        # A model outside the list could be a path on this machine, or on a server that the user pays for.
        if found is not None and found.name in names:
            return found
        near = difflib.get_close_matches(name, names, 3, 0.4) or names[:3]
        raise ApiError(
            404,
            f"The model {name!r} is not served here. Served: {', '.join(near) or 'none'}.",
            param="model",
            code="model_not_found",
        )
