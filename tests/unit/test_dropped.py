"""Paths that a terminal pastes when files are dropped on it."""

from __future__ import annotations

from pathlib import Path

import pytest

from spnl_tui.ui.chat.input.dropped import mentions_of_drop


@pytest.mark.parametrize(
    ("pasted", "mentions"),
    [
        ("{0}/a.png", "@{0}/a.png "),
        ("{0}/b c.png", '@"{0}/b c.png" '),
        ("'{0}/b c.png'\n", '@"{0}/b c.png" '),
        ("{0}/b\\ c.png", '@"{0}/b c.png" '),
        ("file://{0}/b%20c.png", '@"{0}/b c.png" '),
        ("{0}/a.png '{0}/b c.png'", '@{0}/a.png @"{0}/b c.png" '),
        ("{0}/missing.png", None),
        ("{0}/a.png and more", None),
        ("{0}", None),
        ("a.png", None),
        ("'It is an open quotation", None),
        ("/" * 9000, None),
        ("/a\0b", None),
        ("", None),
    ],
)
def test_paste_of_existing_paths_becomes_mentions_and_other_text_stays(
    pasted: str, mentions: str | None, tmp_path: Path
) -> None:
    for name in ("a.png", "b c.png"):
        (tmp_path / name).touch()
    expected = None if mentions is None else mentions.format(tmp_path)
    assert mentions_of_drop(pasted.format(tmp_path)) == expected


def test_dropped_file_below_the_working_directory_is_mentioned_briefly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.png").touch()
    monkeypatch.chdir(tmp_path)
    assert mentions_of_drop(f"{tmp_path}/a.png") == "@a.png "
