"""Documents as text for a model, and those that are refused. Each is read in a child process."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from spnl_tui.conversations.attachments import as_typed, join, read
from spnl_tui.errors import AttachmentError
from spnl_tui.media.conversion import SECONDS
from spnl_tui.media.image_store import ImageStore
from spnl_tui.media.media_reader import MediaReader
from tests.support import documents

pytestmark = pytest.mark.slow

_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600)
READ: list[tuple[str, Callable[[], bytes], str, str]] = [
    ("a.pdf", lambda: documents.pdf(["Hello", "World"]), "", "[page 1 of 2]\nHello\n\n[page 2 of 2]\nWorld"),
    (
        "a.pdf",
        lambda: documents.pdf("abcdef"),
        "2-3,6",
        "[page 2 of 6]\nb\n\n[page 3 of 6]\nc\n\n[page 6 of 6]\nf",
    ),
    ("s.pdf", lambda: documents.pdf(["Hello", ""]), "", "[no text on page 2: scanned, or only pictures]"),
    ("e.pdf", lambda: documents.encrypted_pdf(""), "", "secret"),
    ("a.docx", documents.docx, "", "# Report\n\nAll is well.\n\n| a | b |\n|---|---|\n| 1 | 2\\|3 |"),
    ("a.pptx", documents.pptx, "2", "[slide 2 of 2]\nSecond"),
    ("a.xlsx", documents.xlsx, "", "[sheet 1: Prices]\n| item | price |\n|---|---|\n| tea | 2.5 |"),
    ("a.epub", documents.epub, "", "[chapter 1 of 2]\n# Two\n\n[chapter 2 of 2]\n# One\n\nOnce."),
    ("a.ipynb", documents.notebook, "", "# Title\nwords\n\n[cell 2]\n1 + 1\n\n[output]\n2"),
    ("a.csv", lambda: "a;b\n1;2\n".encode("utf-16"), "", "| a | b |\n|---|---|\n| 1 | 2 |"),
    ("a.html", lambda: b"<head><title>x</title></head><h2>Hi</h2><script>no</script>", "", "## Hi"),
]
REFUSED: list[tuple[str, Callable[[], bytes], str, str]] = [
    ("locked.pdf", lambda: documents.encrypted_pdf("key"), "", "password"),
    ("scanned.pdf", lambda: documents.pdf(["", ""]), "", "scanned"),
    ("cut.pdf", lambda: documents.pdf(["Hello"])[:60], "", "damaged"),
    ("empty.pdf", lambda: b"", "", "damaged"),
    ("text.pdf", lambda: b"Hello\n" * 100, "", "damaged"),
    ("none.pdf", lambda: documents.pdf(["Hello"]), "7-9", "none of them"),
    ("wrong.pdf", lambda: documents.pdf(["Hello"]), "3--9", "selects no pages"),
    ("locked.docx", lambda: _OLE, "", "password"),
    ("text.docx", lambda: b"Hello", "", "not what its name says"),
    ("cut.docx", lambda: documents.docx()[:2000], "", "damaged"),
    ("sheet.docx", documents.xlsx, "", "not what its name says"),
    ("bomb.docx", documents.zip_bomb, "", "enormous"),
    ("many.epub", lambda: documents.archive({f"{n}": b"" for n in range(21_000)}), "", "enormous"),
    ("laughing.docx", documents.laughing_docx, "", ""),
    ("list.ipynb", lambda: b"[1, 2]", "", "not a Jupyter notebook"),
    ("deep.ipynb", lambda: b"[" * 100_000, "", "not a Jupyter notebook"),
    ("binary.csv", lambda: bytes(range(256)) * 9, "", "binary"),
    ("blank.html", lambda: b"<p> </p>", "", "no text"),
    ("long.csv", lambda: b"word,word\n" * 500_000, "", "million characters"),
]


@pytest.fixture
def media(tmp_path: Path) -> MediaReader:
    return MediaReader(ImageStore(tmp_path / "images"))


@pytest.mark.parametrize(("name", "make", "pages", "expected"), READ)
def test_document_becomes_text_with_marks_for_pages(
    name: str, make: Callable[[], bytes], pages: str, expected: str, media: MediaReader, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(make())
    assert expected in media.document(tmp_path / name, name, pages)


@pytest.mark.parametrize(("name", "make", "pages", "reason"), REFUSED, ids=[name for name, *_ in REFUSED])
def test_document_that_cannot_be_read_is_refused_in_time_with_the_reason(
    name: str, make: Callable[[], bytes], pages: str, reason: str, media: MediaReader, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(make())
    began = time.monotonic()
    with pytest.raises(AttachmentError) as caught:
        media.document(tmp_path / name, name, pages)
    assert time.monotonic() - began < SECONDS + 5  # the child is killed, whatever it does
    assert caught.value.title == f"{name} cannot be attached"
    assert reason in caught.value.message


def test_mentioned_pages_are_sent_and_come_back_as_typed(media: MediaReader, tmp_path: Path) -> None:
    (tmp_path / "paper.pdf").write_bytes(documents.pdf(["Hello", "World"]))
    typed = "Sum up @paper.pdf#2, please"
    prose, attached = read(typed, tmp_path, media)
    assert [(each.path, each.text) for each in attached] == [("paper.pdf#2", "[page 2 of 2]\nWorld")]
    assert as_typed(join(prose, attached)) == typed


def test_directory_is_sent_as_a_tree_and_its_text_files(media: MediaReader, tmp_path: Path) -> None:
    for path, data in {
        "src/a.py": b"print(1)\n",
        "src/in/b.md": b"```\nfence\n```",
        "src/c.bin": b"\0\1",
        "src/d.txt": b"\xff\xfe\xfa",
        "src/huge.log": b"x" * 300_000,
        "src/.git/config": b"hidden",
        "src/node_modules/x.js": b"hidden",
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(data)
    (tmp_path / "src" / "loop").symlink_to(tmp_path, target_is_directory=True)
    _, (attached,) = read("Explain @src/", tmp_path, media)
    assert attached.text == (
        "2 of 5 files:\n- a.py\n- c.bin (not included: binary)\n- d.txt (not included: not UTF-8)\n"
        "- huge.log (not included: 300.0 kB, over the limit of 262.1 kB)\n- in/b.md\n\n"
        "── a.py ──\nprint(1)\n\n── in/b.md ──\n```\nfence\n```"
    )
    (tmp_path / "empty").mkdir()
    with pytest.raises(AttachmentError, match="cannot be attached"):
        read("@empty/", tmp_path, media)
