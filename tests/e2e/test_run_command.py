"""`spnl-chat run` as scripts meet it: a child process, the real model, nothing mocked."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import CAPITAL, COMMAND, spnl
from tests.support.gguf_maker import make_gguf

TIMINGS = {"load_s", "queue_s", "prefill_s", "ttft_s", "itl_s", "decode_tokens_per_s"}


@pytest.fixture
def ask(starter_gguf: Path) -> Any:
    """Ask the real model, greedily."""

    def ask(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        return spnl("run", "-m", starter_gguf, "-t", "0", *arguments, **options)

    return ask


def test_json_is_one_object_with_all_figures(ask: Any) -> None:
    result = ask("--json", CAPITAL)
    assert result.returncode == 0, result.stderr
    answer = json.loads(result.stdout)
    assert set(answer) == {"model", "reply", "reasoning", "finish_reason", "usage", "timing"}
    assert "Paris" in answer["reply"]
    assert answer["finish_reason"] == "stop"
    assert set(answer["usage"]) == {"prompt_tokens", "completion_tokens"}
    assert all(count > 0 for count in answer["usage"].values())
    assert set(answer["timing"]) == TIMINGS
    assert all(isinstance(seconds, float) and seconds >= 0 for seconds in answer["timing"].values())
    assert result.stderr == ""


def test_piped_prompt_gets_the_same_reply_without_streaming(ask: Any) -> None:
    streamed = ask("-", stdin=f"{CAPITAL}\n")
    whole = ask("--no-stream", stdin=CAPITAL)
    assert "Paris" in streamed.stdout
    assert streamed.stdout == whole.stdout
    assert "\x1b" not in streamed.stdout + streamed.stderr
    assert ask("--json", MISTRALRS_NO_STREAM="1", stdin=CAPITAL).returncode == 0


def test_piped_text_is_part_of_the_prompt(ask: Any) -> None:
    alone = json.loads(ask("--json", "Repeat this:").stdout)
    both = json.loads(ask("--json", "Repeat this:", stdin="one two three four five six\n").stdout)
    assert both["usage"]["prompt_tokens"] >= alone["usage"]["prompt_tokens"] + 6


@pytest.mark.parametrize(
    ("arguments", "errors", "where"),
    [
        # Python escapes such bytes in the one locale, and refuses them in another.
        (("run", "What is this?"), "surrogateescape", "Standard input"),
        (("run", "-"), "strict", "Standard input"),
        (("map", "Say {}"), "strict", "Standard input"),
        (("run", b"caf\xe9"), "strict", "PROMPT"),
        (("run", "-s", b"caf\xe9", "Hello"), "strict", "--system"),
    ],
    ids=["piped", "dash", "map", "prompt", "system"],
)
def test_invalid_utf8_is_replaced_and_reported(
    starter_gguf: Path, arguments: tuple[str | bytes, ...], errors: str, where: str
) -> None:
    command, *rest = arguments
    result = subprocess.run(
        [*COMMAND, command, "-m", starter_gguf, "-l", "4", *rest],
        input=b"caf\xe9\ncr\xe8me\n" if where == "Standard input" else b"",
        capture_output=True,
        timeout=300,
        env={**os.environ, "PYTHONIOENCODING": f"utf-8:{errors}"},
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip()
    [said] = result.stderr.decode().splitlines()
    assert said == f"{where} has bytes that are not UTF-8. Each was replaced by �."


def test_time_is_printed_on_standard_error(ask: Any) -> None:
    result = ask("--time", CAPITAL)
    assert "TTFT" in result.stderr
    assert "tokens/s" in result.stderr
    assert "TTFT" not in result.stdout


def test_the_starter_is_found_and_answers(starter_gguf: Path) -> None:
    # As `spnl-chat pull starter` leaves it.
    folder = Path(os.environ["XDG_DATA_HOME"], "spnl-chat", "models", "starter")
    folder.mkdir(parents=True)
    (folder / starter_gguf.name).symlink_to(starter_gguf)
    result = spnl("run", "-m", "starter", "--json", "-t", "0", CAPITAL)
    assert json.loads(result.stdout)["model"] == "starter"
    assert "Paris" in result.stdout


def bad_files(folder: Path, starter_gguf: Path) -> dict[str, Path]:
    """Files that are no model, each in its own way."""
    empty, text, cut, base = (folder / f"{name}.gguf" for name in ("empty", "text", "cut", "base"))
    empty.touch()
    text.write_text("This is not a model.\n" * 100)
    with starter_gguf.open("rb") as file:
        cut.write_bytes(file.read(20_000_000))
    make_gguf(base, template=None)
    return {"missing": folder / "missing.gguf", "empty": empty, "text": text, "cut": cut, "base": base}


@pytest.mark.parametrize(
    ("kind", "cause"),
    [
        ("missing", "does not exist"),
        ("empty", "empty"),
        ("text", "GGUF"),
        ("cut", "cut"),
        ("base", "chat template"),
    ],
)
def test_a_bad_model_is_an_error_that_names_cause_and_way_out(
    tmp_path: Path, starter_gguf: Path, kind: str, cause: str
) -> None:
    path = bad_files(tmp_path, starter_gguf)[kind]
    result = spnl("run", "-m", path, CAPITAL)
    assert result.returncode == 1
    assert result.stdout == ""
    assert cause in result.stderr
    assert len(result.stderr.splitlines()) in (3, 4), result.stderr
    assert "Traceback" not in result.stderr


def test_a_prompt_beyond_the_context_is_an_error_with_both_lengths(ask: Any) -> None:
    result = ask(stdin="word " * 9000)
    assert result.returncode == 1
    assert result.stdout == ""
    assert "8,192" in result.stderr
    assert len(result.stderr.splitlines()) <= 4


@pytest.mark.parametrize(
    "arguments",
    [
        ("run",),  # no prompt, nothing piped
        ("run", "-n", "0", "hi"),
        ("run", "--nonsense", "hi"),
        ("nonsense",),
    ],
)
def test_wrong_usage_is_2(arguments: tuple[str, ...]) -> None:
    result = spnl(*arguments)
    assert result.returncode == 2
    assert result.stdout == ""


def test_a_value_out_of_range_is_refused_before_anything_is_loaded(ask: Any) -> None:
    result = ask("--top-p", "2", CAPITAL)
    assert result.returncode == 1
    assert "top_p" in result.stderr


def test_ctrl_c_stops_with_130_and_leaves_no_process(starter_gguf: Path) -> None:
    process = subprocess.Popen(
        [*COMMAND, "run", "-m", str(starter_gguf), "Write a very long story."],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.read(1)  # the reply has begun
    os.killpg(process.pid, signal.SIGINT)  # as the terminal does: to the whole group
    process.communicate(timeout=30)
    assert process.returncode == 130
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)


def test_a_reader_that_goes_away_ends_it_quietly(starter_gguf: Path) -> None:
    command = f"'{sys.executable}' -m spnl_tui run -m '{starter_gguf}' -l 400 'Tell a story.' | head -c 20"
    result = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=120
    )
    assert len(result.stdout) == 20
    assert result.stderr == ""


def test_two_launches_differ_and_a_seed_repeats(starter_gguf: Path) -> None:
    def told(*arguments: str) -> str:
        return spnl("run", "-m", starter_gguf, "-t", "1", "-l", "24", *arguments, "Tell a story.").stdout

    assert told() != told()
    assert told("--seed", "5") == told("--seed", "5")


def test_interface_without_a_terminal_suggests_run() -> None:
    result = spnl(stdin="Hello")
    assert result.returncode == 2
    assert 'spnl-chat run "…"' in result.stderr
