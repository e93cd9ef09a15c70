"""The request that pulls a model, from its reference alone."""

from __future__ import annotations

from contextlib import aclosing

from spnl_tui.errors import HubError
from spnl_tui.hub.inspection import Look, ModelBrowser
from spnl_tui.models.reference import ModelReference
from spnl_tui.settings import DEFAULT_CONTEXT
from spnl_tui.ui.messages import PullRequested


async def pull_request(browser: ModelBrowser, reference: str) -> PullRequested:
    """Return the request for this model, or for its best quantization if the reference names none.

    Raises:
        SpnlError: it does not exist, or the hub does not answer.
    """
    look: Look | None = None
    async with aclosing(browser.look(ModelReference.parse(reference))) as looks:
        async for look in looks:
            if look.error is not None:
                raise look.error
    default = look.default(look.appraise(DEFAULT_CONTEXT)) if look is not None else None
    wanted = look.wanted(default.label) if look is not None and default is not None else None
    if wanted is None:
        raise HubError("Nothing to pull", f"{reference} has no model that can be loaded.", "Choose another.")
    return PullRequested(wanted.request, wanted.reference.pretty)
