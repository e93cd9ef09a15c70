"""A runner without an engine: a real child process that speaks the real protocol. Standard library only.

Words in the last message control it:

    tokens=N      reply with N words (default 5)
    delay=S       S seconds between chunks (default 0)
    prefill=S     S seconds of prefill that cannot be cancelled, like the real one
    steps=N       N steps of 0.05 s before that, between which it can be cancelled
    die           exit silently after the third chunk
    garbage       write an invalid line after the third chunk
    fail          answer RequestFailed
    log=FILE      record when the request arrived and each chunk was sent (time.monotonic, a line each)
    grow          allocate 50 MB and keep it
    room          reply with the request's budget for keys and values
    say …         each word of the reply is the following text instead of "word-PID"

A model directory called "refused" cannot be loaded, "slow" takes 30 seconds, "dying" ends the process.
Replies name their process: "word-PID".

A prefetch gets no reply. If it is a conversation, its last message is a reply.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from functools import partial
from pathlib import Path

from spnl_tui.engine.backend import (
    LoadProgressed,
    ModelLoaded,
    PrefillProgressed,
    ReplyChunk,
    ReplyFinished,
    RequestFailed,
    Timing,
    Usage,
)
from spnl_tui.engine.mistralrs import wire

_out = threading.Lock()
_cancelled: set[int] = set()
_kept: list[bytes] = []


def send(command_id: int, event: wire.Event) -> None:
    with _out:
        os.write(1, wire.encode_event(command_id, event))


def load(command: wire.Load) -> None:
    kind = Path(command.directory).name
    send(command.id, LoadProgressed(stage="reading the weights"))
    if kind == "slow":
        time.sleep(30)
    if kind == "dying":
        os._exit(3)
    if kind == "refused":
        send(command.id, RequestFailed(kind="load", title="Refused", message="as asked", hint="do not"))
        return
    print(f"discard={command.discard}", file=sys.stderr, flush=True)
    send(command.id, ModelLoaded(seconds=0.01, context_length=4096))


def note(options: dict[str, str]) -> None:
    if "log" in options:
        with open(options["log"], "a") as log:
            log.write(f"{time.monotonic()}\n")


def reply(command_id: int, text: str, room: int | None = None, *, silent: bool = False) -> None:
    text, _, said = text.partition(" say ")
    options = dict(word.split("=") for word in text.split() if word.count("=") == 1)
    total = sum(map(len, text.split()))
    note(options)
    send(command_id, PrefillProgressed(done=0, total=total))
    for step in range(int(options.get("steps", 0))):
        time.sleep(0.05)
        if command_id in _cancelled:
            send(command_id, ReplyFinished(finish_reason="cancelled"))
            return
        send(command_id, PrefillProgressed(done=step + 1, total=total))
    time.sleep(float(options.get("prefill", 0)))
    if "grow" in text.split():
        _kept.append(b"x" * 50_000_000)
    if "fail" in text.split():
        send(command_id, RequestFailed(kind="request", title="Failed", message="as asked", hint=""))
        return
    if "room" in text.split():
        send(command_id, ReplyChunk(text=str(room), tokens=1))
    word = f"word-{os.getpid()}"
    count = 0 if silent or "room" in text.split() else int(options.get("tokens", 5))
    for number in range(count):
        if command_id in _cancelled:
            send(command_id, ReplyFinished(finish_reason="cancelled"))
            return
        if number == 3 and "die" in text.split():
            print("thread panicked: as asked", file=sys.stderr, flush=True)
            os._exit(4)
        if number == 3 and "garbage" in text.split():
            with _out:
                os.write(1, b"INFO this is not the protocol\n")
        send(command_id, ReplyChunk(text=f"{said or word} ", tokens=number + 1))
        note(options)
        time.sleep(float(options.get("delay", 0)))
    send(
        command_id,
        ReplyFinished(
            finish_reason="stop",
            usage=Usage(prompt_tokens=total, completion_tokens=count),
            timing=Timing(prefill_s=0.01, ttft_s=0.01, itl_s=0.01, decode_tokens_per_s=100.0),
        ),
    )


def main() -> None:
    send(0, wire.RunnerStarted(pid=os.getpid(), engine_version="fake"))
    for line in sys.stdin.buffer:
        match wire.decode_command(line):
            case wire.Load() as command:
                load(command)
            case wire.Chat(id=command_id, messages=messages, prefill_room=room):
                arguments = (command_id, messages[-1].text, room)
                threading.Thread(target=reply, args=arguments, daemon=True).start()
            case wire.ReadAhead(id=command_id, messages=messages):
                read = partial(reply, command_id, messages[-1].text, silent=True)
                threading.Thread(target=read, daemon=True).start()
            case wire.Complete(id=command_id, prompt=prompt):
                threading.Thread(target=reply, args=(command_id, prompt), daemon=True).start()
            case wire.Tokenize(id=command_id, texts=texts):
                send(command_id, wire.Tokenized(counts=tuple(len(text.split()) for text in texts)))
            case wire.Cancel(target=target):
                _cancelled.add(target)
            case _:
                break
    os._exit(0)


if __name__ == "__main__":
    main()
