"""Servers of models for the shared checks: which there are, and how to reach them.

Real servers are started by hand or by continuous integration and named in a variable, as in

    TEST_MODEL_SERVERS="vllm=http://127.0.0.1:8000/v1#smol llamacpp-python=http://127.0.0.1:8080/v1#x"

`python -m tests.support.servers MODEL.gguf` prints the commands that start them. A server that is not named
is left out; the stand-in for Ollama and our own server always run.
"""

from __future__ import annotations

import base64
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from spnl_tui.engine.backend import ModelHandle
from spnl_tui.engine.endpoint.endpoints import Endpoint, normal_url
from spnl_tui.engine.service import EngineService
from tests.support.endpoint_server import engine_of
from tests.support.http_server import running_server
from tests.support.ollama_server import ollama

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
"""An image of one pixel, under the hash "aaa…"."""
VARIABLE = "TEST_MODEL_SERVERS"


@dataclass(frozen=True)
class Target:
    """A server to check."""

    engine: EngineService
    model: ModelHandle
    kind: str
    can: frozenset[str] = field(default_factory=frozenset)
    """What its model can do: "tools", "thinking", "schema", "regex", "completion", "continue", "count"."""


_CAN = {
    "vllm": {"usage", "schema", "regex", "lark", "completion", "continue", "count", "context"},
    "llamacpp-python": {"schema", "completion", "count"},
    "llamacpp": {"usage", "schema", "completion", "continue", "count", "context"},
    "ollama": {"usage", "schema", "tools", "completion", "thinking", "context"},
    "spnl": {"usage", "completion", "count", "context"},
}


def named_servers() -> dict[str, tuple[str, str]]:
    """Return the address and the model of each real server, by its kind."""
    found: dict[str, tuple[str, str]] = {}
    for entry in os.environ.get(VARIABLE, "").split():
        kind, _, rest = entry.partition("=")
        url, _, model = rest.partition("#")
        found[kind] = (url, model)
    return found


KINDS = ("ollama", "spnl", *(f"real-{kind}" for kind in named_servers()))


@asynccontextmanager
async def running(name: str) -> AsyncIterator[tuple[str, str, str]]:
    """Give kind, address and model of a server; the stand-in and our own are started."""
    kind = name.removeprefix("real-")
    if name.startswith("real-"):
        url, model = named_servers()[kind]
        yield kind, url, model
    elif kind == "ollama":
        async with ollama() as server:
            yield kind, f"http://127.0.0.1:{server.port}", "qwen3:1.7b"
    else:
        async with running_server() as own:
            yield kind, own.url, "default"


@asynccontextmanager
async def reached(kind: str, url: str, model: str) -> AsyncIterator[Target]:
    """Give the server with an engine that knows nothing of it yet."""
    server = "ollama" if kind == "ollama" else "auto"
    endpoint = Endpoint(name="box", url=normal_url(url, server), server=server, configured=True)  # type: ignore[arg-type]  # a kind
    async with engine_of(endpoint, images={"a" * 64: PNG}) as engine:
        handle = await engine.find(f"box/{model}")
        assert handle is not None
        yield Target(engine, handle, kind, frozenset(_CAN[kind]))


def main(model: str) -> None:
    """Print the commands that start the real servers with this GGUF or directory of safetensors."""
    print(
        "vllm serve DIRECTORY --served-model-name smol --port 8000 --max-model-len 1024"
        f"  # {model} as safetensors: tests/support/requantize.py"
    )
    print(f"python -m llama_cpp.server --model {model} --port 8080 --n_ctx 2048")
    print(f"llama-server -m {model} --port 8081")
    print(f"{VARIABLE}='vllm=http://127.0.0.1:8000/v1#smol llamacpp-python=http://127.0.0.1:8080/v1#x'")


if __name__ == "__main__":
    main(*sys.argv[1:])
