"""A real face that a dependency carries, and the trackers' networks, each loaded once."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import skimage.data

from thcli.core.errors import WeightsError
from thcli.faces.detection.blazeface import BlazeFace
from thcli.faces.landmarks.facemesh import FaceMesh
from thcli.weights import locate

Picture = npt.NDArray[np.uint8]


def weights_file(name: str) -> Path:
    """The file of an entry of weights.toml; skips (in CI fails) where it cannot be had."""
    try:
        return locate(name)
    except WeightsError as exc:
        if os.environ.get("CI") == "true":
            pytest.fail(str(exc))
        pytest.skip(f"needs the weights {name}: {exc}")


@pytest.fixture(scope="session")
def attention() -> Path:
    return weights_file("facemesh-attention")


@pytest.fixture(scope="session")
def selfie_net() -> Path:
    return weights_file("selfie")


@pytest.fixture(scope="session")
def detector() -> BlazeFace:
    return BlazeFace(weights_file("blazeface-short"), weights_file("blazeface-full"))


@pytest.fixture(scope="session")
def landmarker(attention: Path) -> FaceMesh:
    return FaceMesh(attention)


@pytest.fixture(scope="session")
def astronaut() -> Picture:
    """512 x 512, one face about 94 pixels wide around (225, 127)."""
    picture = np.asarray(skimage.data.astronaut(), np.uint8)  # type: ignore[no-untyped-call]  # theirs
    picture.flags.writeable = False
    return picture
