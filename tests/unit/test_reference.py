from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spnl_tui.errors import ModelReferenceError
from spnl_tui.models.pretty_names import PRETTY_NAMES, pretty_name_of, sizes_of
from spnl_tui.models.reference import ModelReference

parse = ModelReference.parse


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("qwen3:1.7b", "unsloth/Qwen3-1.7B-GGUF"),
        (" Qwen3:1.7B ", "unsloth/Qwen3-1.7B-GGUF"),
        ("qwen3:1.7b:q8_0", "unsloth/Qwen3-1.7B-GGUF:Q8_0"),
        ("qwen3:1.7b@main", "unsloth/Qwen3-1.7B-GGUF@main"),
        ("qwen3:1.7b:Q8_0@v2", "unsloth/Qwen3-1.7B-GGUF:Q8_0@v2"),
        ("phi4", "unsloth/phi-4-GGUF"),
        ("phi4:Q6_K", "unsloth/phi-4-GGUF:Q6_K"),
        ("qwen2.5:7b", "Qwen/Qwen2.5-7B-Instruct-GGUF"),
        ("qwen2.5-coder:7b", "Qwen/Qwen2.5-Coder-7B-Instruct-GGUF"),
        ("starter", "starter"),
        ("mistralrs/starter", "starter"),
        ("local/qwen3:4b", "unsloth/Qwen3-4B-GGUF"),
        ("mistralrs/Qwen/Qwen3-1.7B", "Qwen/Qwen3-1.7B"),
        ("mistralrs//models/x.gguf", "/models/x.gguf"),
        ("ORG/Name", "ORG/Name"),
        ("unsloth/qwen3-1.7b-gguf", "unsloth/Qwen3-1.7B-GGUF"),
        ("org/name-GGUF:ud-q4_k_xl@refs/pr/1", "org/name-GGUF:UD-Q4_K_XL@refs/pr/1"),
        ("dranger003/gemma-7b-it-iMat.GGUF", "dranger003/gemma-7b-it-iMat.GGUF"),
        ("openai/gpt-oss-20b", "openai/gpt-oss-20b"),
        ("openai/whisper-tiny", "openai/whisper-tiny"),
        ("hf.co/org/name:Q8_0", "org/name:Q8_0"),
        ("hf://org/name", "org/name"),
        ("https://huggingface.co/org/name", "org/name"),
        ("https://huggingface.co/org/name/tree/v1", "org/name@v1"),
        (
            "https://huggingface.co/org/name/blob/main/sub/m-Q5_K_M.gguf?download=true",
            "org/name:sub/m-Q5_K_M",
        ),
        ("/models/x.gguf", "/models/x.gguf"),
        ("/models/dir:q8_0", "/models/dir:Q8_0"),
        ("/models/../x.gguf", "/x.gguf"),
    ],
)
def test_reference_has_a_canonical_text(text: str, canonical: str) -> None:
    reference = parse(text)
    assert str(reference) == canonical
    assert parse(str(reference)) == reference


def test_path_references_are_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    assert parse("./x.gguf").path == tmp_path / "x.gguf"
    assert parse("x.gguf").path == tmp_path / "x.gguf"
    assert parse("models/x.gguf").path == tmp_path / "models" / "x.gguf"
    assert parse("../up").path == tmp_path.parent / "up"
    assert parse("~/x.gguf").path == tmp_path / "me" / "x.gguf"
    assert parse("~/dir:Q8_0") == ModelReference(path=tmp_path / "me" / "dir", quantization="Q8_0")


def test_colon_in_a_file_name_is_not_a_quantization() -> None:
    assert parse("/m/a:b.gguf").path == Path("/m/a:b.gguf")
    assert parse("/m/12:30").path == Path("/m/12:30")


@pytest.mark.parametrize(
    ("text", "title", "hint"),
    [
        ("", "No model named", "qwen3:1.7b"),
        ("a\x1b[31m/b", "No model named", ""),
        ("qwen3", "Which qwen3?", "qwen3:0.6b, qwen3:1.7b"),
        ("qwen3:9b", "Which qwen3?", "qwen3:8b"),
        ("qwn3:1.7b", "Unknown model", "qwen3:1.7b"),
        ("lama3.2:1b", "Unknown model", "llama3.2:1b"),
        ("startr", "Unknown model", "starter"),
        ("zzzzzz", "Unknown model", "ORG/NAME"),
        ("a/b/c", "Not a model reference", "./a/b/c"),
        ("a/b/c.gguf", "Not a model reference", "./a/b/c.gguf"),
        ("a/b:", "Not a model reference", "Q4_K_M"),
        ("a/b@", "Not a model reference", "ORG/NAME:QUANT@REVISION"),
        ("a/b@main:Q8_0", "Not a model reference", "ORG/NAME:QUANT@REVISION"),
        ("a b/c", "Not a model reference", "letters"),
        ("a/..b", "Not a model reference", "letters"),
        ("a/" + "b" * 100, "Not a model reference", ""),
        ("starter:Q8_0", "Not a model reference", "starter"),
        ("starter@main", "Not a model reference", "starter"),
        ("qwen3:4b:Q8_0:x", "Not a model reference", "FAMILY:SIZE:QUANT"),
        ("hf.co/org", "Not a model reference", "address"),
        ("openai/gpt-4o", "This model runs on a server", "gpt-oss"),
        ("ollama/llama3.2:1b", "This model runs on a server", "llama3.2:1b"),
        ("ollama/org/name", "This model runs on a server", "org/name"),
        ("gemini/gemini-2.5-pro", "This model runs on a server", ""),
    ],
)
def test_rejected_reference_suggests_a_correction(text: str, title: str, hint: str) -> None:
    with pytest.raises(ModelReferenceError) as caught:
        parse(text)
    assert caught.value.title == title
    assert hint in caught.value.hint
    assert "\x1b" not in str(caught.value)


def test_pretty_name_resolves_to_its_repository() -> None:
    assert parse("unsloth/qwen3-4b-gguf:q8_0").pretty == "qwen3:4b:Q8_0"
    assert parse("org/name").pretty == "org/name"
    assert parse("starter").pretty == "starter"


def test_table_of_pretty_names_is_consistent() -> None:
    assert len(set(PRETTY_NAMES.values())) == len(PRETTY_NAMES)
    for name, repository in PRETTY_NAMES.items():
        assert name == name.lower()
        assert str(parse(name)) == repository
        assert parse(repository).pretty == name == pretty_name_of(repository.upper())
        assert name.split(":")[1] in sizes_of(name.split(":")[0])


def test_names_of_spnl_are_known_and_qwen25_is_corrected() -> None:
    spnl = {
        "llama3.1": ["8b", "70b"],
        "llama3.2": ["1b", "3b"],
        "llama3.3": ["70b"],
        "gemma2": ["2b"],
        "gemma3": ["270m", "1b", "4b", "12b", "27b"],
        "phi3": ["3b"],
        "phi3.5": ["3b"],
        "phi4": ["14b"],
        "qwen2.5": ["0.5b", "1.5b", "3b", "7b", "14b", "32b", "72b"],
    }
    assert {f"{family}:{size}" for family, sizes in spnl.items() for size in sizes} <= set(PRETTY_NAMES)
    assert not [
        name for name in PRETTY_NAMES if name.startswith("qwen2.5:") and "Coder" in PRETTY_NAMES[name]
    ]


names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._]{0,20}[A-Za-z0-9]", fullmatch=True).filter(
    lambda name: ".." not in name and name.lower() not in ("mistralrs", "local", "openai", "ollama", "gemini")
)
quantizations = st.sampled_from([None, "Q4_K_M", "UD-IQ1_S", "BF16", "Q4_0_4_4"])
revisions = st.sampled_from([None, "main", "v1.0", "refs/pr/3", "0123abc"])


@pytest.mark.slow
@given(names, names.filter(lambda name: not name.endswith(".gguf")), quantizations, revisions)
def test_hub_references_round_trip(org: str, name: str, label: str | None, revision: str | None) -> None:
    reference = ModelReference(repository=f"{org}/{name}", quantization=label, revision=revision)
    assert parse(str(reference)) == reference
    assert parse(f"mistralrs/{reference}") == reference


@pytest.mark.slow
@given(st.lists(names, min_size=1, max_size=4), quantizations)
def test_path_references_round_trip(parts: list[str], label: str | None) -> None:
    reference = ModelReference(path=Path("/", *parts), quantization=label)
    assert parse(str(reference)) == reference


@given(st.text(max_size=60))
def test_any_text_gives_a_reference_or_a_reference_error(text: str) -> None:
    try:
        reference = parse(text)
    except ModelReferenceError:
        return
    assert parse(str(reference)) == reference


def test_documentation_contains_the_table() -> None:
    text = (Path(__file__).parents[2] / "docs" / "references.md").read_text(encoding="utf-8")
    rows = [
        line for line in text.splitlines() if line.startswith("| `") and "](https://huggingface.co/" in line
    ]
    assert rows == [
        f"| `{name}` | [{repository}](https://huggingface.co/{repository}) |"
        for name, repository in PRETTY_NAMES.items()
    ]
