"""The material of fault tests, made once for each module."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.commands import prepared_room


@pytest.fixture(scope="module")  # its fake backends do not outlast the folder
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return a folder with the inputs of all verbs and a result of each."""
    if sys.platform != "linux":
        pytest.skip("needs fork and /proc")
    with prepared_room(tmp_path_factory.mktemp("room")) as folder:
        yield folder
