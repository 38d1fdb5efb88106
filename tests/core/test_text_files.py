"""Bounded text files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from thcli.core import text_files
from thcli.core.text_files import read_csv, read_text, reading_reason


def test_a_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_bytes(b"\xef\xbb\xbfa,b\r\n")
    assert read_text(file) == "a,b\r\n"


def test_a_file_without_an_end_is_not_read_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_files, "MAX_BYTES", 1 << 20)
    with pytest.raises(ValueError, match="more than 1 MiB"):
        read_text(Path("/dev/zero"))


def test_a_pipe_is_read(tmp_path: Path) -> None:
    read, write = os.pipe()
    try:
        os.write(write, b"seed = 1\n")
    finally:
        os.close(write)
    try:
        assert read_text(Path(f"/dev/fd/{read}")) == "seed = 1\n"
    finally:
        os.close(read)


@pytest.mark.parametrize("content", [b"\xff\xfea", b"\x80"])
def test_other_encodings_are_refused(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_bytes(content)
    with pytest.raises(ValueError, match="utf-8"):
        read_text(file)


def test_why_a_file_is_not_read_is_said_in_words(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\x80")
    reasons = []
    for name in ("absent", "", "binary"):
        try:
            read_text(tmp_path / name)
        except (OSError, ValueError) as error:
            reasons.append(reading_reason(error))
    assert reasons == ["No such file or directory", "Is a directory", "it is no text in UTF-8"]


def test_rows_of_a_csv_have_the_names_after_a_byte_order_mark(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_bytes(b'\xef\xbb\xbfclip,note\r\n"a.mp4","two\r\nlines"\r\n')
    assert list(read_csv(file)) == [{"clip": "a.mp4", "note": "two\r\nlines"}]
