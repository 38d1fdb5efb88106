"""A dataset for training tests, made once: two small clips of a photograph from scikit-image."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from thcli.train.core.synthetic import write_synthetic_clips


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Use one thread, for a fixed order of summation and because the networks are tiny."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write one.mp4 and two.mp4, 128 x 128 pixels, 8 frames each, and return their folder."""
    folder = tmp_path_factory.mktemp("clips")
    write_synthetic_clips(folder, 128, frames=8)
    return folder


@pytest.fixture(scope="session")
def talking(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write two clips of a moving image, large enough for tracking, and return their folder."""
    folder = tmp_path_factory.mktemp("talking")
    write_synthetic_clips(folder, 128)
    return folder
