"""Settings: what outranks what, and what a mistake tells."""

from __future__ import annotations

import re
import stat
import tomllib
from pathlib import Path
from typing import Any

import pytest
import textual.keys

from spnl_tui.errors import SettingsError
from spnl_tui.models.request import Sampling
from spnl_tui.settings import ENVIRONMENT, Settings, load_settings
from spnl_tui.settings.all_settings import SECTIONS, Persona
from spnl_tui.settings.convert import normal_keys
from spnl_tui.settings.example import documented, example
from spnl_tui.settings.write import write_setting

EXAMPLE = Path(__file__).parents[2] / "config.example.toml"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


def refused(file: Path, text: str = "", **sources: object) -> SettingsError:
    if text:
        file.write_text(text)
    with pytest.raises(SettingsError) as caught:
        load_settings(file, **sources)  # type: ignore[arg-type]  # typed by name only
    return caught.value


# ── sources ──────────────────────────────────────────────────────────────────────────────────────


def test_no_source_gives_the_defaults(file: Path) -> None:
    assert load_settings(file) == Settings()
    assert load_settings(file).origins == {}


def test_each_source_overrides_the_previous_one(file: Path) -> None:
    file.write_text('[model]\ndefault = "from-file"\n[sampling]\ntemperature = 0.1\ntop_k = 5\n')
    environ = {"SPNL_MODEL": "from-environment"}

    assert load_settings(file).model.default == "from-file"
    assert load_settings(file, environ=environ).model.default == "from-environment"
    settings = load_settings(
        file,
        environ=environ,
        flags={"model.default": "from-flag", "sampling.temperature": 1, "sampling.seed": None},
    )
    assert settings.model.default == "from-flag"
    assert settings.sampling == Sampling(temperature=1.0, top_k=5)


def test_environment_variables_of_spnl_work(file: Path, tmp_path: Path) -> None:
    settings = load_settings(
        file,
        environ={
            "SPNL_MODEL": "starter",
            "SPNL_NUM_PARALLEL": "3",
            "MISTRALRS_DEVICE": "CPU",
            "MISTRALRS_DTYPE": "f32",
            "MISTRALRS_ISQ": "q4k",
            "MISTRALRS_PAGED_ATTN": "0",
            "MISTRALRS_FLASH_ATTN": "true",
            "MISTRALRS_PREFIX_CACHE_N": "0",
            "MISTRALRS_MAX_CONCURRENT": "9",
            "MISTRALRS_NO_STREAM": "1",
            "MISTRALRS_MODEL_CACHE_DIR": str(tmp_path / "models"),
            "MISTRALRS_HF_TOKEN": "hf_secret",
        },
    )
    assert set(settings.origins) == set(ENVIRONMENT.values())
    assert settings.model.default == "starter"
    engine = settings.engine
    assert (engine.device, engine.dtype, engine.in_situ_quantization) == ("cpu", "f32", "Q4K")
    assert (engine.paged_attention, engine.flash_attention) == (False, True)
    assert (engine.num_parallel, engine.prefix_cache, engine.max_concurrent) == (3, 0, 9)
    assert engine.stream is False
    assert settings.hub.model_cache_dir == tmp_path / "models"
    assert settings.hub.token == "hf_secret"
    assert "hf_secret" not in repr(settings)


def test_disabled_no_stream_and_empty_variables_change_nothing(file: Path) -> None:
    environ = {"MISTRALRS_NO_STREAM": "0", "SPNL_MODEL": "", "MISTRALRS_DTYPE": " "}
    assert load_settings(file, environ=environ) == Settings()


def test_process_environment_is_not_read(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPNL_MODEL", "from-environment")
    assert load_settings(file).model.default is None


def test_relative_paths_start_at_home_or_at_the_file(file: Path, tmp_path: Path) -> None:
    file.write_text('hub.model_cache_dir = "models"')
    assert load_settings(file).hub.model_cache_dir == tmp_path / "models"
    file.write_text('hub.model_cache_dir = "~/models"')
    assert load_settings(file).hub.model_cache_dir == tmp_path / "home" / "models"
    settings = load_settings(file, environ={"MISTRALRS_MODEL_CACHE_DIR": "models"})
    assert settings.hub.model_cache_dir == Path.cwd() / "models"


def test_persona_overrides_settings_and_flags_override_it(file: Path) -> None:
    file.write_text(
        "[sampling]\ntop_k = 5\ntemperature = 0.1\n"
        "[personas.poet]\nsystem_prompt = 'Rhyme.'\nsampling = {temperature = 1.2, max_tokens = 99}\n"
        "[personas.plain]\n"
    )
    settings = load_settings(file, flags={"sampling.max_tokens": 7})
    assert settings.personas["poet"] == Persona(
        system_prompt="Rhyme.", sampling=Sampling(top_k=5, temperature=1.2, max_tokens=7)
    )
    assert settings.personas["plain"].sampling == settings.sampling


def test_origins_name_the_source_of_a_value(file: Path) -> None:
    file.write_text("# mine\n\n[sampling]\nstop = [\n  'a',\n]\ntop_p = 0.5 # here\n")
    settings = load_settings(file, environ={"SPNL_MODEL": "m"}, flags={"sampling.seed": 1})
    assert str(settings.origins["sampling.stop"]) == f"{file}, line 4"
    assert str(settings.origins["sampling.top_p"]) == f"{file}, line 7"
    assert str(settings.origins["model.default"]) == "environment variable SPNL_MODEL"
    assert str(settings.origins["sampling.seed"]) == "command line, sampling.seed"


# ── mistakes ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("text", "line", "message", "hint"),
    [
        ("[sampling]\n\ntemprature = 1\n", 3, "sampling.temprature", "temperature"),
        ("[samplin]\ntop_k = 1\n", 1, "section samplin", "sampling"),
        ("temperature = 1\n", 1, "setting temperature", "[sampling] temperature"),
        ("[engine]\ntemprature = 1\n", 2, "engine.temprature", "[sampling] temperature"),
        ("sampling = 3\n", 1, "sampling is 3", "[sampling]"),
        ("[sampling]\ntop_k = 'x'\n", 2, "a whole number", ""),
        ("[sampling]\ntop_k = 1.0\n", 2, "a whole number", ""),
        ("[sampling]\ntemperature = true\n", 2, "a number", ""),
        ("[sampling]\nstop = 'x'\n", 2, "a list of texts", '["one", "two"]'),
        ("[sampling]\nstop = ['']\n", 2, "one or more characters", ""),
        ("[sampling]\ntemperature = 3\n", 2, "[0, 2]", "within"),
        ("[engine]\nthreads = 0\n", 2, "from 1 to", ""),
        ("[chat]\ncandidates = 1\n", 2, "from 2 to 9", ""),
        ("[chat]\ncandidates = 10\n", 2, "from 2 to 9", ""),
        ("[engine]\nkeep_warm_minutes = nan\n", 2, "from 0 to", ""),
        ("[pulls]\nrate_limit_mb = 0\n", 2, "more than 0", "leave it out"),
        ("[engine]\ndtype = 'f61'\n", 2, "auto, f16, bf16, f32", "f16"),
        ("[engine]\nin_situ_quantization = 'Q4_K'\n", 2, "must be one of", "Q4"),
        ("[hub]\ntoken = 'hf_x'\n", 2, "not read from files", "MISTRALRS_HF_TOKEN"),
        ("a = '''\n[sampling]\ntop_k = 0\n'''\n[sampling]\ntop_k = 0\n", 1, "setting a", ""),
        (
            "[chat]\nsystem_prompt = '''\n[sampling]\ntop_k = 0\n'''\n[sampling]\ntop_k = 0\n",
            7,
            "from 1 to",
            "",
        ),
        ("[personas.a]\nmodle = 'x'\n", 2, "personas.a.modle", "model"),
        ("[personas.a.sampling]\ntop_k = 0\n", 2, "from 1 to", ""),
        ("[personas]\na = 1\n", 2, "personas.a is 1", "[personas.a]"),
        ("[keys]\nquit = 3\n", 2, "keys in quotes", "ctrl+s"),
        ("[keys]\nquit = 'ctl+q'\n", 2, "not a modifier", "ctrl"),
        ("[keys]\nquit = 'ctrl+'\n", 2, "not a key", ""),
    ],
)
def test_mistake_names_file_line_and_nearest_valid_name(
    file: Path, text: str, line: int, message: str, hint: str
) -> None:
    error = refused(file, text)
    assert f"{file}, line {line}:" in error.message
    assert message in error.message
    assert hint in error.hint


def test_syntax_error_names_file_and_line(file: Path) -> None:
    error = refused(file, "[model]\ndefault = starter\n")
    assert str(file) in error.message
    assert "line 2" in error.message


def test_unreadable_file_raises_a_clear_error(file: Path, tmp_path: Path) -> None:
    file.write_bytes(b"\xff\xfe")
    assert "UTF-8" in refused(file).hint
    assert str(tmp_path) in refused(tmp_path).message
    assert "no file" in refused(tmp_path / "none.toml", must_exist=True).message


@pytest.mark.parametrize(
    ("variable", "value", "hint"),
    [
        ("MISTRALRS_DTYPE", "f61", "f16"),
        ("MISTRALRS_DEVICE", "gpu", ""),
        ("MISTRALRS_NO_STREAM", "maybe", "1, true"),
        ("MISTRALRS_MAX_CONCURRENT", "four", ""),
        ("SPNL_NUM_PARALLEL", "0", "1 or more"),
    ],
)
def test_invalid_variable_is_named(file: Path, variable: str, value: str, hint: str) -> None:
    error = refused(file, environ={variable: value})
    assert variable in error.message
    assert hint in error.hint


def test_invalid_flag_is_named(file: Path) -> None:
    assert "sampling.temperature" in refused(file, flags={"sampling.temperature": 3.0}).message
    assert "sampling.temperature" in refused(file, flags={"sampling.temprature": 0}).hint


def test_error_does_not_show_the_token(file: Path) -> None:
    assert "42" not in str(refused(file, flags={"hub.token": 42}))


# ── keys ─────────────────────────────────────────────────────────────────────────────────────────


def test_keys_are_converted_to_textual_names(file: Path) -> None:
    file.write_text('[keys]\n"chat.send" = "ctrl+s, F2"\nchat.new = "?"\n'.replace("F2", "f2"))
    assert load_settings(file).keys == {"chat.send": "ctrl+s,f2", "chat.new": "question_mark"}


@pytest.mark.parametrize("character", [c for c in map(chr, range(33, 127)) if c != ","])
def test_character_gets_its_textual_name(character: str) -> None:
    assert normal_keys(character) == textual.keys._character_to_key(character)


def test_unknown_binding_is_named_with_its_line(file: Path) -> None:
    file.write_text("[keys]\nquit = 'ctrl+q'\nchat.snd = 'ctrl+s'\n")
    with pytest.raises(SettingsError) as caught:
        load_settings(file).check_keys(["quit", "chat.send"])
    assert f"{file}, line 3: " in caught.value.message
    assert "chat.send" in caught.value.hint
    load_settings(file).check_keys(["quit", "chat.snd"])


# ── the example, and writing ─────────────────────────────────────────────────────────────────────


def test_example_file_equals_the_generated_one() -> None:
    assert EXAMPLE.read_text() == example(), "run: python -m spnl_tui.settings.example > config.example.toml"


def test_example_file_loads_as_the_defaults() -> None:
    assert load_settings(EXAMPLE) == Settings()


@pytest.mark.slow
def test_example_lists_every_setting_and_each_uncomments(file: Path) -> None:
    text = re.sub(r"(?m)^#(?=\S)", "", EXAMPLE.read_text())
    file.write_text(text)
    load_settings(file)
    document = tomllib.loads(text)
    for section, cls in SECTIONS.items():
        assert list(document[section]) == [name for name, _, _ in documented(cls)]


def test_writing_a_setting_keeps_other_lines_and_comments(file: Path) -> None:
    before = "# mine\n[sampling]   # hot\ntop_k = 5\n\n[interface]\nmouse = false # no mouse\n"
    file.write_text(before)
    file.chmod(0o640)
    write_setting(file, "interface.theme", "nord")
    assert file.read_text() == before + 'theme = "nord"\n'
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    write_setting(file, "interface.theme", None)
    assert file.read_text() == before
    assert list(file.parent.glob(".config*")) == []


def test_writing_creates_the_file_and_follows_a_link(tmp_path: Path) -> None:
    link = tmp_path / "config.toml"
    link.symlink_to(tmp_path / "dotfiles" / "spnl.toml")
    write_setting(link, "sampling.temperature", 0.2)
    assert link.is_symlink()
    assert load_settings(link).sampling.temperature == 0.2


def test_writing_rejects_broken_files_and_invalid_values(file: Path) -> None:
    file.write_text("[interface\n")
    with pytest.raises(SettingsError):
        write_setting(file, "interface.theme", "nord")
    assert file.read_text() == "[interface\n"

    file.write_text("[interface]\n")
    wrong: dict[str, Any] = {"interface.theme": 3, "interface.them": "nord", "hub.token": "hf_x"}
    for name, value in wrong.items():
        with pytest.raises(SettingsError):
            write_setting(file, name, value)
    assert file.read_text() == "[interface]\n"


# ── docs/configuration.md ────────────────────────────────────────────────────────────────────────


def test_documentation_lists_every_variable() -> None:
    text = (EXAMPLE.parent / "docs" / "configuration.md").read_text()
    assert re.findall(r"(?m)^\| `([A-Z_]+)` \|", text) == list(ENVIRONMENT)


def test_persona_sets_prompt_model_and_sampling_below_flags(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text(
        '[chat]\nsystem_prompt = "Be kind."\n'
        '[personas.translator]\nsystem_prompt = "Translate."\nmodel = "starter"\n'
        "sampling = { temperature = 0.2 }\n"
    )
    plain = load_settings(file).as_persona("translator")
    assert (plain.chat.system_prompt, plain.model.default) == ("Translate.", "starter")
    assert plain.sampling.temperature == 0.2
    told = load_settings(file, flags={"model.default": "qwen3:1.7b", "chat.system_prompt": "Sing."})
    assert told.as_persona("translator").model.default == "qwen3:1.7b"
    assert told.as_persona("translator").chat.system_prompt == "Sing."


def test_unknown_persona_error_names_the_nearest(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text('[personas.translator]\nsystem_prompt = "Translate."\n')
    with pytest.raises(SettingsError) as caught:
        load_settings(file).as_persona("transltor")
    assert "translator" in caught.value.hint
