"""Serves one client of the resident engine, running each of its commands in a task."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING

from spnl_tui.engine.backend import (
    Backend,
    ChatRequest,
    CompletionRequest,
    LoadProgressed,
    ModelHandle,
    ModelLoaded,
    PrefillProgressed,
    Request,
    RequestFailed,
    RequestQueued,
)
from spnl_tui.engine.backend import Event as EngineEvent
from spnl_tui.engine.json_lines import ProtocolError, encode
from spnl_tui.engine.prefetch import Prefetch
from spnl_tui.engine.resident import wire
from spnl_tui.engine.resident.turns import Turns
from spnl_tui.errors import SpnlError

if TYPE_CHECKING:
    from collections.abc import Coroutine

_log = logging.getLogger(__name__)
_SEND_TIMEOUT_S = 30.0
"""Seconds before a client that reads nothing is dropped, because its request delays others."""


class Connection:
    """Serves one client until it disconnects, then cancels its commands."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        engine: Backend,
        turns: Turns,
        identity: str,
        pid: int,
        report: Callable[[], wire.Status],
        stop: Callable[[], None],
        state: Callable[[], wire.State],
    ) -> None:
        """`report`, `stop` and `state` answer the client's questions about the resident engine, whose process
        id is `pid`."""
        self._reader, self._writer = reader, writer
        self._engine, self._turns = engine, turns
        self._identity, self._pid = identity, pid
        self._report, self._stop, self._state = report, stop, state
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._dropped: dict[int, set[int]] = {}
        """Candidates that are no longer wanted, by command id."""
        self._hello: wire.Hello | None = None
        self._requests = 0
        self._sent_state: wire.State | None = None
        self.models: dict[ModelHandle, None] = {}
        """The models that the client has used."""

    @property
    def client(self) -> wire.Client | None:
        """The client's introduction; None before it, and if the client may only report."""
        if (hello := self._hello) is None or hello.identity != self._identity:
            return None
        names = tuple(model.name for model in self.models)
        return wire.Client(program=hello.program, pid=hello.pid, requests=self._requests, models=names)

    async def serve(self) -> None:
        """Answer commands until the client disconnects or violates the protocol."""
        try:
            async for line in self._reader:
                self._begin(wire.decode_command(line))
        except (ProtocolError, ValueError, ConnectionError) as error:  # ValueError: the line is too long
            _log.warning("a client was dropped: %s", error)
        finally:
            tasks = list(self._tasks.values())
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks)
            self._writer.transport.abort()

    def drop(self) -> None:
        """Close the connection and cancel the client's commands."""
        self._writer.transport.abort()

    async def push_state(self) -> None:
        """Send the state if the client watches it and it has changed."""
        if self._hello is None or not self._hello.watch or self.client is None:
            return
        state = self._state()
        if state != self._sent_state:
            self._sent_state = state
            await self._send(0, state)

    def _begin(self, command: wire.Command) -> None:
        match command:
            case wire.Cancel(target=target):
                if (task := self._tasks.get(target)) is not None:
                    task.cancel()
            case wire.Drop(target=target, candidate=candidate):
                if target in self._tasks:
                    self._dropped.setdefault(target, set()).add(candidate)
            case wire.Hello() if self._hello is None:
                self._hello = command
                self._start(command.id, self._welcome(command.id))
            case wire.Report():
                self._start(command.id, self._answer(command.id, self._report()))
            case wire.Stop():
                self._stop()
            case _ if self.client is None:
                raise ProtocolError("the client has another identity, and asked for a model")
            case _:
                self._start(command.id, self._do(command))

    def _start(self, command_id: int, work: Coroutine[None, None, None]) -> None:
        async def run() -> None:
            try:
                await work
            except SpnlError as error:
                failed = wire.Failed(
                    error=type(error).__name__, title=error.title, message=error.message, hint=error.hint
                )
                await self._send(command_id, failed)
            except asyncio.CancelledError:
                # A client that cancels a command waits for Done.
                self._writer.write(encode(wire.Done(), command_id))
                raise
            except ConnectionError:
                pass  # `serve` ends as well
            except Exception:
                _log.exception("a command failed")
                self.drop()
            else:
                await self._send(command_id, wire.Done())

        task = asyncio.create_task(run())
        self._tasks[command_id] = task
        task.add_done_callback(lambda _: self._end(command_id))

    def _end(self, command_id: int) -> None:
        self._tasks.pop(command_id, None)
        self._dropped.pop(command_id, None)

    async def _welcome(self, command_id: int) -> None:
        await self._send(command_id, wire.Welcome(identity=self._identity, pid=self._pid))
        await self.push_state()

    async def _answer(self, command_id: int, event: wire.Event) -> None:
        await self._send(command_id, event)

    async def _do(self, command: wire.Command) -> None:
        match command:
            case wire.Find(reference=reference):
                await self._send(command.id, wire.Found(model=await self._engine.find(reference)))
            case wire.Chat() | wire.Complete():
                await self._generate(command)
            case wire.LoadModel(model=model):
                self.models[model] = None
                await self._pass_on(command.id, self._engine.load(model))
            case wire.ReadAhead():
                await self._read_ahead(command)
            case wire.Tokenize(model=model, texts=texts):
                counts = await self._engine.count_tokens(model, texts)
                await self._send(command.id, wire.Tokenized(counts=counts))
            case wire.Unload(model=model):
                await self._engine.unload(model)
                await self.push_state()

    async def _generate(self, command: wire.Chat | wire.Complete) -> None:
        self.models[command.model] = None
        self._requests += 1
        try:
            with self._turns.take(self) as turn:
                while not turn.admitted:
                    turn.moved.clear()
                    await self._send(command.id, RequestQueued(ahead=self._turns.ahead(turn)))
                    await turn.moved.wait()
                await self._pass_on(command.id, self._engine.generate(command.model, self._request(command)))
        finally:
            self._requests -= 1

    def _request(self, command: wire.Chat | wire.Complete) -> Request:
        if isinstance(command, wire.Complete):
            return CompletionRequest(
                inputs=command.inputs, sampling=command.sampling, grammar=command.grammar
            )
        dropped = self._dropped.setdefault(command.id, set())
        return ChatRequest(
            messages=command.messages,
            sampling=command.sampling,
            n=command.n,
            thinking=command.thinking,
            grammar=command.grammar,
            tools=command.tools,
            tool_choice=command.tool_choice,
            continue_reply=command.continue_reply,
            begun_thought=command.begun_thought,
            ephemeral=command.ephemeral,
            is_wanted=lambda candidate: candidate not in dropped,
        )

    async def _pass_on(self, command_id: int, events: AsyncGenerator[EngineEvent, None]) -> None:
        async with aclosing(events):
            async for event in events:
                if isinstance(event, ModelLoaded | RequestFailed | LoadProgressed):
                    # Clients read the state when they receive these events.
                    await self.push_state()
                await self._send(command_id, event)
        await self.push_state()

    async def _read_ahead(self, command: wire.ReadAhead) -> None:
        """Let the engine read the messages, and report each step until the prefetch ends or the client stops
        it."""
        steps: asyncio.Queue[tuple[int, int] | None] = asyncio.Queue()
        prefetch = Prefetch(
            command.messages,
            command.sampling,
            lambda done, total: steps.put_nowait((done, total)),
            command.tools,
        )
        self._engine.prefetch(command.model, prefetch)

        async def end() -> None:
            await prefetch.ended.wait()
            steps.put_nowait(None)

        ending = asyncio.create_task(end())
        try:
            while (step := await steps.get()) is not None:
                await self._send(command.id, PrefillProgressed(done=step[0], total=step[1]))
        finally:
            prefetch.stop()
            ending.cancel()

    async def _send(self, command_id: int, event: wire.Event) -> None:
        self._writer.write(encode(event, command_id))
        try:
            async with asyncio.timeout(_SEND_TIMEOUT_S):
                await self._writer.drain()
        except TimeoutError as error:
            self.drop()
            raise ConnectionResetError("the client does not read") from error
