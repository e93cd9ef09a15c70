"""Models of other programs: found in place, listed once with their origin, never changed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from spnl_tui.errors import ModelFileError, StoreError
from spnl_tui.hub.library.library import Library
from spnl_tui.hub.library.programs.scan import OtherPrograms
from spnl_tui.hub.library.programs.usage import duplicates_of, usage_of
from spnl_tui.models.reference import ModelReference
from tests.support import other_programs as others
from tests.support.gguf_maker import make_gguf


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def gguf(tmp_path: Path) -> Path:
    return make_gguf(tmp_path / "made.gguf")


def library_of(home: Path, *extra: Path, environ: dict[str, str] | None = None) -> Library:
    return Library(
        home / ".cache/huggingface/hub",
        home / "imported.json",
        model_dirs=extra,
        programs=OtherPrograms(home, environ or {}),
    )


async def origins(library: Library) -> dict[str, str]:
    listing = await library.listing()
    assert listing.problems == ()
    assert len({str(entry.reference) for entry in listing.entries}) == len(listing.entries)
    return {str(entry.reference): entry.origin for entry in listing.entries}


async def test_each_programs_models_are_listed_once_and_not_changed(home: Path, gguf: Path) -> None:
    expected = others.add_all(home, gguf)
    before = others.hashes(home)
    library = library_of(home)
    assert await origins(library) == expected
    for entry in (await library.listing()).entries:
        model = await library.resolve(ModelReference.parse(str(entry.reference)))
        assert model is not None
        assert model.files == entry.files
        library.mark_used(model)
    await library.close()
    assert others.hashes(home) == before


async def test_model_of_another_program_cannot_be_removed(home: Path, gguf: Path) -> None:
    others.add_all(home, gguf)
    before = others.hashes(home)
    library = library_of(home)
    hints = {}
    for entry in (await library.listing()).entries:
        with pytest.raises(StoreError) as caught:
            await library.remove(entry)
        hints[entry.origin] = caught.value.hint
    assert hints["ollama"] == "To remove the model: ollama rm smol:135m"
    assert str(home / ".cache/llama.cpp") in hints["llama.cpp"]
    await library.close()
    assert others.hashes(home) == before


async def test_names_of_ollamas_models_follow_its_own_rules(home: Path, gguf: Path) -> None:
    models = home / "moved"
    for registry, name in (
        ("registry.ollama.ai", "library/smol/latest"),
        ("registry.ollama.ai", "library/smol/135m"),
        ("registry.ollama.ai", "someone/smol/latest"),
        ("hf.co", "org/Smol-GGUF/Q4_1"),
    ):
        system = "" if name.startswith("library") else name
        others.add_ollama(models, name, gguf, registry=registry, system=system)
    library = library_of(home, environ={"OLLAMA_MODELS": str(models)})
    assert await origins(library) == {
        "ollama:smol:135m": "ollama",  # and not its other name, smol:latest
        "ollama:someone/smol:latest": "ollama",
        "ollama:hf.co/org/Smol-GGUF:Q4_1": "ollama",
    }
    for name in ("ollama:smol", "ollama:smol:latest", "ollama:SMOL:135m"):
        assert await library.resolve(ModelReference.parse(name)) is not None


async def test_damaged_manifests_and_partial_pulls_are_left_out(home: Path, gguf: Path) -> None:
    models = home / ".ollama/models"
    others.add_ollama(models, "library/good/latest", gguf)
    manifests = models / "manifests/registry.ollama.ai/library"
    for number, text in enumerate(
        (
            "",
            "[]",
            "{",
            '{"layers": 1}',
            '{"layers": [1]}',
            '{"layers": [{"mediaType": 1, "digest": 2}]}',
            json.dumps(
                {"layers": [{"mediaType": "application/vnd.ollama.image.model", "digest": "sha256:../.."}]}
            ),
            json.dumps(
                {
                    "layers": [
                        {"mediaType": "application/vnd.ollama.image.model", "digest": "sha256:" + "0" * 64}
                    ]
                }
            ),
        )
    ):
        others.write(manifests / f"bad{number}/latest", text)
    assert await origins(library_of(home)) == {"ollama:good:latest": "ollama"}


async def test_ollama_model_with_adapter_names_it_and_is_refused(home: Path, gguf: Path) -> None:
    others.add_ollama(home / ".ollama/models", "library/tuned/latest", gguf, adapter=b"GGUF adapter")
    library = library_of(home)
    with pytest.raises(ModelFileError, match="sha256-") as caught:
        await library.resolve(ModelReference.parse("ollama:tuned"))
    assert caught.value.title == "The model needs an adapter"


async def test_own_folders_are_searched_by_content(home: Path, gguf: Path) -> None:
    folder = home / "models"
    others.link(gguf, folder / "without-suffix")
    others.link(gguf, folder / "deeper/model.bin")
    others.write(folder / "not-a-model.gguf", "nothing")
    others.write(folder / "notes.txt", "GGUF")
    listed = await origins(library_of(home, folder))
    assert listed == {
        str(folder / "without-suffix"): "folder",
        str(folder / "deeper/model.bin"): "folder",
    }


async def test_repository_in_lm_studio_needs_no_pull(home: Path, gguf: Path) -> None:
    others.add_all(home, gguf)
    model = await library_of(home).resolve(ModelReference.parse("lmstudio-community/Smol-GGUF"))
    assert model is not None
    assert model.directory == home / ".lmstudio/models/lmstudio-community/Smol-GGUF"


async def test_file_that_two_programs_share_is_listed_once(home: Path, gguf: Path) -> None:
    others.link(gguf, home / ".lmstudio/models/org/Smol-GGUF/Smol-Q4_1.gguf")
    shared = home / "koboldcpp/smol.gguf"
    shared.parent.mkdir(parents=True)
    shared.symlink_to(home / ".lmstudio/models/org/Smol-GGUF/Smol-Q4_1.gguf")
    assert await origins(library_of(home)) == {"org/Smol-GGUF:Q4_1": "lm-studio"}


async def test_unknown_name_of_ollama_names_similar_ones(home: Path, gguf: Path) -> None:
    others.add_all(home, gguf)
    with pytest.raises(ModelFileError, match="has not pulled smol:latest") as caught:
        await library_of(home).resolve(ModelReference.parse("ollama:smol"))
    assert caught.value.hint == "Ollama has smol:135m."


def _large_copies(home: Path, gguf: Path) -> tuple[int, Path]:
    """Put one large file into three programs, one of which has a copy. Return its size and the copy."""
    large = home.parent / "large.gguf"
    large.write_bytes(gguf.read_bytes() + bytes(2_000_000))
    others.add_ollama(home / ".ollama/models", "library/a/latest", large)
    others.add_ollama(home / ".ollama/models", "library/b/latest", large, system="Another.")
    others.link(large, home / "koboldcpp/linked.gguf")
    copied = home / ".cache/gpt4all/copied.gguf"
    copied.parent.mkdir(parents=True)
    copied.write_bytes(large.read_bytes())
    return large.stat().st_size, copied


async def test_usage_counts_files_once_and_copies_are_duplicates(home: Path, gguf: Path) -> None:
    size, copied = _large_copies(home, gguf)
    entries = (await library_of(home).listing()).entries
    assert {(usage.origin, usage.count, usage.bytes) for usage in usage_of(entries)} == {
        ("ollama", 2, size),
        ("koboldcpp", 1, size),
        ("gpt4all", 1, size),
    }
    [same] = duplicates_of(entries)
    assert same.bytes == size
    assert copied in same.paths
    assert len(same.paths) == 2


async def test_unchanged_folder_is_listed_again_without_opening_files(
    home: Path, gguf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = home / "models"
    others.link(gguf, folder / "without-suffix")
    others.link(gguf, home / "koboldcpp/smol.gguf")
    library = library_of(home, folder)
    first = await origins(library)
    opened: list[str] = []

    def is_gguf(path: str) -> bool:
        opened.append(path)
        return True

    monkeypatch.setattr("spnl_tui.hub.library.scan.is_gguf", is_gguf)
    assert await origins(library) == first
    assert opened == []
    others.write(folder / "added.bin", "GGUF and more")
    assert str(folder / "added.bin") in await origins(library)
    (folder / "without-suffix").unlink()
    assert str(folder / "without-suffix") not in await origins(library)


async def test_file_that_is_replaced_by_a_model_is_listed(home: Path, gguf: Path) -> None:
    partial = others.write(home / "models/download.bin", "nothing yet")
    library = library_of(home, home / "models")
    assert await origins(library) == {}
    partial.unlink()
    others.link(gguf, partial)
    assert await origins(library) == {str(partial): "folder"}
