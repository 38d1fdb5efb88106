"""Temporary folders: those of killed processes are removed, those of living ones are not."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from thcli.core.temp_folders import guarded, is_temporary, remove_stale_folders, temporary_folder

if sys.platform == "win32":
    pytest.skip("Windows cannot lock folders", allow_module_level=True)

HOLDER = """
import sys
from pathlib import Path
from thcli.core.temp_folders import guarded
partial = Path(sys.argv[1])
with guarded(partial):
    partial.mkdir()
    print("ready", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty folder that is the system's temporary folder."""
    path = tmp_path / "tmp"
    path.mkdir()
    monkeypatch.setenv("TMPDIR", str(path))
    monkeypatch.setattr("tempfile.tempdir", None)
    return path


def test_a_folder_vanishes_with_its_block(root: Path) -> None:
    with temporary_folder() as folder:
        (folder / "a").write_text("a")
        assert folder.parent == root and is_temporary(folder / "a")
        remove_stale_folders()
        assert (folder / "a").exists()
    assert list(root.iterdir()) == []
    assert not is_temporary(root / "thcli-notes.txt")


def test_what_a_killed_process_leaves_is_removed(root: Path, tmp_path: Path) -> None:
    partial = tmp_path / ".out.mp4.1234.partial"
    command = [sys.executable, "-c", HOLDER, str(partial)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"ready\n"
        remove_stale_folders()
        assert partial.exists() and len(list(root.iterdir())) == 1, "its process lives"
        process.send_signal(signal.SIGKILL)
    assert partial.exists()
    remove_stale_folders()
    assert not partial.exists() and list(root.iterdir()) == []


def test_a_folder_may_vanish_while_others_are_looked_for(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vanishing, stale = root / "thcli-a.tmp", root / "thcli-b.tmp"
    vanishing.mkdir()
    stale.mkdir()
    is_dir = Path.is_dir

    def vanish(path: Path) -> bool:
        found = is_dir(path)
        if path == vanishing:  # its own process ends just then
            path.rmdir()
        return found

    monkeypatch.setattr(Path, "is_dir", vanish)
    remove_stale_folders()
    monkeypatch.undo()
    assert not vanishing.exists() and not stale.exists()


def test_other_folders_are_kept(root: Path) -> None:
    names = ["thcli-work", "thcli-notes.tmp.d", "other.tmp", "thcli-.tmp", "thcli-A B.tmp"]
    for name in names:
        (root / name).mkdir()
    (root / "thcli-file.tmp").write_text("not a folder")
    (root / "thcli-link.tmp").symlink_to(root / "thcli-work")
    remove_stale_folders()
    assert {*names, "thcli-file.tmp", "thcli-link.tmp"} == {p.name for p in root.iterdir()}


def test_only_hidden_files_are_taken_for_partial_outputs(root: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept.mp4"
    kept.write_text("the user's")
    folder = root / "thcli-abc.tmp"
    folder.mkdir()
    (folder / "guarded").write_text(str(kept))
    remove_stale_folders()
    assert kept.exists() and not folder.exists()


def test_a_guarded_file_is_left_to_its_owner(root: Path, tmp_path: Path) -> None:
    partial = tmp_path / ".a.partial"
    with guarded(partial):
        partial.write_text("a")
    assert partial.exists() and list(root.iterdir()) == []
