"""Print config.example.toml from the schema: `python -m spnl_tui.settings.example > config.example.toml`."""

from __future__ import annotations

import ast
import inspect
import json
import sys
import textwrap
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import tomli_w

from spnl_tui.settings.all_settings import SECTIONS, Persona
from spnl_tui.settings.endpoints import EndpointSettings
from spnl_tui.settings.schema import McpServer

_HEAD = """\
# Every setting of spnl-chat, at its default. Copy what you change to config.toml in the configuration
# directory (`spnl-chat doctor` names it; on Linux it is ~/.config/spnl-chat), or name a file with --config.
# The environment outranks this file, and flags outrank both. What has no default is shown as `#name = …`.
# Made by: python -m spnl_tui.settings.example
"""

_TAIL = """
# Keys, by the id of a binding (the help panel lists the ids); commas separate several keys.
[keys]
#"chat.new" = "ctrl+n"
#"chat.copy" = "ctrl+y,f8"

# MCP servers: as many tables as you like. Their names stand for their tools in `tools`.
#[mcp.git]
{server}

# Personas: as many tables as you like, each with a name of its own.
#[personas.translator]
{persona}
#[personas.translator.sampling]
#temperature = 0.2

# Endpoints: servers that speak OpenAI's API, as many tables as you like (docs/endpoints.md). The model M of
# the endpoint gpu-box is called gpu-box/M. openai/, gemini/, ollama/, llamacpp/, lmstudio/ and vllm/ need no
# table.
#[endpoints.gpu-box]
{endpoint}
"""

# Sample values of settings without a default.
_SAMPLES: dict[str, Any] = {
    "default": "starter",
    "projector": "~/models/mmproj-F16.gguf",
    "template": "chatml",
    "top_p": 0.95,
    "top_k": 40,
    "min_p": 0.05,
    "repetition_penalty": 1.1,
    "frequency_penalty": 0.5,
    "presence_penalty": 0.5,
    "seed": 1,
    "threads": 4,
    "paged_attention": True,
    "flash_attention": True,
    "memory_budget_gb": 8.0,
    "thinking": True,
    "length": 8192,
    "rate_limit_mb": 10.0,
    "model_cache_dir": "~/models",
    "api_key_env": "SPNL_CHAT_KEY",
    "url": "http://gpu-box:8000/v1",
    "api_key_command": "pass show work/llm",
    "headers": {"X-Team": "$TEAM"},
    "models": ("my-model",),
    "description": "English to French",
    "system_prompt": "Translate what I write into French. Say nothing else.",
    "model": "starter",
    "workspace": "~/src/project",
    "tools": ["files", "time"],
}

_SERVER_SAMPLES: dict[str, Any] = {
    "command": "uvx",
    "args": ["mcp-server-git"],
    "env": {"LEVEL": "1"},
    "cwd": "~/src/project",
    "url": "https://tracker.example/mcp",
    "headers": {"Authorization": "Bearer …"},
}


def example() -> str:
    """Return the text of config.example.toml."""
    parts = [_HEAD]
    for name, cls in SECTIONS.items():
        parts.append(f"\n# {_summary(cls)}\n[{name}]\n")
        parts += [_entry(field_name, default, doc) for field_name, default, doc in documented(cls)]
    persona = [
        _comment(doc) + f"#{_toml(name, _SAMPLES[name])}"
        for name, _, doc in documented(Persona)
        if name != "sampling"
    ]
    endpoint = [_endpoint_entry(*each) for each in documented(EndpointSettings)]
    server = [
        _comment(doc) + f"#{_toml(name, _SERVER_SAMPLES.get(name, default))}"
        for name, default, doc in documented(McpServer)
    ]
    parts.append(
        _TAIL.format(persona="\n".join(persona), endpoint="\n".join(endpoint), server="\n".join(server))
    )
    return "".join(parts)


def _endpoint_entry(name: str, default: Any, doc: str) -> str:
    return _comment(doc) + f"#{_toml(name, _SAMPLES.get(name, default))}"


def documented(cls: type) -> list[tuple[str, Any, str]]:
    """Return the name, default and docstring of each field of a settings class except secrets."""
    docs = _field_docs(cls)
    return [
        (item.name, None if item.default is MISSING else item.default, docs[item.name])
        for item in fields(cls)
        if not item.metadata.get("secret")
    ]


def _field_docs(cls: type) -> dict[str, str]:
    """Return the docstring below each field, which Python itself does not keep."""
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    assert isinstance(tree, ast.ClassDef)
    return {
        statement.target.id: " ".join(after.value.value.split())
        for statement, after in zip(tree.body, tree.body[1:], strict=False)
        if isinstance(statement, ast.AnnAssign)
        and isinstance(statement.target, ast.Name)
        and isinstance(after, ast.Expr)
        and isinstance(after.value, ast.Constant)
        and isinstance(after.value.value, str)
    }


def _summary(cls: type) -> str:
    return (inspect.getdoc(cls) or "").partition("\n\n")[0].replace("\n", " ")


def _entry(name: str, default: Any, doc: str) -> str:
    setting = f"#{_toml(name, _SAMPLES[name])}" if default is None else _toml(name, default)
    return f"{_comment(doc)}{setting}\n"


def _comment(doc: str) -> str:
    return "".join(f"# {line}\n" for line in textwrap.wrap(doc, 98))


def _toml(name: str, value: Any) -> str:
    if isinstance(value, dict):
        return f"{name} = {{ {', '.join(f'{key} = {json.dumps(each)}' for key, each in value.items())} }}"
    if isinstance(value, tuple):
        value = list(value)
    if isinstance(value, list):  # tomli_w gives each item a line, which a comment sign would not cover
        return f"{name} = [{', '.join(json.dumps(each, ensure_ascii=False) for each in value)}]"
    if isinstance(value, dict):
        pairs = (f"{key} = {json.dumps(each, ensure_ascii=False)}" for key, each in value.items())
        return f"{name} = {{ {', '.join(pairs)} }}"
    return tomli_w.dumps({name: value.as_posix() if isinstance(value, Path) else value}).rstrip()


if __name__ == "__main__":
    sys.stdout.write(example())
