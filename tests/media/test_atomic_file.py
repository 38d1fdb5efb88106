"""Atomic files: complete or absent."""

from __future__ import annotations

import errno
import os
import signal
import time
from pathlib import Path

import pytest

from thcli.core.errors import OutputError
from thcli.media.atomic_file import AtomicFile, JsonLinesWriter, replace_atomically
from thcli.media.destination import publish


def test_a_file_appears_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "x.bin"
    with pytest.raises(KeyError), AtomicFile(path, False) as file:
        file.partial.write_bytes(b"half")
        raise KeyError
    assert list(tmp_path.iterdir()) == []
    with AtomicFile(path, False) as file:
        file.partial.write_bytes(b"whole")
        assert not path.exists()
    assert path.read_bytes() == b"whole"
    assert list(tmp_path.iterdir()) == [path]


def test_an_invalid_target_fails_early(tmp_path: Path) -> None:
    path = tmp_path / "x.bin"
    path.touch()
    with pytest.raises(OutputError, match="exists already"):
        AtomicFile(path, False)
    with pytest.raises(OutputError, match="is a folder"):
        AtomicFile(tmp_path, True)
    with pytest.raises(OutputError, match="no does not exist"):
        AtomicFile(tmp_path / "no" / "x.bin", True)
    with pytest.raises(OutputError, match="bin is a file, not a folder"):
        AtomicFile(path / "deep" / "y.bin", True)


def test_an_existing_file_is_replaced_on_success_only(tmp_path: Path) -> None:
    path = tmp_path / "x.tar.gz"
    path.write_text("old")
    with pytest.raises(KeyError), replace_atomically(path, overwrite=True) as partial:
        partial.write_text("half")
        raise KeyError
    assert path.read_text() == "old"
    with replace_atomically(path, overwrite=True) as partial:
        assert partial.suffix == ".gz"
        partial.write_text("new")
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_an_os_error_of_the_block_becomes_an_output_error(tmp_path: Path) -> None:
    with (
        pytest.raises(OutputError, match="The disk is full"),
        replace_atomically(tmp_path / "x.bin", overwrite=False) as partial,
    ):
        partial.touch()
        raise OSError(28, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_json_lines_of_an_interrupted_run_are_discarded(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    with pytest.raises(KeyboardInterrupt), JsonLinesWriter(path, False) as lines:
        lines.write({"a": 1})
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []
    with JsonLinesWriter(path, False) as lines:
        lines.write({"a": 1})
        lines.write({"b": [2]})
    assert path.read_text() == '{"a":1}\n{"b":[2]}\n'


@pytest.mark.parametrize("links", [True, False])
def test_a_new_file_never_replaces_another(
    links: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without links, as on some file systems, an empty file reserves the name."""
    if not links:
        monkeypatch.setattr(os, "link", refused)
    path, partial = tmp_path / "x.bin", tmp_path / ".x.bin.partial"
    partial.write_text("first")
    publish(partial, path, overwrite=False)
    assert path.read_text() == "first" and list(tmp_path.iterdir()) == [path]
    partial.write_text("second")
    with pytest.raises(OutputError, match="exists already"):
        publish(partial, path, overwrite=False)
    assert path.read_text() == "first" and partial.exists()
    publish(partial, path, overwrite=True)
    assert path.read_text() == "second" and list(tmp_path.iterdir()) == [path]


def test_a_name_that_was_reserved_is_given_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "link", refused)
    monkeypatch.setattr(Path, "replace", refused)
    partial = tmp_path / ".x.bin.partial"
    partial.touch()
    with pytest.raises(PermissionError):
        publish(partial, tmp_path / "x.bin", overwrite=False)
    assert list(tmp_path.iterdir()) == [partial]


def refused(*given: object) -> None:
    raise PermissionError(errno.EPERM, "Operation not permitted")


@pytest.mark.usefixtures("interrupt_handler")
@pytest.mark.parametrize("call", ["touch", "unlink"])
def test_ctrl_c_while_a_folder_is_tried_leaves_nothing(
    call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = getattr(Path, call)

    def press(path: Path, *args: object, **named: object) -> None:
        if call == "unlink":
            signal.raise_signal(signal.SIGINT)
        original(path, *args, **named)
        if call == "touch":
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Path, call, press)
    with pytest.raises(KeyboardInterrupt):
        AtomicFile(tmp_path / "x.bin", False)
        time.sleep(5)
    assert list(tmp_path.iterdir()) == []
