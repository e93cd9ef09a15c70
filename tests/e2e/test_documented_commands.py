"""The commands printed in README and docs run, with the real model, where this machine is enough."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from tests.support import other_programs as others
from tests.support.command import spnl
from tests.support.documented import PAGES, documented

COMPLETE = {
    "doctor", "man", "list", "--help", "endpoints", "pulls", "ps", "engine status", "history export",
}  # fmt: skip
"""Commands that are complete without arguments. Others without arguments are mentioned only."""
ELSEWHERE = {
    "serve": "runs until it is stopped",
    "engine": "runs until it is stopped",
    "bench": "takes minutes",
    "search": "asks Hugging Face",
    "pull": "asks Hugging Face",
    "unload": "needs a resident engine",
    "-b": "takes most of a minute",
    "--image": "needs a vision model",
    "--query": "opens the interface",
    "--line": "opens the interface",
    "-p": "opens the interface",
    "-m": "opens the interface",
}
"""Why some commands are not run, by their first word or an option. They are parsed by the fast tier."""
SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 20}},
    "required": ["name"],
    "additionalProperties": False,
}


def is_run(arguments: list[str]) -> bool:
    line = shlex.join(arguments)
    if line in COMPLETE:
        return True
    names_only = all(word.isalpha() and word.islower() for word in arguments) and len(arguments) < 3
    servers = any(word.startswith(("vllm", "openai/", "ollama/")) for word in arguments)
    needs_more = arguments[0] in ELSEWHERE or {"--image", "-b"} & {*arguments} or line == "pulls rm NAME"
    # `run "…"` stands for the prompt of `--image`, with a photo as standard input.
    return not bool(names_only or servers or needs_more or "…" in arguments)


@pytest.mark.parametrize(("with_model", "least"), [(False, 15), (True, 12)])
def test_documented_commands_run_as_printed(
    with_model: bool, least: int, starter_gguf: Path, tmp_path: Path
) -> None:
    home = Path.home()
    for name in ("llama3.2/1b", "NAME/latest"):
        others.add_ollama(home / ".ollama/models", f"library/{name}", starter_gguf, system=f"Be {name}.")
    conversation = {
        "id": "x-0123456789abcdef01234567",
        "messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}],
    }
    chats = others.write(tmp_path / "chats.jsonl", json.dumps(conversation) + "\n")
    others.write(tmp_path / "Modelfile", f"FROM {starter_gguf}\nSYSTEM Be brief.\n")
    others.write(tmp_path / "another/Modelfile", f"FROM {starter_gguf}\n")
    others.write(tmp_path / "person.json", json.dumps(SCHEMA))
    others.write(tmp_path / "notes.txt", "The tide follows the moon.\n")
    others.write(tmp_path / "judge.lisp", f'(g "{starter_gguf}" (user "Hello") 0 8)')
    for name in ("review", "shorter"):
        others.write(home / f".config/spnl-chat/prompts/{name}.md", "Say this in fewer words:\n{{input}}")
    spnl("history", "import", chats)
    own = {
        "starter": starter_gguf, "qwen3:1.7b": starter_gguf, "NAME": starter_gguf, "MODEL": starter_gguf,
        "PATH": chats, "PATH…": chats, "chats.jsonl": chats, "ID": conversation["id"],
        "paper.pdf": tmp_path / "notes.txt", "Modelfile": tmp_path / "Modelfile",
        "path/to/Modelfile": tmp_path / "another/Modelfile", "person.json": tmp_path / "person.json",
        "judge.lisp": tmp_path / "judge.lisp", "conversations.html": tmp_path / "conversations.html",
        "depth=line": "depth=line",
    }  # fmt: skip
    run, failed = 0, []
    for line in sorted({shlex.join(each) for page in PAGES for each in documented(page)}):
        arguments = shlex.split(line)
        if not is_run(arguments) or "ollama" in arguments:  # Ollama's own conversations are not here
            continue
        if (arguments[0] in ("run", "map")) != with_model:
            continue
        words = [str(own.get(word, word)).replace("qwen3:1.7b", str(starter_gguf)) for word in arguments]
        if with_model and not {"-c", "-f"} & {*words}:
            words += ["-l", "4"] if "-l" not in words and "--schema" not in words else []
            words += ["-m", str(starter_gguf)] if "-m" not in words else []
        result = spnl(*words, stdin="water\n")
        run += 1
        if result.returncode != 0:
            failed.append(f"spnl-chat {line}: exit {result.returncode}: {result.stderr[-300:]}")
    assert failed == []
    assert run >= least
