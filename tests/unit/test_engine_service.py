"""The engine service: routing to the backend of a model, and refusals."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest

from spnl_tui.engine.backend import (
    Backend,
    Capabilities,
    ChatRequest,
    CompletionRequest,
    Event,
    ModelHandle,
    PrefillProgressed,
    ReplyFinished,
    Request,
    RequestFailed,
    loaded_model,
)
from spnl_tui.engine.prefetch import Prefetch
from spnl_tui.engine.service import EngineService
from spnl_tui.models.request import Grammar, Message, Sampling
from spnl_tui.models.tools import Tool
from tests.support.echo_backend import CAN, CONTEXT, EchoBackend
from tests.support.engines import GREEDY, chat, text_of

STRANGER = ModelHandle(name="m", backend="nowhere")


class Other(EchoBackend):
    """A second backend, which knows all names and fails to close."""

    id = "other"

    async def find(self, reference: str) -> ModelHandle | None:
        return ModelHandle(name=reference, backend=self.id, capabilities=CAN)

    async def close(self) -> None:
        await super().close()
        raise OSError("as asked")


async def all_of(events: AsyncGenerator[Event, None]) -> list[Event]:
    return [event async for event in events]


async def known(engine: Backend, name: str) -> ModelHandle:
    model = await engine.find(name)
    assert model is not None
    return model


async def test_the_first_backend_that_knows_a_reference_answers() -> None:
    engine = EngineService([EchoBackend(), Other()])
    assert (await known(engine, "echo")).backend == "echo"
    assert (await known(engine, "acme/model")).backend == "other"
    assert await EngineService([EchoBackend()]).find("acme/model") is None


async def test_each_request_reaches_the_backend_of_its_model() -> None:
    echo, other = EchoBackend(), Other()
    engine = EngineService([echo, other])
    first, second = await known(engine, "echo"), await known(engine, "m")
    assert text_of(await chat(engine, first, "one two")) == "one two"
    assert [each.model for each in echo.loaded()] == [first]
    assert other.loaded() == ()
    assert await engine.count_tokens(second, ["a b"]) is None
    await all_of(engine.load(second))
    assert [each.model for each in engine.loaded()] == [first, second]
    loaded = loaded_model(engine, second)
    assert loaded is not None
    assert loaded.context_length == CONTEXT
    assert await engine.count_tokens(second, ["a b"]) == (2,)
    await engine.unload(second)
    assert loaded_model(engine, second) is None
    assert not engine.idle_unloaded(second)


async def test_model_of_a_missing_backend_fails_every_candidate() -> None:
    engine = EngineService([EchoBackend()])
    failures = await chat(engine, STRANGER, "hello", n=2)
    assert [(type(each), each.candidate) for each in failures if isinstance(each, RequestFailed)] == [
        (RequestFailed, 0),
        (RequestFailed, 1),
    ]
    assert isinstance((await all_of(engine.load(STRANGER)))[0], RequestFailed)
    assert await engine.count_tokens(STRANGER, ["a"]) is None
    prefetch = Prefetch([Message("user", "hello")], Sampling())
    engine.prefetch(STRANGER, prefetch)
    assert prefetch.ended.is_set()
    await engine.unload(STRANGER)
    assert not engine.idle_unloaded(STRANGER)


@pytest.mark.parametrize(
    ("request_", "title"),
    [
        (
            ChatRequest(messages=[Message("user", "a")], sampling=GREEDY, n=2, grammar=Grammar("regex", "a")),
            "This model does not accept a reply format",
        ),
        (
            ChatRequest(messages=[Message("user", "a")], sampling=GREEDY, n=2, tools=(Tool(name="now"),)),
            "This model cannot call tools",
        ),
        (CompletionRequest(inputs=["a", "b"], sampling=GREEDY), "This model cannot continue a text"),
        (
            ChatRequest(messages=[Message("assistant", "a")], sampling=GREEDY, n=2, continue_reply=True),
            "This model cannot continue a reply",
        ),
    ],
)
async def test_request_beyond_the_capabilities_is_refused(
    request_: ChatRequest | CompletionRequest, title: str
) -> None:
    engine = EngineService([EchoBackend()])
    model = ModelHandle(name="plain", backend="echo")
    failures = await all_of(engine.generate(model, request_))
    assert [(each.title, each.candidate) for each in failures if isinstance(each, RequestFailed)] == [
        (title, 0),
        (title, 1),
    ]


class Recording(EchoBackend):
    """Keeps the requests, and reports no prefill."""

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[Request] = []

    async def generate(self, model: ModelHandle, request: Request) -> AsyncGenerator[Event, None]:
        self.requests.append(request)
        yield ReplyFinished(finish_reason="stop")


@pytest.mark.parametrize("able", [True, False])
async def test_request_is_adapted_to_the_capabilities(able: bool) -> None:
    backend = Recording()
    can = Capabilities(thinking=able, reports_prefill=able, counts_tokens=able)
    model = ModelHandle(name="echo", backend="echo", capabilities=can)
    engine = EngineService([backend])
    request = ChatRequest(messages=[Message("user", "a")], sampling=GREEDY, thinking=True)
    events = await all_of(engine.generate(model, request))
    assert [each for each in backend.requests if isinstance(each, ChatRequest) and each.thinking] == (
        [request] if able else []
    )
    prefill = PrefillProgressed(done=0, total=0)
    assert events == [*([] if able else [prefill]), ReplyFinished(finish_reason="stop")]
    await all_of(backend.load(model))
    assert await engine.count_tokens(model, ["a b"]) == ((2,) if able else None)


async def test_every_backend_is_closed_though_one_fails() -> None:
    echo = EchoBackend()
    engine = EngineService([Other(), echo])
    with pytest.raises(OSError, match="as asked"):
        await engine.close()
    assert echo.closed


def test_handles_are_equal_if_they_name_the_same_model() -> None:
    handle = ModelHandle(name="m", backend="echo", key=("a",))
    assert handle == ModelHandle(name="m", backend="echo", key=("a",), context_length=5, revision="f00")
    assert handle != ModelHandle(name="m", backend="echo", key=("b",))
    assert len({handle, ModelHandle(name="m", backend="echo", key=("a",), file_sha256="0")}) == 1
