"""/serve: the server for other programs, from the interface."""

from __future__ import annotations

from collections.abc import Mapping

import httpx2

from spnl_tui.engine.backend import ModelHandle
from spnl_tui.engine.service import EngineService
from spnl_tui.models.request import Sampling
from spnl_tui.server.application import Api
from spnl_tui.server.models import ServedModels
from spnl_tui.server.options import ServerOptions
from spnl_tui.server.serving import HttpServer
from spnl_tui.serving import ServerSwitch
from tests.support.echo_backend import EchoBackend
from tests.support.waiting import wait_until
from tests.ui.support import chat


async def test_serve_shows_the_address_and_stops() -> None:
    engine = EngineService([EchoBackend()])
    options = ServerOptions(port=0)

    def make(models: Mapping[str, ModelHandle]) -> HttpServer:
        return HttpServer(Api(engine, ServedModels(models), options, sampling=Sampling()), options)

    switch = ServerSwitch(make)
    model = await engine.find("echo")
    async with chat(engine, model=model, server=switch) as it:

        def toasts() -> list[str]:
            return [f"{toast.title}\n{toast.message}" for toast in it.app._notifications]

        await it.ask("/serve stop", wait=False)
        await wait_until(lambda: any("Nothing is served" in each for each in toasts()))
        it.prompt.text = ""
        await it.ask("/serve", wait=False)
        await wait_until(lambda: switch.url)
        url = switch.url
        await wait_until(lambda: any(f"Base URL: {url}" in each for each in toasts()))
        async with httpx2.AsyncClient() as client:
            body = {"messages": [{"role": "user", "content": "to the interface"}]}
            reply = await client.post(f"{url}/chat/completions", json=body)
        assert reply.json()["choices"][0]["message"]["content"] == "to the interface"
        await it.ask("/serve stop", wait=False)
        await wait_until(lambda: not switch.url)
