"""Text files that the user names: only files are read, and only so much of them."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from spnl_tui.settings.toml import line_of, parse_toml
from spnl_tui.text_files import UnreadableFileError, read_text_file


def reason(path: Path) -> str:
    with pytest.raises(UnreadableFileError) as caught:
        read_text_file(path, 1000)
    return str(caught.value)


def test_fifos_devices_and_folders_are_rejected_by_kind(tmp_path: Path) -> None:
    os.mkfifo(fifo := tmp_path / "fifo")
    (tmp_path / "link").symlink_to(fifo)
    (tmp_path / "dangling").symlink_to(tmp_path / "nothing")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        assert "a FIFO" in reason(fifo)
        assert "a FIFO" in reason(tmp_path / "link")
        assert "a socket" in reason(tmp_path / "socket")
    assert "a device" in reason(Path("/dev/zero"))
    assert "a directory" in reason(tmp_path)
    assert "does not exist" in reason(tmp_path / "nothing")
    assert "a link to a file that does not exist" in reason(tmp_path / "dangling")


def test_large_or_undecodable_file_is_rejected_with_the_numbers(tmp_path: Path) -> None:
    (large := tmp_path / "large").touch()
    os.truncate(large, 10**12)
    assert "1.0 TB" in reason(large)
    (latin := tmp_path / "latin").write_bytes("naïve".encode("latin-1"))
    assert "byte 2 is not UTF-8" in reason(latin)


def test_byte_order_mark_is_dropped(tmp_path: Path) -> None:
    (file := tmp_path / "marked").write_text("text", "utf-8-sig")
    assert read_text_file(file, 1000) == "text"


def test_pipe_from_the_shell_is_read_only_where_pipes_are_allowed() -> None:
    read_end, write_end = os.pipe()
    os.write(write_end, b"piped")
    os.close(write_end)
    try:
        assert "a FIFO" in reason(Path(f"/dev/fd/{read_end}"))
        assert read_text_file(Path(f"/dev/fd/{read_end}"), 1000, pipes=True) == "piped"
    finally:
        os.close(read_end)


@pytest.mark.parametrize(
    "text",
    [
        "a = " + "[" * 100_000,
        "a = " + "[" * 5_000 + "]" * 5_000,
        "a = " + "{b = " * 30 + "1" + "}" * 30,
        ".".join("a" * 5_000) + " = 1",
        "a = " + "9" * 10_000,
        "a = 0x" + "f" * 10_000,
        "a = -9223372036854775809",
    ],
)
def test_hostile_toml_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"nested too deeply|more than 64 bits"):
        parse_toml(text)


def test_line_is_not_searched_in_a_long_file() -> None:
    assert line_of("# a comment\n" * 500 + "[a]\nb = 1\n", ("a", "b")) == 502
    assert line_of("# a comment\n" * 50_000 + "[a]\nb = 1\n", ("a", "b")) is None
