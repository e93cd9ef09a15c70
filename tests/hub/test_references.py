"""What a reference means among the models that are here."""

from __future__ import annotations

from pathlib import Path

import pytest

from spnl_tui.errors import ModelFileError, ModelReferenceError
from spnl_tui.hub.library.library import Library
from spnl_tui.models.files.local import LocalModel
from spnl_tui.models.reference import ModelReference
from tests.support.gguf_maker import make_gguf
from tests.support.hf_cache import add_snapshot, commit_of
from tests.support.library import close_folder, names

parse = ModelReference.parse


@pytest.mark.parametrize(
    ("here", "asked", "label"),
    [
        (["Q8_0", "Q5_K_M", "Q4_K_M"], "", "Q4_K_M"),
        (["q8_0", "q5_k_m"], "", "Q8_0"),
        (["Q5_K_M", "Q6_K"], "", "Q5_K_M"),
        (["Q2_K", "Q6_K", "BF16"], "", "Q6_K"),
        (["Q8_0", "Q5_K_M", "Q4_K_M"], ":q5_k_m", "Q5_K_M"),
        (["Q8_0"], ":Q4_K_M", None),
    ],
)
async def test_resolve_chooses_among_the_models_here(
    library: Library, cache: Path, here: list[str], asked: str, label: str | None
) -> None:
    add_snapshot(cache, "acme/T-GGUF", {f"t-{name}.gguf": name.encode() for name in here})
    model = await library.resolve(parse(f"ACME/t-gguf{asked}"))
    assert (model and model.name) == (label and f"acme/T-GGUF:{label}")


async def test_two_models_in_one_repository_keep_their_names(library: Library, cache: Path) -> None:
    add_snapshot(cache, "acme/T-GGUF", {"t-2b-Q8_0.gguf": b"2", "t-9b-Q8_0.gguf": b"9"})
    assert await names(library) == ["acme/T-GGUF:t-2b-Q8_0", "acme/T-GGUF:t-9b-Q8_0"]
    with pytest.raises(ModelReferenceError, match="2 files are called Q8_0"):
        await library.resolve(parse("acme/T-GGUF:Q8_0"))
    model = await library.resolve(parse("acme/T-GGUF:t-9b-q8_0"))
    assert model is not None
    assert model.files == ("t-9b-Q8_0.gguf",)


async def test_named_revision_resolves_to_its_snapshot(library: Library, cache: Path) -> None:
    add_snapshot(
        cache, "acme/T-GGUF", {"t-Q8_0.gguf": b"same"}, commit=commit_of(1), refs=("v1", "refs/pr/1")
    )
    add_snapshot(cache, "acme/T-GGUF", {"t-Q8_0.gguf": b"same"}, commit=commit_of(2))
    for revision in ("v1", "refs/pr/1", commit_of(1), commit_of(1)[:7]):
        model = await library.resolve(parse(f"acme/T-GGUF@{revision}"))
        assert model is not None, revision
        assert model.directory.name == commit_of(1)
        assert model.name == f"acme/T-GGUF:Q8_0@{revision}"
    assert await library.resolve(parse("acme/T-GGUF@v2")) is None
    assert await library.resolve(parse(f"acme/T-GGUF@{commit_of(1)[:6]}")) is None


async def test_path_resolves_to_its_model(library: Library, tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    file = make_gguf(tmp_path / "one" / "a-Q8_0.gguf")
    assert await library.resolve(ModelReference(path=file)) == LocalModel(
        str(file), "gguf", file.parent, (file.name,)
    )
    folder = tmp_path / "two"
    folder.mkdir()
    for label in ("Q8_0", "Q4_K_M", "Q2_K"):
        make_gguf(folder / f"a-{label}.gguf")
    chosen = await library.resolve(ModelReference(path=folder))
    named = await library.resolve(ModelReference(path=folder, quantization="Q2_K"))
    assert chosen is not None
    assert named is not None
    assert (chosen.files, chosen.name) == (("a-Q4_K_M.gguf",), f"{folder}:Q4_K_M")
    assert named.files == ("a-Q2_K.gguf",)
    with pytest.raises(ModelFileError, match="No Q6_K here"):
        await library.resolve(ModelReference(path=folder, quantization="Q6_K"))
    make_gguf(folder / "b-Q8_0.gguf")
    with pytest.raises(ModelFileError, match="Several models in the directory"):
        await library.resolve(ModelReference(path=folder))
    with pytest.raises(ModelFileError, match="does not exist"):
        await library.resolve(ModelReference(path=tmp_path / "none.gguf"))


async def test_unreadable_path_is_an_error(
    library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    too_long = tmp_path / f"{'a' * 300}.gguf"
    linked, closed = tmp_path / "linked", tmp_path / "closed"
    for folder in (linked, closed):
        folder.mkdir()
    (linked / "a-Q8_0.gguf").symlink_to(too_long)
    close_folder(closed, monkeypatch)
    for path in (too_long, linked, closed):
        reference = ModelReference(path=path)
        for wanted in (library.resolve(reference), library.at_path(reference)):
            with pytest.raises(ModelFileError, match=r"^The model cannot be read"):
                await wanted
    with pytest.raises(ModelFileError, match="File name too long"):
        await library.import_path(too_long)
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    for nowhere in (tmp_path / "file" / "x.gguf", tmp_path / "loop", tmp_path / "loop" / "x.gguf"):
        with pytest.raises(ModelFileError, match="does not exist"):
            await library.resolve(ModelReference(path=nowhere))
