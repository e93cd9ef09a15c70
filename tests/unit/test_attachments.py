"""Files that go with a prompt."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spnl_tui.conversations.attachments import (
    MAX_BYTES,
    Attachment,
    as_typed,
    join,
    mention,
    read,
    split,
)
from spnl_tui.errors import AttachmentError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A directory with a few files."""
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "app.py").write_text('print("hi")\n')
    (tmp_path / "My notes.txt").write_bytes(b"\xef\xbb\xbfone\r\ntwo")
    (tmp_path / "Makefile").write_text("all:\n")
    (tmp_path / "alice").write_text("")
    return tmp_path


def test_files_go_above_the_prompt_and_come_apart_again(folder: Path) -> None:
    text = join(*read('Compare @src/app.py, with (@"My notes.txt") and @Makefile.', folder))
    assert text == (
        '`src/app.py`:\n```py\nprint("hi")\n```\n\n'
        "`My notes.txt`:\n```txt\none\ntwo\n```\n\n"
        "`Makefile`:\n```\nall:\n```\n\n"
        'Compare @src/app.py, with (@"My notes.txt") and @Makefile.'
    )
    prose, attachments = split(text)
    assert prose == 'Compare @src/app.py, with (@"My notes.txt") and @Makefile.'
    assert [(a.path, a.text, a.size) for a in attachments][1] == ("My notes.txt", "one\ntwo", 7)
    assert as_typed(text) == prose


def below(prose: str, files: tuple[Attachment, ...]) -> str:
    """As they were kept at first."""
    return "\n\n".join([prose, *(file.block() for file in files)])


@pytest.mark.parametrize(
    "text",
    ["ask @bob", "bob@example.com", "@", "a @ b", "@dataclass(frozen=True)", "@@count += 1", '@app.get("/")'],
)
def test_mentions_of_no_file_stay_text(text: str, folder: Path) -> None:
    assert read(text, folder) == (text, ())
    assert as_typed(text) == text


def test_file_with_several_names_is_read_once(folder: Path) -> None:
    _, attachments = read("@alice and @alice", folder)
    assert attachments == (Attachment("alice", ""),)
    assert split(join("@alice", attachments)) == ("@alice", attachments)


@pytest.mark.parametrize("text", ["@types/node", "@@types/node", "see @src/app.py", "@nothing.py!"])
def test_second_at_sign_makes_a_mention_text(text: str, folder: Path) -> None:
    typed = as_typed(text)
    assert typed.count("@") == text.count("@") + 1
    assert read(typed, folder) == (text, ())


def test_absolute_and_home_paths_are_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder))
    _, (one, two) = read(f"@{folder}/Makefile @~/src/app.py", Path("/"))
    assert (one.text, two.text) == ("all:", 'print("hi")')


def test_files_that_cannot_be_sent_are_rejected(folder: Path) -> None:
    (folder / "image.png").write_bytes(b"\x89PNG\r\n\0")
    (folder / "latin.txt").write_bytes("é".encode("latin-1"))
    (folder / "huge.log").write_bytes(b"x" * (MAX_BYTES + 1))
    (folder / "half.log").write_bytes(b"x" * (MAX_BYTES // 2 + 1))
    (folder / "half2.log").write_bytes(b"x" * (MAX_BYTES // 2 + 1))
    os.mkfifo(folder / "pipe.txt")
    for text, says in [
        ("@image.png", "binary"),
        ("@latin.txt", "UTF-8"),
        ("@huge.log", r"1\.0 MB"),
        ("@half.log @half2.log", "half2.log"),
        ('@"src"', "directory"),
        ("@pipe.txt", "not a regular file"),
        ("@gone.txt", "no such file"),
        ('@"gone"', '@@"gone"|@@gone'),
        ("@/dev/zero", "not a regular file"),
    ]:
        with pytest.raises(AttachmentError, match=says):
            read(text, folder)


def test_unreadable_file_is_rejected(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)  # the tests may run as root, who may read everything
    with pytest.raises(AttachmentError, match="Permission denied"):
        read("@Makefile", folder)


def test_hand_written_block_stays_text() -> None:
    text = "Look:\n\n`a.py`:\n```py\nx\n```\n\nthat is it"
    assert split(text) == (text, ())
    more = join(f"{text}: @b.py", [Attachment("b.py", "y")])
    assert split(more) == (f"{text}: @b.py", (Attachment("b.py", "y"),))
    alone = "`a.py`:\n```py\nx\n```"
    for whole in (alone, f"{alone}\n", f"{alone}\n\n", f"{alone}\n\nExplain", f"Explain\n\n{alone}"):
        assert split(whole) == (whole, ())
    assert split(join(f"{alone}\n\n@b.py", [Attachment("b.py", "y")]))[1] == (Attachment("b.py", "y"),)


@pytest.mark.slow
def test_unclosed_fences_cost_linear_time() -> None:
    text = "@a" + "\n\n`a`:\n```x\n@" * 50_000
    assert split(text) == (text, ())
    assert split(text + "\n```")[1] != ()


def test_long_words_cost_no_more_than_short_ones() -> None:
    for word in ("/" * 200_000 + "!", "." * 200_000, "@" * 200_000, '"a' * 100_000):
        assert as_typed(f"@{word}").endswith(word)


texts = st.text(alphabet=st.sampled_from("ab`\n@: /."), max_size=40)


@pytest.mark.slow
@given(st.lists(texts, max_size=4))
def test_any_files_split_as_they_were_joined(contents: list[str]) -> None:
    paths = [f"dir/file {number}.md" for number in range(len(contents))]
    files = tuple(Attachment(path, text) for path, text in zip(paths, contents, strict=True))
    prose = " ".join(["About", *map(mention, paths)])
    assert split(join(prose, files)) == split(below(prose, files)) == (prose, files)
