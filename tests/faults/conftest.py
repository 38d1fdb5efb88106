"""The material of fault tests, made once."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.commands import prepared_room


@pytest.fixture(scope="session")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the material, which `room` fills once."""
    return tmp_path_factory.mktemp("room")


@pytest.fixture(scope="module")  # its fake backends do not outlast the folder
def room(material: Path) -> Iterator[Path]:
    """Return a folder with the inputs of all verbs and a result of each."""
    if sys.platform != "linux":
        pytest.skip("needs fork and /proc")
    with prepared_room(material) as folder:
        yield folder
