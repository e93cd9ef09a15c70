"""Write the 0.1.0 store and what 0.1.0 made of it, kept in tests/data/.

Run once with the code of version 0.1.0 (commit fb21332), never with a later one:

    git archive fb21332 | tar -x -C /tmp/old
    cd /tmp/old && python /path/to/tests/support/write_store_0_1_0.py /path/to/tests/data

It writes store-0.1.0.db, its lossless export store-0.1.0.json, its Markdown export store-0.1.0.md, the lines
that `history show` printed (store-0.1.0.txt), and the request of every replay (store-0.1.0-replays.json).
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import sys
from pathlib import Path
from unittest import mock

os.environ["TZ"] = "UTC"
sys.path.insert(0, os.getcwd())

from spnl_tui.conversations import listing, turn
from spnl_tui.conversations.context import messages_sent, prompt_sha256
from spnl_tui.conversations.conversation import Conversation
from spnl_tui.conversations.exchange.export import to_json_text, whole_to_markdown
from spnl_tui.conversations.replay import replay_request
from spnl_tui.conversations.storage.store import Store
from spnl_tui.conversations.turn import Provenance
from spnl_tui.models.request import Grammar, Sampling

BEGIN = 1_780_000_000.0
GREEDY = Sampling(temperature=0, max_tokens=64)


def reply(it: Conversation, turn_id: str, reason: str = "stop", **more: object) -> None:
    """End a reply with the provenance that the program kept for it."""
    provenance = Provenance(
        model="smollm2:135m",
        revision="9f2c5e1",
        file_sha256="ab" * 32,
        engine_version="0.9.5",
        load_plan='{"device": "cpu", "context": 2048}',
        sampling=GREEDY,
        system_prompt=it.system_prompt,
        **more,  # type: ignore[arg-type]
    )
    it.update_turn(dataclasses.replace(it[turn_id], provenance=provenance))
    sha256 = prompt_sha256(messages_sent(it, it[turn_id]))
    provenance = dataclasses.replace(
        provenance,
        prompt_sha256=sha256,
        prompt_tokens=40,
        completion_tokens=12,
        ttft_s=0.25,
        itl_s=0.02,
        decode_tokens_per_s=48.5,
        started_at=BEGIN,
    )
    it.finish(turn_id, reason, provenance=provenance)  # type: ignore[arg-type]


def lanterns() -> Conversation:
    """Branches, candidates, a stopped reply that was continued, pins, tags, reasoning, odd characters."""
    it = Conversation(
        title="Lanterns",
        title_is_automatic=False,
        system_prompt="Answer briefly.",
        sampling=Sampling(temperature=0.4, top_p=0.9, stop=("END",), seed=11),
        model="smollm2:135m",
        tags=("light", "größe"),
        pinned=True,
    )
    first = it.add_turn("user", "What is a lantern? \x00 \x1b[31m [bold] résumé")
    for number, text in enumerate(("A lamp with a case.", "A portable light.", "It holds a flame.")):
        answer = it.add_turn("assistant", text, parent=first.id)
        reply(it, answer.id, thinking=False if number else None)
    it.select(it.children(first.id)[1].id)
    second = it.add_turn("user", "`notes.txt`:\n```txt\nline one\n```\n\nWhat does @notes.txt say?")
    it.update_turn(dataclasses.replace(second, pinned=True))
    stopped = it.add_turn("assistant", "It says line")
    it.update_turn(dataclasses.replace(stopped, reasoning="The file has one line.\nI quote it."))
    reply(it, stopped.id, "cancelled")
    again = it.regenerate(stopped.id)
    it.append(again.id, "It says line one.")
    reply(it, again.id, begun=len("It says line"))
    edited = it.branch_from(second.id, "And what is a torch?")
    failed = it.add_turn("assistant", parent=edited.id)
    it.finish(failed.id, "failed", error="The runner ended.\nOut of memory.")
    it.select(again.id)
    return it


def long_one() -> Conversation:
    """A conversation longer than the context: turns left out, and a summary in their place."""
    it = Conversation(title="Thirty questions", model="smollm2:135m", system_prompt="Count.")
    for number in range(15):
        it.add_turn("user", f"Question {number}: what is {number} plus one?")
        above = [each.id for each in it.path()]
        answer = it.add_turn("assistant", f"It is {number + 1}.")
        if number < 10:
            reply(it, answer.id)
        else:
            reply(it, answer.id, left_out=tuple(above[:12]), summary="The user counts upwards from zero.")
    return it


def shelf() -> Conversation:
    """An archived conversation with a schema, a length limit and no title of its own."""
    it = Conversation(title="Name three fruits", model="qwen3:1.7b", archived=True, tags=("light",))
    it.add_turn("user", "Name three fruits as JSON.")
    answer = it.add_turn("assistant", '["apple", "pear"')
    reply(it, answer.id, "length", grammar=Grammar("json_schema", '{"type": "array"}'))
    return it


async def write(folder: Path) -> None:
    """Write all files."""
    conversations = [lanterns(), long_one(), shelf()]
    file = folder / "store-0.1.0.db"
    store = await Store.open(file)
    for each in conversations:
        await store.add(each)
    interrupted = Conversation(title="Interrupted", model="smollm2:135m")
    await store.save_turn(interrupted, interrupted.add_turn("user", "Will you finish?"))
    await store.save_turn(interrupted, interrupted.add_turn("assistant", "I will not fi"))
    await store.close()
    store = await Store.open(file)  # ends the interrupted reply
    loaded = [await store.load(each.id) for each in (*conversations, interrupted)]
    await store.close()
    lock = file.with_name(f"{file.name}.lock")
    lock.unlink()
    (folder / "store-0.1.0.json").write_text(to_json_text(loaded), encoding="utf-8")
    markdown = "\n".join(whole_to_markdown(each) for each in loaded)
    (folder / "store-0.1.0.md").write_text(markdown, encoding="utf-8")
    shown = [line for each in loaded for line in listing.show_lines(each)]
    (folder / "store-0.1.0.txt").write_text("\n".join(shown) + "\n", encoding="utf-8")
    replays = []
    for each in loaded:
        for said in each.turns():
            if said.role == "assistant" and said.provenance is not None:
                request = replay_request(each, said.id)
                plain = {**dataclasses.asdict(request), "turn": said.id}
                plain["messages"] = [[message.role, message.content] for message in request.messages]
                replays.append(plain)
    (folder / "store-0.1.0-replays.json").write_text(json.dumps(replays, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    """Write the files with turn ids and times that do not depend on the clock."""
    ticks = iter(range(1, 1_000_000))
    with (
        mock.patch("time.time", side_effect=lambda: BEGIN + next(ticks) / 8),
        mock.patch.object(turn.os, "urandom", lambda count: b"\0" * count),
        mock.patch("time.time_ns", side_effect=lambda: int((BEGIN + next(ticks) / 8) * 1e9)),
    ):
        asyncio.run(write(Path(sys.argv[1])))


if __name__ == "__main__":
    main()
