"""The child program: one loaded mistral.rs pipeline, controlled by JSON lines.

    python -m spnl_tui.engine.mistralrs.runner.program PARENT_PID

It reads commands from standard input and writes events to standard output. Everything that mistral.rs prints
goes to standard error, which the parent keeps in its log. One thread reads commands, so that a Cancel
arrives while the engine works; each request has its own thread. Closing standard input ends the process at
once, and so does SIGTERM: there is no state to save.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spnl_tui.engine.backend import (
    FinishReason,
    LoadProgressed,
    ModelLoaded,
    PrefillProgressed,
    ReplyFinished,
    RequestFailed,
)
from spnl_tui.engine.mistralrs import wire
from spnl_tui.engine.mistralrs.cache.cache_reuse import as_read
from spnl_tui.engine.mistralrs.cache.prefill import PrefixMemory, prefill_steps, tokens_of
from spnl_tui.engine.mistralrs.failures import (
    NoChatTemplate,
    PromptTooLong,
    is_too_long,
    load_failure,
    request_failure,
)
from spnl_tui.engine.mistralrs.runner.completion import continue_in_one_piece
from spnl_tui.engine.mistralrs.runner.event_writer import EventWriter
from spnl_tui.engine.mistralrs.runner.images import PromptImages
from spnl_tui.engine.mistralrs.runner.parent_death import die_with_parent
from spnl_tui.engine.mistralrs.runner.pipeline import MODEL, make_pipeline, sampling_arguments
from spnl_tui.engine.mistralrs.runner.prompts import PromptWriter
from spnl_tui.engine.mistralrs.runner.reply_stream import follow
from spnl_tui.engine.mistralrs.runner.requests import EngineRequest, chat_request, completion_request
from spnl_tui.engine.mistralrs.runner.windows import apart_from_cache, outgrows
from spnl_tui.models.files.vocabulary import read_special_tokens
from spnl_tui.models.prompts.chat_prompt import TemplateError
from spnl_tui.models.request import Message, Sampling
from spnl_tui.models.tools import Tool

if TYPE_CHECKING:
    import mistralrs


class Runner:
    """Serves requests on one loaded pipeline."""

    def __init__(self, out: EventWriter) -> None:
        self._out = out
        self._pipeline: mistralrs.Runner | None = None
        # A pipeline raises "Already borrowed" if two threads use it at once. Reading a stream needs no lock.
        self._pipeline_lock = threading.Lock()
        self._cancelled: set[int] = set()
        """The ids of cancelled requests."""
        self._prompts: PromptWriter | None = None
        """None if the model has no chat template and can only continue texts."""
        self._template_error: TemplateError | None = None
        self._stop: tuple[str, ...] = ()
        self._stepped_prefill = True
        self._window: int | None = None
        self._context_limit: int | None = None
        self._template_tokens = 0
        self._prefixes = PrefixMemory()
        self._images = PromptImages()
        self._tools: tuple[Tool, ...] = ()
        """The tools of the last request. Different tools change the beginning of the prompt."""

    # ── commands ──────────────────────────────────────────────────────────────────────────────────

    def load(self, command: wire.Load) -> None:
        """Load the model, then advance its random numbers. Holds the GIL during the load."""
        started = time.monotonic()
        self._out.send(command.id, LoadProgressed(stage="reading the weights"))
        try:
            self._images = PromptImages.of(command.base, command.images)
            self._read_template(command)
            self._pipeline = make_pipeline(command, self._ends())
        except BaseException as error:  # a panic in Rust is not an Exception
            self._fail(command.id, load_failure(error), error)
            return
        self._stop = command.stop
        self._window = command.window
        self._context_limit = command.context_limit
        # With paged attention, blocks are shared and prefill is fast, so steps would only cost time.
        self._stepped_prefill = command.device in ("auto", "cpu") and command.prefix_cache > 0
        template_tokens = None
        if command.discard:
            self._out.send(command.id, LoadProgressed(stage="warming up"))
            template_tokens = self._discard(command.discard)
            self._template_tokens = 0 if self._prompts is None else template_tokens or 0
        self._out.send(
            command.id,
            ModelLoaded(
                seconds=time.monotonic() - started,
                context_length=self._pipeline.max_sequence_length(),
                template_tokens=template_tokens,
            ),
        )

    def chat(self, command: wire.Chat) -> None:
        """Stream the reply to a conversation."""
        try:
            self._reply(command, command.messages)
        except BaseException as error:
            self._fail_request(command.id, error, command.messages)
        finally:
            self._cancelled.discard(command.id)

    def complete(self, command: wire.Complete) -> None:
        """Continue the text, streaming only if the model has no chat template."""
        messages = (Message("user", command.prompt),)
        try:
            if self._prompts is None:
                self._reply(command, messages)
                return
            sampling = self._within_context(self._count(command.prompt), command.sampling)
            with self._pipeline_lock:
                chunk, finished = continue_in_one_piece(self._loaded(), command, sampling)
            self._out.send(command.id, chunk)
            self._out.send(command.id, finished)
        except BaseException as error:
            self._fail_request(command.id, error, messages)
        finally:
            self._cancelled.discard(command.id)

    def read_ahead(self, command: wire.ReadAhead) -> None:
        """Read the messages into the prefix cache in the form in which the next request will send them."""
        try:
            counts = self._counts(command.messages, command.tools)
            self._within_context(sum(counts) + self._template_tokens, command.sampling)
            sent = self._as_sent(command.messages, command.sampling)
            end: FinishReason = "stop"
            for _ in self._prefill(command.id, sent, counts, command.prefill_room, command.tools):
                if command.id in self._cancelled:
                    end = "cancelled"
                    break
            else:
                self._read(sent, command.tools)
            self._out.send(command.id, ReplyFinished(finish_reason=end))
        except BaseException as error:
            self._fail_request(command.id, error, command.messages)
        finally:
            self._cancelled.discard(command.id)

    def tokenize(self, command: wire.Tokenize) -> None:
        """Count tokens. Takes only milliseconds, even while a reply streams."""
        try:
            self._out.send(
                command.id,
                wire.Tokenized(counts=tuple(self._count(self._as_text(text)) for text in command.texts)),
            )
        except BaseException as error:
            self._fail(command.id, request_failure(error), error)

    def cancel(self, command: wire.Cancel) -> None:
        """Mark the request as cancelled; its thread checks before each chunk and prefill step."""
        self._cancelled.add(command.target)

    # ── the one streaming path ────────────────────────────────────────────────────────────────────

    def _reply(self, command: wire.Chat | wire.Complete, messages: tuple[Message, ...]) -> None:
        started = time.monotonic()
        resumed = isinstance(command, wire.Chat) and command.continue_reply and not command.begun_thought
        tools = command.tools if isinstance(command, wire.Chat) else ()
        counts = self._counts(messages, tools)
        # Check before the prefill; the engine would report a long prompt only after its last step.
        sampling = self._within_context(sum(counts) + self._template_tokens, command.sampling)
        if self._stepped_prefill and outgrows(counts, self._window):
            sent = apart_from_cache(messages, counts, self._window)
        else:
            sent = messages if resumed else self._as_sent(messages, command.sampling)
        request = self._request(replace(command, sampling=sampling), sent)
        for _ in self._prefill(command.id, sent, counts, command.prefill_room, tools):
            if command.id in self._cancelled:
                self._out.send(command.id, ReplyFinished(finish_reason="cancelled"))
                return
        finished, text = follow(
            lambda: self._stream(request),
            lambda chunk: self._out.send(command.id, chunk),
            lambda: command.id in self._cancelled,
            started=started,
            stop=(*command.sampling.stop, *(self._stop if command.grammar is None else ())),
            ends=request.ends,
            begun=request.begun,
            splitter=request.splitter,
            calls=request.calls,
            count_prompt=lambda: self._count(request.prompt),
        )
        if finished.finish_reason != "cancelled":
            said = messages[-1].model_text if resumed else ""
            reply = Message("assistant", said + text)
            count = len(messages) - resumed
            self._prefixes.remember((*sent[:count], reply), (*messages[:count], reply))
        self._out.send(command.id, finished)

    def _within_context(self, tokens: int, sampling: Sampling) -> Sampling:
        """Return the sampling for a prompt of this many tokens, with max_tokens cut to the free context.

        Raises:
            PromptTooLong: the context has no room for a reply.
        """
        limit = self._limit()
        if limit is None:
            return sampling
        if tokens >= limit:
            raise PromptTooLong(tokens, limit, chosen=limit == self._context_limit)
        return replace(sampling, max_tokens=min(sampling.max_tokens, limit - tokens))

    def _limit(self) -> int | None:
        limits = (self._context_limit, self._loaded().max_sequence_length())
        return min((limit for limit in limits if limit is not None), default=None)

    def _request(self, command: wire.Chat | wire.Complete, messages: tuple[Message, ...]) -> EngineRequest:
        """Return the engine's request for these messages, which also says how to read the reply."""
        if isinstance(command, wire.Complete):
            return completion_request(command)
        if self._prompts is None:
            raise self._template_error or NoChatTemplate
        return chat_request(self._prompts, command, messages, self._count)

    def _read_template(self, command: wire.Load) -> None:
        if command.chat_template in (None, wire.RAW_TEMPLATE):
            return
        tokens = read_special_tokens(Path(command.directory), command.files)
        try:
            self._prompts = PromptWriter(
                command.chat_template or "",
                tokens,
                obey_control_words=command.obey_control_words,
                image_words=self._images.words,
            )
        except TemplateError as error:
            # The model can still continue texts.
            self._template_error = error

    def _ends(self) -> tuple[int, ...]:
        """Return the ids of the tokens that end a reply."""
        return () if self._prompts is None else self._prompts.end_tokens

    def _as_text(self, content: str) -> str:
        return as_read(content) if self._prompts is None else self._prompts.as_text(content)

    def _as_sent(self, messages: tuple[Message, ...], sampling: Sampling) -> tuple[Message, ...]:
        """Return the messages in the form that reuses the prefix cache; unchanged if the reply must be
        reproducible."""
        repeats = sampling.temperature == 0 or sampling.seed is not None
        if repeats or self._prompts is None or not self._stepped_prefill:
            return messages
        return self._prefixes.as_sent(messages)

    def _prefill(
        self,
        request_id: int,
        messages: tuple[Message, ...],
        counts: Sequence[int],
        room: int | None,
        tools: tuple[Tool, ...],
    ) -> Iterator[None]:
        """Read a long prompt into the prefix cache in steps. The caller can stop it at each yield.

        A prefill cannot be interrupted and does not report progress. Growing prefixes of the prompt, each
        with one token of reply, allow both and cost about the same.
        """
        total = sum(counts)
        in_steps = self._stepped_prefill and not outgrows(counts, self._window)
        known = self._prefixes.known(messages) if in_steps else 0
        done = tokens_of(messages, counts, known)
        self._out.send(request_id, PrefillProgressed(done=done, total=total))
        if in_steps:
            for done, prefix in prefill_steps(messages, counts, known, room=room):
                yield
                self._read(prefix, tools)
                self._out.send(request_id, PrefillProgressed(done=done, total=total))
        yield

    def _read(self, messages: tuple[Message, ...], tools: tuple[Tool, ...]) -> None:
        """Read these messages, unchanged, into the prefix cache."""
        prompt = (
            messages[0].model_text if self._prompts is None else self._prompts.write(messages, tools=tools)
        )
        for _ in self._stream(EngineRequest(prompt, Sampling(temperature=0.0, max_tokens=1))):
            pass
        self._prefixes.remember(messages)

    def _stream(self, request: EngineRequest, *, ignore_eos: bool = False) -> Iterator[Any]:
        import mistralrs

        def send(messages: list[Any]) -> Iterator[Any]:
            sent = mistralrs.ChatCompletionRequest(
                messages=messages,
                model=MODEL,
                stream=True,
                ignore_eos=ignore_eos,
                **sampling_arguments(request.sampling),
                **request.grammar,
            )
            with self._pipeline_lock:
                return self._loaded().send_chat_completion_request(sent)  # type: ignore[return-value]  # a stream

        return self._images.stream(request.prompt, send)

    def _discard(self, tokens: int) -> int | None:
        """Draw this many tokens. Return how many tokens the chat template adds to a prompt; None if
        unknown."""
        content, usage = "Hi", None
        prompt = content if self._prompts is None else self._prompts.write((Message("user", content),))
        # Each token is one random draw, so the reply must not end early.
        request = EngineRequest(prompt, Sampling(temperature=1.0, max_tokens=tokens))
        for chunk in self._stream(request, ignore_eos=True):
            usage = chunk.usage or usage
        return None if usage is None else usage.prompt_tokens - self._count(content)

    def _counts(self, messages: Sequence[Message], tools: tuple[Tool, ...]) -> list[int]:
        """Return the token count of each message; the first includes the tools, which stand before it."""
        if tools != self._tools:  # no cached prompt matches other tools
            self._tools, self._prefixes = tools, PrefixMemory()
        counts = [self._count(self._as_text(message.model_text)) for message in messages]
        if tools and counts:
            counts[0] += self._count(json.dumps([tool.as_function() for tool in tools], ensure_ascii=False))
        return counts

    def _count(self, text: str) -> int:
        """Return the tokens of a text with image marks."""
        return self._images.count(text, self._count_text)

    def _count_text(self, text: str) -> int:
        pipeline = self._loaded()
        with self._pipeline_lock:
            return len(pipeline.tokenize_text(text, False, None))

    def _loaded(self) -> mistralrs.Runner:
        if self._pipeline is None:
            raise RuntimeError("no model is loaded")
        return self._pipeline

    def _fail(self, command_id: int, failure: RequestFailed, error: BaseException) -> None:
        print(f"{failure.title}: {error!r}", file=sys.stderr, flush=True)
        self._out.send(command_id, failure)

    def _fail_request(self, request_id: int, error: BaseException, messages: tuple[Message, ...]) -> None:
        if is_too_long(error):
            # The prompt fitted without the template's tokens. The engine does not report its length.
            tokens = sum(self._count(message.model_text) for message in messages)
            error = PromptTooLong(tokens, self._limit() or 0)
        self._fail(request_id, request_failure(error), error)


def main() -> None:
    """Serve commands until standard input closes."""
    die_with_parent(int(sys.argv[1]))
    # Ctrl-C in the terminal reaches the whole process group; the parent decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Only the wire uses the real standard output; everything that mistral.rs prints goes to stderr.
    out = EventWriter(os.dup(1))
    os.dup2(2, 1)
    import mistralrs  # noqa: F401  # 55 ms, and it reads RUST_LOG: only now may it log

    out.send(0, wire.RunnerStarted(pid=os.getpid(), engine_version=version("mistralrs")))
    runner = Runner(out)
    for line in sys.stdin.buffer:
        command = wire.decode_command(line)
        match command:
            case wire.Load():
                # Load on this thread: nothing else can run during a load anyway.
                runner.load(command)
            case wire.Chat():
                threading.Thread(target=runner.chat, args=(command,), daemon=True).start()
            case wire.Complete():
                threading.Thread(target=runner.complete, args=(command,), daemon=True).start()
            case wire.ReadAhead():
                threading.Thread(target=runner.read_ahead, args=(command,), daemon=True).start()
            case wire.Tokenize():
                runner.tokenize(command)
            case wire.Cancel():
                runner.cancel(command)
    # Skip the interpreter's clean-up, which would wait for the engine's threads.
    os._exit(0)


if __name__ == "__main__":
    main()
