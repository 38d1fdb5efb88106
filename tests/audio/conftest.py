"""Fixtures of the audio tests."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def grid(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with two clips of the GRID corpus (CC BY 4.0): one man, one woman."""
    folder = tmp_path_factory.mktemp("grid")
    with tarfile.open(shared / "data" / "talking.tar") as archive:
        for member in archive:
            if member.name.endswith(("grid_s1_bbaf2n.mp4", "grid_s4_lwbsza.mp4")):
                content = archive.extractfile(member)
                assert content is not None
                (folder / Path(member.name).name).write_bytes(content.read())
    return folder
