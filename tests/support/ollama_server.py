"""A stand-in for Ollama that speaks its protocol, without a model: it counts words as tokens.

Protocol: docs.ollama.com/api. Replies repeat the last message; the words "tool" and "long" in it change them.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.support.endpoint_server import Asked, ScriptedServer, begin_stream, send_json, serving

CONTEXT = 32_768
LOADED = 4096
NAMES = ("llama3.2:latest", "qwen3:1.7b")


class OllamaServer:
    """Answers as Ollama does, and remembers what it has loaded."""

    def __init__(self) -> None:
        self.loaded: dict[str, int] = {}
        """The context length of each model in memory."""

    async def __call__(self, asked: Asked, writer: asyncio.StreamWriter) -> None:
        """Answer one request."""
        if asked.path == "/api/tags":
            await send_json(writer, {"models": [{"name": name, "model": name} for name in NAMES]})
            return
        if asked.path == "/api/ps":
            running = [
                {"name": name, "model": name, "context_length": length}
                for name, length in self.loaded.items()
            ]
            await send_json(writer, {"models": running})
            return
        name = asked.body["model"]
        if name not in NAMES:
            await send_json(writer, {"error": f"model '{name}' not found"}, "404 Not Found")
        elif asked.path == "/api/show":
            thinking = ["thinking"] if name.startswith("qwen3") else []
            await send_json(
                writer,
                {
                    "model_info": {"general.architecture": "llama", "llama.context_length": CONTEXT},
                    "capabilities": ["completion", "tools", *thinking],
                    "parameters": 'stop                           "<|eot|>"',
                },
            )
        elif asked.path == "/api/generate" and not asked.body.get("prompt"):
            self.loaded[name] = asked.body.get("options", {}).get("num_ctx", LOADED)
            await send_json(writer, {"model": name, "response": "", "done": True, "done_reason": "load"})
        else:
            await self._reply(asked, name, writer)

    async def _reply(self, asked: Asked, name: str, writer: asyncio.StreamWriter) -> None:
        body, chat = asked.body, asked.path == "/api/chat"
        prompt = " ".join(each["content"] for each in body["messages"]) if chat else body["prompt"]
        last = body["messages"][-1]["content"] if chat else body["prompt"]
        if body.get("think") and not name.startswith("qwen3"):
            await send_json(writer, {"error": f'"{name}" does not support thinking'}, "400 Bad Request")
            return
        words = ['{"capital": "Paris"}'] if body.get("format") else last.split()
        if "long" in last:
            words = ["word"] * 100_000
        most = body["options"].get("num_predict", 128)
        await begin_stream(writer, "application/x-ndjson")

        async def say(message: dict[str, Any], **fields: Any) -> None:
            shape = (
                {"message": {"role": "assistant", **message}} if chat else {"response": message["content"]}
            )
            writer.write(json.dumps({"model": name, **shape, "done": False, **fields}).encode() + b"\n")
            await writer.drain()

        if body.get("think"):
            await say({"content": "", "thinking": "let me see"})
        if body.get("tools") and "tool" in last:
            function = {"name": body["tools"][0]["function"]["name"], "arguments": {"city": "Oslo"}}
            await say({"content": "", "tool_calls": [{"function": function}]})
            words = []
        for count, word in enumerate(words[:most]):
            await say({"content": word if count == 0 else f" {word}"})
        reason = "length" if len(words) > most else "stop"
        counts = {"prompt_eval_count": len(prompt.split()), "eval_count": min(len(words), most)}
        await say({"content": ""}, done=True, done_reason=reason, **counts)


@asynccontextmanager
async def ollama() -> AsyncIterator[ScriptedServer]:
    """Serve the stand-in on a free port."""
    async with serving(OllamaServer()) as server:
        yield server
