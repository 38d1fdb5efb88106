"""Arrays on disk: their space is taken at once, so that a full disk is an error at the start."""

from __future__ import annotations

import errno
import re
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import REPO
from thcli.core.errors import OutputError
from thcli.train.data import disk_arrays
from thcli.train.data.disk_arrays import create_arrays, temporary_array
from thcli.train.data.image_tables import ImageTables
from thcli.train.data.talking_pairs import create_pairs

SHAPE = (60, 64, 64, 3)


def full_disk(*given: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_arrays_are_zero_and_have_no_holes(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    (array,) = create_arrays({path: (SHAPE, np.uint8)})
    assert path.stat().st_blocks * 512 >= array.nbytes and not array.any()
    array[-1] = 7
    array.flush()
    assert (np.load(path)[-1] == 7).all() and np.load(path).shape == SHAPE


def test_every_file_that_training_maps_to_write_is_made_here() -> None:
    sources = (REPO / "thcli").rglob("*.py")
    found = [p.name for p in sources if re.search(r"memmap\([^)]*\"w\+\"", p.read_text("utf-8"))]
    assert found == ["disk_arrays.py"]


def test_arrays_that_do_not_fit_are_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk_arrays, "_fill", full_disk)
    with pytest.raises(OutputError, match="The disk is full: a file of"):
        temporary_array((2, 8, 8, 3))
    with pytest.raises(OutputError, match=r"The disk is full: .*b\.npy"):
        create_arrays({tmp_path / "b.npy": ((2, 8), np.float32)})
    with pytest.raises(OutputError, match=r"The disk is full: .*rows\.npy"):
        ImageTables.open(["a.png"], {"rows": ((4,), np.float32)}, tmp_path)
    assert not list(tmp_path.iterdir())
    with pytest.raises(OutputError, match=r"The disk is full: .*pairs\.npy"):
        create_pairs(tmp_path / "new", {"pairs": ((4,), np.float32)})
