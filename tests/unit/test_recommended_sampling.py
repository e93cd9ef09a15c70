"""The sampling that a model's authors recommend, and what outranks it."""

from __future__ import annotations

import json
from pathlib import Path

import gguf
import pytest

from spnl_tui.models.files.local import LocalModel
from spnl_tui.models.files.sampling import recommended_sampling
from spnl_tui.models.request import Sampling
from spnl_tui.settings import Settings, load_settings

RECOMMENDED = (("temperature", 0.8), ("top_k", 20))


def gguf_model(folder: Path, **values: float) -> LocalModel:
    writer = gguf.GGUFWriter(str(folder / "m.gguf"), "llama")
    for name, value in values.items():
        if isinstance(value, int):
            writer.add_uint32(f"general.sampling.{name}", value)
        else:
            writer.add_float32(f"general.sampling.{name}", value)
    writer.add_uint32("llama.context_length", 512)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    return LocalModel("m", "gguf", folder, ("m.gguf",))


def test_gguf_recommends_sampling(tmp_path: Path) -> None:
    model = gguf_model(tmp_path, temp=0.5, top_k=20, top_p=0.75, min_p=0.0, mirostat=2)

    assert dict(recommended_sampling(model)) == {"temperature": 0.5, "top_k": 20, "top_p": 0.75, "min_p": 0.0}


@pytest.mark.parametrize(
    ("text", "values"),
    [
        (json.dumps({"temperature": 0.7, "top_k": 20, "do_sample": True}), {"temperature": 0.7, "top_k": 20}),
        (json.dumps({"temperature": 9, "top_p": "much", "top_k": None, "min_p": True}), {}),
        ("[" * 100_000, {}),
        ("{", {}),
        (None, {}),
    ],
)
def test_generation_config_recommends_sampling(
    tmp_path: Path, text: str | None, values: dict[str, float]
) -> None:
    if text is not None:
        (tmp_path / "generation_config.json").write_text(text)

    assert dict(recommended_sampling(LocalModel("m", "safetensors", tmp_path, ()))) == values


def test_unreadable_model_recommends_nothing(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_text("not a GGUF")

    assert recommended_sampling(LocalModel("m", "gguf", tmp_path, ("m.gguf",))) == ()
    assert recommended_sampling(LocalModel("m", "gguf", tmp_path, ("missing.gguf",))) == ()


def test_recommended_values_replace_defaults_only(tmp_path: Path) -> None:
    assert Settings().sampling_for(RECOMMENDED) == Sampling(temperature=0.8, top_k=20)
    changed = Sampling(temperature=0.1)
    assert Settings().sampling_for(RECOMMENDED, changed) == Sampling(temperature=0.1, top_k=20)


def test_value_that_the_user_set_stays_even_at_its_default(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text("[sampling]\ntemperature = 0.6\n[personas.p.sampling]\ntop_k = 5\n")
    settings = load_settings(file)

    assert settings.sampling_for(RECOMMENDED).temperature == 0.6
    assert settings.as_persona("p").sampling_for(RECOMMENDED) == Sampling(temperature=0.6, top_k=5)
    flag = load_settings(tmp_path / "none.toml", flags={"sampling.temperature": 0.6})
    assert flag.sampling_for(RECOMMENDED).temperature == 0.6
