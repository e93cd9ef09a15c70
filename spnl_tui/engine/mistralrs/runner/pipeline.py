"""Converts a Load command to a mistral.rs pipeline, and sampling to the arguments of a request."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from spnl_tui.engine.mistralrs import wire
from spnl_tui.engine.mistralrs.runner.allocator import returning_freed_memory
from spnl_tui.engine.mistralrs.runner.gguf_tokenizer import write_tokenizer
from spnl_tui.engine.mistralrs.runner.padded_gguf import write_padded
from spnl_tui.errors import ModelFileError
from spnl_tui.models.request import Sampling
from spnl_tui.models.vision import BASE_FILES

if TYPE_CHECKING:
    import mistralrs

MODEL = "default"
"""The name of the only model in a pipeline."""

_PROJECTOR = "mmproj.gguf"

_VISIBLE_TEMPLATE = "{# <start_of_turn> #}" + wire.RAW_TEMPLATE
"""A chat template that passes a finished prompt through, and makes control tokens visible in the reply.

mistral.rs hides them unless the template's text makes it search for thoughts. This word makes it search for
markers that only MedGemma has (reasoning_parsers/tag_based.rs, `is_gemma_turn_template`).
"""


def make_pipeline(command: wire.Load, ends: Sequence[int] = ()) -> mistralrs.Runner:
    """Load the model; `ends` are the tokens that end a reply. Holds the GIL during the load.

    Raises:
        BaseException: any exception of mistral.rs; a panic in Rust is not an Exception.
    """
    import mistralrs

    dtypes = {
        "auto": mistralrs.ModelDType.Auto,
        "f16": mistralrs.ModelDType.F16,
        "bf16": mistralrs.ModelDType.BF16,
        "f32": mistralrs.ModelDType.F32,
    }
    arguments: dict[str, Any] = {
        "max_seqs": command.max_sequences,
        "prefix_cache_n": command.prefix_cache,
        "token_source": "none",
        "in_situ_quant": command.in_situ_quantization,
        "no_paged_attn": command.paged_attention is False,
    }
    if command.paged_tokens is not None:
        # Without a limit, it takes all memory of a graphics processor.
        arguments["memory_goal"] = f"{command.paged_tokens}tokens"
    with contextlib.ExitStack() as stack:
        if command.in_situ_quantization is not None:
            stack.enter_context(returning_freed_memory())
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix=wire.temporary_prefix(os.getpid())))
        template = Path(folder) / "template.jinja"
        raw = command.chat_template in (None, wire.RAW_TEMPLATE)
        template.write_text(wire.RAW_TEMPLATE if raw else _VISIBLE_TEMPLATE, encoding="utf-8")
        arguments["jinja_explicit"] = str(template)
        if command.format == "safetensors" and command.base is not None:
            which: Any = mistralrs.Which.MultimodalPlain(
                model_id=command.directory, dtype=dtypes[command.dtype]
            )
        elif command.format == "safetensors":
            which = mistralrs.Which.Plain(model_id=command.directory, dtype=dtypes[command.dtype])
        else:
            # mistral.rs also reads config.json and others beside a GGUF, and a bad one breaks the load. So it
            # gets a directory that holds only links to the shards.
            links = Path(folder) / "model"
            links.mkdir()
            if command.config is not None:
                (links / "config.json").write_text(command.config, encoding="utf-8")
            if ends:
                generation = json.dumps({"eos_token_id": list(ends)})
                (links / "generation_config.json").write_text(generation, encoding="utf-8")
            names = [Path(file).name for file in command.files]
            sources = [Path(command.directory, file).resolve() for file in command.files]
            write_tokenizer(sources[0], links / "tokenizer.json")
            if command.pad_rows:
                sources = padded_copies(sources, stack)
            for name, source in zip(names, sources, strict=True):
                (links / name).symlink_to(source)
            if command.projector is not None:
                add_vision(links, command)
            which = mistralrs.Which.GGUF(
                quantized_model_id=str(links),
                quantized_filename=names if len(names) > 1 else names[0],
                dtype=dtypes[command.dtype],
                mmproj_filename=None if command.projector is None else _PROJECTOR,
            )
        try:
            return mistralrs.Runner(which=which, **arguments)
        except ValueError as error:
            if "requires" not in str(error) or "paged attention" not in str(error):
                raise
            # mistral.rs supports no paged attention for some models.
            return mistralrs.Runner(which=which, **{**arguments, "memory_goal": None})


def add_vision(links: Path, command: wire.Load) -> None:
    """Put the projector and its config files into the directory that mistral.rs reads."""
    (links / _PROJECTOR).symlink_to(Path(command.projector or "").resolve())
    for name in BASE_FILES:
        file = Path(command.base or "", name)
        if file.is_file():
            (links / name).write_bytes(file.read_bytes())


def padded_copies(files: Sequence[Path], stack: contextlib.ExitStack) -> list[Path]:
    """Return copies with padded rows, which disappear when this process ends for any reason.

    Raises:
        ModelFileError: the copies cannot be written.
    """
    try:
        copies = [stack.enter_context(_copy_to_load()) for _ in files]
        write_padded(files, copies)
    except (OSError, MemoryError) as error:
        reason = error.strerror if isinstance(error, OSError) else None
        raise ModelFileError(
            "The rows of this model could not be padded",
            f"The padded copy could not be written: {reason or 'there is not enough memory'}.",
            "Set engine.pad_rows to false, or choose a smaller quantization.",
        ) from error
    return [Path(f"/proc/self/fd/{copy.fileno()}") for copy in copies]


@contextlib.contextmanager
def _copy_to_load() -> Iterator[BinaryIO]:
    with _nameless_file() as copy:
        yield copy
        # mistral.rs has copied all data, but would keep the file mapped, and so in memory.
        copy.truncate(0)


def _nameless_file() -> BinaryIO:
    """Return a file in memory, or a temporary file on disk if the system has no such files."""
    try:
        return os.fdopen(os.memfd_create("padded"), "w+b")
    except (AttributeError, OSError):
        # Portable builds of Python, such as conda's, lack this function, and sandboxes forbid it.
        return cast("BinaryIO", tempfile.TemporaryFile())


def sampling_arguments(sampling: Sampling) -> dict[str, Any]:
    """Return the arguments of a request. The runner handles seeds and stop sequences itself."""
    return {
        "temperature": float(sampling.temperature),
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "min_p": sampling.min_p,
        "repetition_penalty": sampling.repetition_penalty,
        "frequency_penalty": sampling.frequency_penalty,
        "presence_penalty": sampling.presence_penalty,
        "max_tokens": sampling.max_tokens,
    }
