"""Many requests to a server from many connections, some of which leave.

`python -m tests.support.server_load [COUNT]` sends 1,000.

Each prompt is unique and the server must echo it, so a lost, mixed or repeated reply is noticed.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
from dataclasses import dataclass, field

import httpx2
import psutil


@dataclass(slots=True)
class Outcome:
    """What became of the requests."""

    complete: int = 0
    left: int = 0
    """Requests whose client disconnected."""
    wrong: list[str] = field(default_factory=list)
    """Descriptions of replies that were not the echo of their prompt."""


async def run_load(url: str, *, requests: int, connections: int, chance: random.Random) -> Outcome:
    """Send `requests` chats over this number of connections; about a third of them disconnect at random."""
    outcome = Outcome()
    numbers = iter(range(requests))

    async def work() -> None:
        async with httpx2.AsyncClient(base_url=url, timeout=60) as client:
            for number in numbers:
                await _ask(client, number, chance, outcome)

    async with asyncio.TaskGroup() as group:
        for _ in range(connections):
            group.create_task(work())
    return outcome


async def _ask(client: httpx2.AsyncClient, number: int, chance: random.Random, outcome: Outcome) -> None:
    words = " ".join(f"word{number}-{place}" for place in range(chance.randrange(1, 40)))
    body = {
        "messages": [{"role": "user", "content": words}],
        "stream": chance.random() < 0.5,
        "max_tokens": 99,
    }
    leaves_after = chance.uniform(0, 0.05) if chance.random() < 0.35 else None
    try:
        async with asyncio.timeout(leaves_after):
            response = await client.post("chat/completions", json=body)
            text = _text(response.text, bool(body["stream"]))
    except TimeoutError:
        outcome.left += 1
        return
    if response.status_code == 200 and text == words:
        outcome.complete += 1
    else:
        outcome.wrong.append(f"{number}: {response.status_code} {response.text[:200]}")


def _text(body: str, stream: bool) -> str:
    if not stream:
        return str(json.loads(body)["choices"][0]["message"]["content"])
    data = [line.removeprefix("data: ") for line in body.split("\n\n") if line.startswith("data: {")]
    deltas = (json.loads(each)["choices"][0]["delta"] for each in data)
    return "".join(delta.get("content", "") for delta in deltas)


async def main(requests: int) -> int:
    from tests.support.http_server import running_server

    memory = lambda: psutil.Process().memory_info().rss  # noqa: E731

    async with running_server(max_requests=64) as server:
        before = memory()
        outcome = await run_load(server.url, requests=requests, connections=32, chance=random.Random())
        print(
            f"{requests} requests: {outcome.complete} complete, {outcome.left} left, "
            f"{len(outcome.wrong)} wrong; memory grew by {(memory() - before) / 1e6:.1f} MB; "
            f"{server.api.running} still run"
        )
    print(*outcome.wrong, sep="\n")
    return 1 if outcome.wrong else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)))
