"""The resident engine: several programs share one engine over a socket."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from spnl_tui.engine.backend import (
    ChatRequest,
    CompletionRequest,
    Event,
    LoadProgressed,
    ModelHandle,
    ReplyChunk,
    ReplyFinished,
    Request,
    RequestFailed,
    RequestQueued,
    Usage,
)
from spnl_tui.engine.prefetch import Prefetch
from spnl_tui.engine.resident import wire
from spnl_tui.engine.resident.address import ResidentAddress, is_own_peer, peer_uid
from spnl_tui.engine.resident.server import AlreadyRunning, Resident
from spnl_tui.engine.resident.turns import Turns
from spnl_tui.errors import ModelReferenceError, SpnlError
from spnl_tui.models.parts import FilePart, TextPart, ToolCallPart, ToolResultPart
from spnl_tui.models.request import Grammar, Message, Sampling
from spnl_tui.models.tools import Tool
from spnl_tui.paths import Paths
from tests.support.bare_backend import BareBackend
from tests.support.echo_backend import EchoBackend
from tests.support.engines import GREEDY, chat, fake_engine, fake_model, text_of
from tests.support.http_server import ReplayBackend
from tests.support.resident import address_in, client_of, resident_and_client, running_resident
from tests.support.waiting import wait_until

MODEL = ModelHandle(name="m", backend="bare", key=("a", "b"))
FULL_CHAT = ChatRequest(
    messages=(
        Message("system", "s"),
        Message("user", (TextPart("t\u2028\ud800"), FilePart("f", "x"))),
        Message("assistant", (ToolCallPart("1", "n", "{}"),)),
        Message("tool", (ToolResultPart("1", (TextPart("r"),), error=True),)),
    ),
    sampling=Sampling(temperature=0.1, stop=("a", "b"), seed=3),
    n=2,
    thinking=False,
    grammar=Grammar("regex", "a+"),
    tools=(Tool(name="n", description="d"),),
    tool_choice="required",
    begun_thought="hm",
    continue_reply=True,
    ephemeral=True,
)


async def all_of(events: AsyncGenerator[Event, None]) -> list[Event]:
    return [event async for event in events]


def prompt(text: str, **options: Any) -> ChatRequest:
    return ChatRequest(messages=[Message("user", text)], sampling=GREEDY, **options)


async def test_requests_and_events_arrive_unchanged(tmp_path: Path) -> None:
    sent: list[Event] = [
        RequestQueued(ahead=1),
        ReplyChunk(
            text="a\n", reasoning="b", tool_calls=(ToolCallPart("1", "n", "{}"),), tokens=2, candidate=1
        ),
        ReplyFinished(finish_reason="length", usage=Usage(prompt_tokens=1), candidate=1),
        RequestFailed(kind="context", title="t", message="m", hint="h"),
    ]
    engine = ReplayBackend(*sent)
    completion = CompletionRequest(inputs=("a", "b"), sampling=GREEDY, grammar=Grammar("lark", "x"))
    async with resident_and_client(engine, tmp_path) as client:
        assert await all_of(client.generate(MODEL, FULL_CHAT)) == sent
        assert await all_of(client.generate(MODEL, completion)) == sent
    taken, completed = engine.requests
    assert {name: getattr(taken, name) for name in FULL_CHAT.__slots__ if name != "is_wanted"} == {
        name: getattr(FULL_CHAT, name) for name in FULL_CHAT.__slots__ if name != "is_wanted"
    }
    assert completed == completion


def test_wire_carries_every_field_of_requests() -> None:
    for request, command in ((ChatRequest, wire.Chat), (CompletionRequest, wire.Complete)):
        wanted = {field.name for field in dataclasses.fields(request)} - {"is_wanted"}
        assert wanted | {"id", "model"} == {field.name for field in dataclasses.fields(command)}


async def test_client_sees_what_is_loaded_and_counts_tokens(tmp_path: Path) -> None:
    async with (
        running_resident(EchoBackend(), address_in(tmp_path)),
        client_of(address_in(tmp_path)) as client,
    ):
        model = await client.find("echo")
        assert model is not None
        assert await client.count_tokens(model, ["a b"]) is None
        await all_of(client.load(model))
        assert [each.model for each in client.loaded()] == [model]
        assert await client.count_tokens(model, ["a b", "c"]) == (2, 1)
        await client.unload(model)
        assert client.loaded() == ()


async def test_errors_of_lookups_keep_their_class(tmp_path: Path) -> None:
    class Picky(EchoBackend):
        async def find(self, reference: str) -> ModelHandle | None:
            raise ModelReferenceError("Two models", reference, "Choose.")

    async with resident_and_client(Picky(), tmp_path) as client:
        with pytest.raises(ModelReferenceError, match="Two models"):
            await client.find("x")


async def test_without_a_resident_the_program_loads_models_itself(tmp_path: Path) -> None:
    async with client_of(address_in(tmp_path), EchoBackend) as client:
        model = await client.find("echo")
        assert model is not None
        assert text_of(await chat(client, model, "a b")) == "a b"


async def test_resident_of_another_version_is_reported_and_not_used(tmp_path: Path) -> None:
    engine = ReplayBackend.saying("old")
    async with (
        running_resident(engine, address_in(tmp_path, "0.9 same")),
        client_of(address_in(tmp_path), lambda: ReplayBackend.saying("new")) as client,
    ):
        events = await chat(client, MODEL, "hi")
    assert isinstance(events[0], LoadProgressed)
    assert "another version" in events[0].stage
    assert text_of(events) == "new"
    assert engine.requests == []


async def test_death_of_the_resident_fails_its_requests_and_the_next_is_answered(tmp_path: Path) -> None:
    class Endless(BareBackend):
        async def generate(self, model: ModelHandle, request: Request) -> AsyncGenerator[Event, None]:
            yield ReplyChunk(text="begun")
            await asyncio.Event().wait()

    async with (
        running_resident(Endless(), address_in(tmp_path)) as resident,
        client_of(address_in(tmp_path), lambda: ReplayBackend.saying("here")) as client,
    ):
        async with aclosing(client.generate(MODEL, prompt("x", n=2))) as events:
            first = await anext(events)
            resident.cancel()
            rest = [event async for event in events]
        assert first == ReplyChunk(text="begun")
        assert [event.candidate for event in rest if isinstance(event, RequestFailed)] == [0, 1]
        assert text_of(await chat(client, MODEL, "again")) == "here"


async def test_requests_of_a_client_that_dies_are_cancelled(tmp_path: Path) -> None:
    running = 0

    class Silent(EchoBackend):
        """Says nothing, as during a prefill, so that no write tells it that the client is gone."""

        async def generate(self, model: ModelHandle, request: Request) -> AsyncGenerator[Event, None]:
            nonlocal running
            running += 1
            try:
                await asyncio.Event().wait()
                yield ReplyFinished(finish_reason="stop")
            finally:
                running -= 1

    address = address_in(tmp_path)
    async with running_resident(Silent(), address), client_of(address) as client, client_of(address) as other:
        asking = asyncio.create_task(chat(client, MODEL, "x"))
        await wait_until(lambda: running == 1)
        assert client._link is not None
        client._link._writer.transport.abort()  # as the kernel does for a killed process
        await wait_until(lambda: running == 0, what="the request is cancelled")
        assert [type(event) for event in await asking] == [RequestFailed]
        assert await other.find("echo") is not None


async def test_leaving_a_reply_cancels_it_in_the_resident(tmp_path: Path) -> None:
    async with (
        fake_engine(Paths.below(tmp_path / "spnl")) as engine,
        resident_and_client(engine, tmp_path) as client,
    ):
        async with aclosing(client.generate(fake_model(), prompt("tokens=100000 delay=0.05"))) as events:
            while not isinstance(await anext(events), ReplyChunk):
                pass
        await wait_until(lambda: engine.at_rest, what="the request is cancelled")


async def test_candidate_that_is_not_wanted_is_stopped(tmp_path: Path) -> None:
    dropped: set[int] = set()
    ends = {}
    async with (
        fake_engine(Paths.below(tmp_path / "spnl")) as engine,
        resident_and_client(engine, tmp_path) as client,
    ):
        request = prompt("tokens=100 delay=0.02", n=2, is_wanted=lambda number: number not in dropped)
        async with aclosing(client.generate(fake_model(), request)) as events:
            async for event in events:
                if isinstance(event, ReplyChunk) and event.tokens >= 3:
                    dropped |= {0, 1}
                if isinstance(event, ReplyFinished):
                    ends[event.candidate] = event.finish_reason
    assert ends == {0: "cancelled", 1: "cancelled"}


async def test_two_clients_take_turns_and_see_the_queue(tmp_path: Path) -> None:
    finished: list[str] = []
    gate = asyncio.Event()

    class Slow(BareBackend):
        async def generate(self, model: ModelHandle, request: Request) -> AsyncGenerator[Event, None]:
            assert isinstance(request, ChatRequest)
            await gate.wait()
            finished.append(request.messages[0].text)
            yield ReplyFinished(finish_reason="stop")

    queued = 0

    async def ask(client: Any, text: str) -> None:
        nonlocal queued
        counted = False
        async for event in client.generate(MODEL, prompt(text)):
            queued += isinstance(event, RequestQueued) and not counted
            counted = True

    async def until_queued(task: asyncio.Task[None], number: int) -> None:
        await wait_until(lambda: queued >= number and not task.done())

    address = address_in(tmp_path)
    async with (
        running_resident(Slow(), address, max_concurrent=1),
        client_of(address) as one,
        client_of(address) as two,
    ):
        many = []
        for number in range(4):
            many.append(asyncio.create_task(ask(one, f"one {number}")))
            await until_queued(many[number], number)
        single = asyncio.create_task(ask(two, "two"))
        await until_queued(single, 4)
        gate.set()
        await asyncio.gather(*many, single)
    assert finished[0] == "one 0"
    assert finished.index("two") <= 2
    assert [text for text in finished if text != "two"] == [f"one {number}" for number in range(4)]


def test_turns_rotate_over_clients_and_keep_each_ones_order() -> None:
    limit = 1
    turns = Turns(lambda: limit)
    places = [turns.take(client) for client in "aaabbc"]
    taken = [place.__enter__() for place in places]
    assert [turns.ahead(turn) for turn in taken[1:]] == [1, 4, 2, 5, 3]
    order = []
    while any(turn is not None for turn in taken):
        number = next(place for place, turn in enumerate(taken) if turn is not None and turn.admitted)
        order.append(number)
        taken[number] = None  # type: ignore[call-overload]  # it has had its turn
        places[number].__exit__(None, None, None)
    assert order == [0, 1, 3, 5, 2, 4]


def test_turn_that_is_given_up_while_waiting_leaves_no_gap() -> None:
    turns = Turns(lambda: 1)
    with turns.take("a") as first, turns.take("b"):
        with turns.take("c") as third:
            assert turns.ahead(third) == 2
        assert first.admitted
    with turns.take("d") as next_one:
        assert next_one.admitted


async def test_prefetch_reaches_the_engine_and_ends(tmp_path: Path) -> None:
    read: list[Prefetch] = []

    class Reader(EchoBackend):
        def prefetch(self, model: ModelHandle, prefetch: Prefetch) -> None:
            read.append(prefetch)
            prefetch.on_progress(1, 2)

    steps: list[tuple[int, int]] = []
    async with resident_and_client(Reader(), tmp_path) as client:
        await client.find("x")
        ahead = Prefetch([Message("user", "x")], GREEDY, lambda done, total: steps.append((done, total)))
        client.prefetch(MODEL, ahead)
        await wait_until(lambda: steps == [(1, 2)])
        assert not ahead.ended.is_set()
        ahead.stop()
        await asyncio.wait_for(ahead.ended.wait(), 10)
        await wait_until(lambda: read[0].stopped.is_set())
    assert read[0].messages == ahead.messages


@pytest.mark.slow
async def test_resident_ends_when_it_has_no_client_for_a_while(tmp_path: Path) -> None:
    async with running_resident(EchoBackend(), address_in(tmp_path), keep_warm_s=0.2) as task:
        async with client_of(address_in(tmp_path)) as client:
            await client.find("x")
            await asyncio.sleep(1.2)
            assert not task.done()
        await wait_until(task.done, what="the resident ends")
    assert not address_in(tmp_path).socket.exists()


async def test_client_that_breaks_the_protocol_is_dropped_alone(tmp_path: Path) -> None:
    address = address_in(tmp_path)
    ask = {"type": "Find", "id": 1, "reference": "x"}
    async with running_resident(EchoBackend(), address), client_of(address) as client:
        await client.find("echo")
        for line in (
            b"no JSON\n",
            b'{"type": "Find"}\n',
            json.dumps(ask).encode() + b"\n",
            b"x" * 300_000 + b"\n",
        ):
            reader, writer = await asyncio.open_unix_connection(str(address.socket))
            writer.write(line)
            assert await asyncio.wait_for(reader.read(), 10) == b""
            writer.close()
        assert await client.find("echo") is not None


async def test_socket_is_private_and_a_stale_one_is_replaced(tmp_path: Path) -> None:
    address = address_in(tmp_path)
    address.socket.parent.mkdir(mode=0o755)
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(address.socket))
    async with running_resident(EchoBackend(), address), client_of(address) as client:
        await wait_until(lambda: stat.S_IMODE(address.socket.stat().st_mode) == 0o600)
        assert stat.S_IMODE(address.socket.parent.stat().st_mode) == 0o700
        assert await client.find("echo") is not None
        with pytest.raises(AlreadyRunning):
            await Resident(EchoBackend(), address, keep_warm_s=1, max_concurrent=1).run()
        assert await client.find("echo") is not None


def test_runtime_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SpnlError, match=r"file/run cannot be created: Not a directory"):
        ResidentAddress(tmp_path / "file" / "run" / "engine.sock", "").make_directory()


async def test_long_runtime_directory_still_has_a_socket(tmp_path: Path) -> None:
    address = address_in(tmp_path / ("long" * 30))
    assert len(os.fsencode(address.socket)) <= 100
    async with running_resident(EchoBackend(), address), client_of(address) as client:
        assert await client.find("echo") is not None


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_process_of_another_user_is_recognized() -> None:
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listening:
        os.chmod(folder, 0o755)
        place = f"{folder}/s"
        listening.bind(place)
        os.chmod(place, 0o777)
        listening.listen()
        code = (
            "import os, socket, sys; os.setuid(int(sys.argv[1])); s = socket.socket(socket.AF_UNIX); "
            f"s.connect({place!r}); sys.stdin.read()"
        )
        for user, own in ((65534, False), (0, True)):
            child = subprocess.Popen([sys.executable, "-c", code, str(user)], stdin=subprocess.PIPE)
            connection, _ = listening.accept()
            with connection, child:
                assert peer_uid(connection) == user
                assert is_own_peer(connection) is own
