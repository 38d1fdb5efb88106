"""Fixtures: the trackers' networks and a real face, each loaded once."""

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

Pixels = npt.NDArray[np.uint8]


def weights_file(name: str) -> Path:
    """Return the file of an entry of weights.toml; skip (in CI fail) where it is unavailable."""
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
def astronaut() -> Pixels:
    """Return a 512 x 512 image with one face about 94 px wide around (225, 127)."""
    image = np.asarray(skimage.data.astronaut(), np.uint8)  # type: ignore[no-untyped-call]
    image.flags.writeable = False
    return image
