"""A dataset for training tests, made once: two small clips of the photograph that scikit-image carries."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from thcli.train.core.synthetic import made_clips


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Sums in the same order every time, and no fight over cores for tiny networks."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one.mp4 and two.mp4, 128 x 128, 8 frames each."""
    folder = tmp_path_factory.mktemp("clips")
    made_clips(folder, 128, frames=8)
    return folder
