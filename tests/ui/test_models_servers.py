"""The models on servers in the models pane: asked only while it is open, and chosen by name."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

from spnl_tui.engine.backend import ModelHandle
from spnl_tui.engine.endpoint.endpoints import Endpoint
from spnl_tui.engine.endpoint.survey import EndpointStatus, ListedModel
from spnl_tui.errors import SpnlError
from tests.support.hub import LoopbackHub
from tests.support.waiting import wait_until
from tests.ui.models_support import make_browser
from tests.ui.support import chat

BOX = Endpoint(name="box", url="http://127.0.0.1:1/v1", configured=True)
OFF = Endpoint(name="off", url="http://127.0.0.1:2/v1", configured=True)


async def test_servers_are_asked_only_in_the_pane_and_their_model_answers(
    hub: LoopbackHub, tmp_path: Path
) -> None:
    asked: list[str] = []

    async def survey() -> AsyncGenerator[EndpointStatus, None]:
        asked.append("survey")
        yield EndpointStatus(BOX, "vllm", (ListedModel("box/org/smol[b]", "org/smol[b]", 4096),))
        yield EndpointStatus(OFF, "auto", problem=SpnlError("The server is not running"))

    smol = ModelHandle(name="box/org/smol[b]", backend="scripted")
    browser = make_browser(hub.endpoint, tmp_path)
    async with chat(browser=browser, survey=survey, models={smol.name: smol}) as it:
        assert not asked
        await it.press("f3")
        await wait_until(lambda: it.screen.panes.models is not None and bool(asked))
        pane = it.screen.panes.models
        assert pane is not None
        await wait_until(lambda: any("off" in row.row.left for row in pane.list.rows))
        lines = [(row.row.left, row.row.right) for row in pane.list.rows]
        assert ("box/org/smol[b]", ("4,096",)) in lines
        assert ("off: The server is not running", ()) in lines
        await it.press("enter")
        await wait_until(lambda: it.screen.current_model.model == smol)
        assert it.screen.panes.seen == "chat"
    await browser._catalog.close()
    await browser._library.close()
