"""`spnl-chat run PROMPT`: one prompt, its reply, and figures."""

from __future__ import annotations

import base64
import dataclasses
import json
import sys
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spnl_tui.conversations.attachments import attach, join, mentioned_files
from spnl_tui.engine.backend import (
    CallProgressed,
    ChatRequest,
    CompletionRequest,
    Event,
    LoadProgressed,
    ModelHandle,
    PrefillProgressed,
    ReplyChunk,
    ReplyFinished,
    RequestQueued,
    Usage,
)
from spnl_tui.engine.reply import Generator, Replies, Reply
from spnl_tui.errors import ClipboardError, CommandError, RequestError
from spnl_tui.headless.output import FAILED, OK, Transient, colour, for_output, print_json, show_error
from spnl_tui.models.parts import ImagePart, as_content, as_text
from spnl_tui.models.request import Grammar, Message, Sampling
from spnl_tui.text import first_line, plain
from spnl_tui.text_files import UnreadableFileError, read_text_file

if TYPE_CHECKING:
    from spnl_tui.media.media_reader import MediaReader

MAX_GRAMMAR_BYTES = 4_000_000
"""Limit on the file of `--schema` and `--lark`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """The arguments of `spnl-chat run`."""

    prompt: str
    images: tuple[ImagePart, ...] = ()
    system: str = ""
    sampling: Sampling = field(default_factory=Sampling)
    n: int = 1
    completion: bool = False
    """Continue the prompt, without a chat template."""
    grammar: Grammar | None = None
    thinking: bool | None = None
    stream: bool = True
    json: bool = False
    time: bool = False
    copy: bool = False
    """Copy the reply to the clipboard, too."""

    def chat_request(self) -> ChatRequest:
        """Return the request for a chat."""
        system = [Message("system", self.system)] if self.system else []
        return ChatRequest(
            messages=(*system, Message("user", (*self.images, *as_content(self.prompt)))),
            sampling=self.sampling,
            n=self.n,
            thinking=self.thinking,
            grammar=self.grammar,
        )

    def completion_request(self) -> CompletionRequest:
        """Return the request to continue the prompt n times."""
        return CompletionRequest(inputs=(self.prompt,) * self.n, sampling=self.sampling, grammar=self.grammar)


def read_images(media: MediaReader, files: Sequence[Path], piped: bytes | None) -> tuple[ImagePart, ...]:
    """Store the images of a prompt and return their parts. Blocks.

    Raises:
        AttachmentError: one cannot be read.
    """
    images = [media.image(file.expanduser(), str(file)) for file in files]
    if piped is not None:
        images.append(media.images.add(piped, "standard input"))
    return tuple(images)


def read_attached(media: MediaReader, paths: Sequence[str], prompt: str) -> str:
    """Return the prompt below the text of these files, and after their images. Blocks.

    Raises:
        AttachmentError: one cannot be read.
    """
    return join(prompt, attach(paths, Path.cwd(), media))


def hint_at_mention(prompt: str, attached: Sequence[str]) -> None:
    """Note on standard error that a mentioned file is not attached. Scripts often pass foreign text."""
    files = (path for path in mentioned_files(prompt, Path.cwd()) if path not in attached)
    if (path := next(files, None)) is not None:
        words = f"Note: @{path} is sent as text. Use --attach {path} to send the file."
        print(plain(words), file=sys.stderr)


async def ask(engine: Generator, model: ModelHandle, request: Request) -> int:
    """Print the reply, or n of them, and return the exit code: 1 also for a reply without text.

    `engine` may be an agent, which runs calls of tools.
    """
    asked = request.completion_request() if request.completion else request.chat_request()
    replies = Replies(engine, model, asked)
    printer = _Printer(request)
    try:
        async with aclosing(replies.events()) as events:
            async for event in events:
                printer.progress(event)
                if isinstance(event, ReplyChunk):
                    printer.chunk(event)
                elif isinstance(event, ReplyFinished):
                    printer.finished(event, replies[event.candidate])
    finally:
        printer.end()
    for failure in dict.fromkeys(reply.failure for reply in replies):
        if failure is not None:
            show_error(RequestError(failure.title, failure.message, failure.hint))
    done = [reply for reply in replies if reply.failure is None]
    complete = len(done) == request.n
    problems = [reply.problem(asked) for reply in replies]
    if request.json and complete:
        print_json(_document(model, done, _runs_tools(engine)))
    if request.copy and complete:
        await _copy("\n\n".join(reply.text for reply in done))
    if request.time:
        _show_times(done)
    for number, problem in enumerate(problems, 1):
        if problem is not None:
            title = f"Reply {number}: {problem.title}" if request.n > 1 else problem.title
            show_error(RequestError(title, problem.message, problem.hint))
    return OK if complete and not any(problems) else FAILED


def named_prompt(name: str, argument: str | None, piped: str | None) -> str:
    """Return the user's own prompt of this name, with what was typed and piped as its input.

    Raises:
        CommandError: there is no such prompt, or an argument is missing.
    """
    from spnl_tui.conversations.personal_prompts import PersonalPrompts
    from spnl_tui.paths import Paths
    from spnl_tui.settings.nearest import did_you_mean

    prompts = PersonalPrompts(Paths.for_user().config / "prompts", Path("prompts"))
    if (found := prompts.all().get(name.lower())) is None:
        known = sorted(prompts.all())
        raise CommandError(
            "No such prompt",
            f"There is no {name}.md in prompts/ of the configuration or of this directory.",
            did_you_mean(name, known) or (f"There are {', '.join(known[:8])}." if known else ""),
        )
    return found.fill("\n\n".join(part.strip("\n") for part in (argument, piped) if part))


async def _copy(text: str) -> None:
    """Copy by a program of this machine, else by the terminal (OSC 52)."""
    from spnl_tui.ui.chat.clipboard import set_clipboard

    if await set_clipboard(text):
        return
    if sys.stderr.isatty():
        encoded = base64.b64encode(text.encode()).decode()
        print(f"\x1b]52;c;{encoded}\a", end="", file=sys.stderr, flush=True)
        return
    raise ClipboardError("The reply cannot be copied", "No program sets the clipboard here, and no terminal.")


def read_grammar(schema: Path | None, regex: str | None, lark: Path | None) -> Grammar | None:
    """Return the form that the reply must have. At most one of the three is given.

    Raises:
        RequestError: a file cannot be read, or the schema is not a JSON object.
    """
    if regex is not None:
        return Grammar("regex", regex)
    if lark is not None:
        return Grammar("lark", _text_of(lark))
    if schema is None:
        return None
    text = _text_of(schema)
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        reason = (
            "it is nested too deeply" if isinstance(error, RecursionError) else first_line(str(error), 200)
        )
        raise RequestError(
            "The schema is not valid JSON", f"{schema}: {reason}.", "Correct the file."
        ) from error
    if not isinstance(value, dict):
        raise RequestError(
            "Not a JSON schema", f"{schema} does not hold an object.", 'A schema looks like {"type": …}.'
        )
    return Grammar("json_schema", text)


def _text_of(file: Path) -> str:
    try:
        return read_text_file(file, MAX_GRAMMAR_BYTES, pipes=True)
    except UnreadableFileError as error:
        raise RequestError("Cannot read the file", f"{file}: {error}.", "Check the path.") from error


def read_prompt(argument: str | None, piped: str | None) -> str:
    """Return the prompt: the piped text, and below it the typed one.

    In this order several questions about one text begin alike, so that a model in memory reads it once.

    Raises:
        RequestError: there is neither.
    """
    parts = [part for part in (piped.rstrip("\n") if piped else None, argument) if part and part.strip()]
    if not parts:
        raise RequestError("There is no prompt", "", 'Give one: spnl-chat run "Why is the sky blue?"')
    return "\n\n".join(parts)


class _Printer:
    """Shows a reply as it comes: its text on standard output, the rest on a terminal's standard error."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._status = Transient()
        self._candidate: int | None = None
        self._open_line = False
        self._thinking = False

    def progress(self, event: Event) -> None:
        match event:
            case RequestQueued(ahead=ahead):
                self._status.show(f"waiting for {ahead} other request{'s' if ahead > 1 else ''}…")
            case LoadProgressed(stage=stage):
                self._status.show(f"loading: {stage}…")
            case PrefillProgressed(done=done, total=total) if total > 500:
                self._status.show(f"reading the prompt: {done:,} of {total:,} tokens…")
            case CallProgressed():
                self._call(event)

    def _call(self, event: CallProgressed) -> None:
        """Show a call on standard error: while it runs if that is a terminal, and once it has ended."""
        name, summary = plain(event.call.name), first_line(plain(event.summary), 200)
        if event.result is None:
            self._status.show(f"{name} {summary} ({event.state})…")
            return
        self._status.clear()
        self._close_line()
        problem = first_line(plain(as_text(event.result.content)), 200) if event.result.error else ""
        parts = [f"{name} {summary}".strip(), event.state, f"{event.seconds:.1f} s"]
        print(" · ".join([*parts, *filter(None, [problem])]), file=sys.stderr, flush=True)

    def chunk(self, event: ReplyChunk) -> None:
        if self._request.json:
            return
        if event.reasoning and colour(sys.stderr):
            self._status.clear()
            self._thinking = True
            sys.stderr.write(f"\x1b[2m{plain(event.reasoning)}\x1b[0m")
            sys.stderr.flush()
        if event.text and self._request.stream:
            self._write(event.candidate, event.text)

    def finished(self, event: ReplyFinished, reply: Reply) -> None:
        if not self._request.json and not self._request.stream:
            self._write(event.candidate, reply.text)
        if self._request.n > 1:
            self._close_line()

    def end(self) -> None:
        self._status.clear()
        self._close_line()

    def _write(self, candidate: int, text: str) -> None:
        self._status.clear()
        if self._thinking:
            sys.stderr.write("\n\n")
            self._thinking = False
        if self._request.n > 1 and candidate != self._candidate:
            sys.stdout.write(f"{'' if self._candidate is None else chr(10)}── {candidate + 1} ──\n")
            self._candidate = candidate
        sys.stdout.write(for_output(text))
        sys.stdout.flush()
        self._open_line = not text.endswith("\n")

    def _close_line(self) -> None:
        if self._open_line:
            sys.stdout.write("\n")
            sys.stdout.flush()
            self._open_line = False


def _document(model: ModelHandle, replies: Sequence[Reply], with_calls: bool) -> dict[str, Any]:
    values = [_plain(reply, with_calls) for reply in replies]
    return {"model": model.name, **(values[0] if len(values) == 1 else {"replies": values})}


def _runs_tools(engine: Generator) -> bool:
    # An agent can only be here if its module is imported, and importing it takes time.
    agent = sys.modules.get("spnl_tui.tools.agent")
    return agent is not None and isinstance(engine, agent.Agent)


def _plain(reply: Reply, with_calls: bool) -> dict[str, Any]:
    """Return the reply as `--json` prints it, with its calls if tools were offered."""
    finished = [step for step in reply.calls.values() if step.result is not None]
    calls = []
    if finished:
        from spnl_tui.tools.agent import call_as_dict

        calls = [call_as_dict(step) for step in finished]
    return {
        "reply": reply.text,
        "reasoning": reply.reasoning,
        "finish_reason": reply.finish_reason,
        "usage": dataclasses.asdict(reply.usage or Usage()),
        "timing": {
            name: None if value is None else round(value, 6)
            for name, value in dataclasses.asdict(reply.timing).items()
        },
        **({"calls": calls} if calls or with_calls else {}),
    }


def _show_times(replies: Sequence[Reply]) -> None:
    for reply in replies:
        timing, usage = reply.timing, reply.usage or Usage()
        figures = (
            ("load", timing.load_s, 1, "s"),
            ("queue", timing.queue_s, 1, "s"),
            ("prefill", timing.prefill_s, 1, "s"),
            ("TTFT", timing.ttft_s, 1, "s"),
            ("ITL", timing.itl_s, 1000, "ms"),
            ("decode", timing.decode_tokens_per_s, 1, "tokens/s"),
        )
        parts = [
            f"{name} {value * scale:.2f} {unit}" for name, value, scale, unit in figures if value is not None
        ]
        parts.append(f"{usage.prompt_tokens} + {usage.completion_tokens} tokens")
        print(" · ".join(parts), file=sys.stderr)
