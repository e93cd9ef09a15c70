"""`spnl-chat import` of a Modelfile, or of a model of Ollama's: as a persona of the configuration."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from spnl_tui.errors import ModelFileError, SpnlError
from spnl_tui.headless.output import OK, print_json
from spnl_tui.models.modelfile import Modelfile, looks_like_modelfile, parse_modelfile, sampling_of
from spnl_tui.models.reference import ModelReference
from spnl_tui.services import Services
from spnl_tui.settings import Persona
from spnl_tui.settings.write import write_persona
from spnl_tui.text import plain
from spnl_tui.text_files import UnreadableFileError, read_text_file

_LONGEST = 1 << 20


def read_modelfile(path: Path) -> Modelfile | None:
    """Return the Modelfile at this path; None if there is something else. Blocking.

    Raises:
        ModelFileError: it is a Modelfile, and cannot be understood.
    """
    if path.suffix.lower() in (".gguf", ".safetensors") or not path.is_file():
        return None
    try:
        with path.open("rb") as file:
            if b"\0" in file.read(4096):
                return None
        text = read_text_file(path, _LONGEST)
    except (OSError, UnreadableFileError):
        return None
    return parse_modelfile(text, path.name) if looks_like_modelfile(text) else None


async def import_modelfile(
    services: Services, path: Path, modelfile: Modelfile, *, name: str | None, json_: bool
) -> int:
    """Add a persona with the model, system prompt and parameters of a Modelfile."""
    stem = path.name.removesuffix(".Modelfile")
    chosen = name or _as_name(_folder_of(path).name if stem.lower() == "modelfile" else stem)
    base, notes = await _base(services, path, modelfile.base)
    sampling, left_out = sampling_of(modelfile.parameters, services.settings.sampling)
    notes += [f"PARAMETER {each}" for each in left_out]
    notes += [f"ADAPTER {each}: mistral.rs cannot apply an adapter to a GGUF" for each in modelfile.adapters]
    if modelfile.template:
        notes.append("TEMPLATE: the model's own chat template is used")
    notes += [f"{each} is not supported" for each in modelfile.others]
    persona = Persona(
        description=f"From {path.name}", system_prompt=modelfile.system or None, model=base, sampling=sampling
    )
    return await _keep(services, chosen, persona, notes, json_=json_)


async def import_ollama(services: Services, name: str, *, persona: str | None, json_: bool) -> int:
    """Add a persona with a model of Ollama's, its system prompt and its parameters.

    Raises:
        ModelFileError: Ollama has no such model, or it cannot be loaded.
    """
    reference = ModelReference(ollama=name)
    await services.library.resolve(reference)  # refuses what cannot be loaded
    model = await asyncio.to_thread(services.other_programs.ollama_model, name)
    assert model is not None
    sampling, left_out = sampling_of(_pairs(model.parameters), services.settings.sampling)
    kept = Persona(
        description=f"From Ollama's {name}",
        system_prompt=model.system or None,
        model=str(reference),
        sampling=sampling,
    )
    chosen = persona or _as_name(name.removesuffix(":latest"))
    notes = [f"PARAMETER {each}" for each in left_out]
    return await _keep(services, chosen, kept, notes, json_=json_)


async def _keep(services: Services, name: str, persona: Persona, notes: Iterable[str], *, json_: bool) -> int:
    if name in services.settings.personas:
        raise SpnlError(
            "The persona exists already",
            f"{services.config_file} has a persona {name!r}.",
            "Choose another name: --name NAME",
        )
    await asyncio.to_thread(write_persona, services.config_file, name, persona, services.settings.sampling)
    if json_:
        print_json({"persona": name, "model": persona.model, "left_out": list(notes)})
        return OK
    print(f"Persona {plain(name)}, with {plain(persona.model or 'the default model')}.")
    for note in notes:
        print(f"  Left out: {plain(note)}.")
    print(f"Use it: spnl-chat -p {plain(name)}")
    return OK


async def _base(services: Services, path: Path, base: str) -> tuple[str | None, list[str]]:
    """Return the reference of what FROM names, and notes."""
    if (file := await asyncio.to_thread(_file_at, path, base)) is not None:
        return str(ModelReference(path=file)), []
    try:
        if (reference := ModelReference.parse(f"ollama:{base}")).ollama and await services.library.find(
            reference
        ):
            return str(reference), []
    except SpnlError:
        pass  # Ollama does not have it: perhaps it is a name that we know
    try:
        return str(ModelReference.parse(base)), []
    except SpnlError as error:
        return None, [f"FROM {base}: {error.message} {error.hint}".rstrip(". ")]


def _folder_of(path: Path) -> Path:
    return Path(os.path.abspath(path)).parent


def _file_at(modelfile: Path, base: str) -> Path | None:
    """Return the path that a FROM means; None if it is a name."""
    file = Path(os.path.normpath(_folder_of(modelfile) / os.path.expanduser(base)))
    return file if base.startswith((".", "/", "~")) or file.exists() else None


def _pairs(parameters: dict[str, Any]) -> Iterable[tuple[str, Any]]:
    for key, value in parameters.items():
        for item in value if isinstance(value, list) else [value]:
            yield key, item


def _as_name(text: str) -> str:
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", text).strip("-")
    if not name:
        raise ModelFileError("The persona needs a name", f"{text!r} has no letters.", "Give one: --name NAME")
    return name
