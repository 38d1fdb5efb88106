"""The 68 iBUG landmarks of a mesh, and the person matte."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from thcli.faces.compositing.person_matte import PersonMatte
from thcli.faces.landmarks import topology as topo
from thcli.faces.landmarks.landmarks68 import landmarks68
from thcli.faces.landmarks.layouts import five_points
from thcli.motion.canonical import neutral

Pixels = npt.NDArray[np.uint8]
MIRROR = [
    *range(16, -1, -1),
    *range(26, 16, -1),
    *range(27, 31),
    *range(35, 30, -1),
    45,
    44,
    43,
    42,
    47,
    46,
    39,
    38,
    37,
    36,
    41,
    40,
    54,
    53,
    52,
    51,
    50,
    49,
    48,
    59,
    58,
    57,
    56,
    55,
    64,
    63,
    62,
    61,
    60,
    67,
    66,
    65,
]
"""The iBUG scheme's own left-right pairs."""


def test_the_68_points_mirror_as_in_ibug() -> None:
    mesh = neutral()
    mirrored = mesh[topo.PAIRS] * [-1, 1, 1]
    assert np.allclose(landmarks68(mirrored), landmarks68(mesh)[MIRROR] * [-1, 1, 1], atol=1e-3)


def test_the_68_points_are_at_their_features() -> None:
    points = landmarks68(neutral())
    x, y = points[:, 0], points[:, 1]
    assert points.shape == (68, 3)
    assert points.dtype == np.float32
    assert (np.diff(x[:17]) > -0.02).all()  # the jaw from left to right
    assert y[8] == y.max()  # the chin is lowest
    assert (np.diff(x[17:27]) > 0).all()
    assert (np.diff(y[27:31]) > 0).all()
    assert (np.diff(x[31:36]) > 0).all()
    for top, low in (
        (37, 41),
        (38, 40),
        (43, 47),
        (44, 46),
        (50, 58),
        (51, 57),
        (52, 56),
        (61, 67),
        (62, 66),
        (63, 65),
    ):
        assert y[top] <= y[low]
    assert y[:68].min() == y[17:27].min()


def test_the_jaw_is_evenly_spaced() -> None:
    steps = np.linalg.norm(np.diff(landmarks68(neutral())[:17], axis=0), axis=1)
    assert steps.max() / steps.min() < 1.25


def test_five_points_of_both_layouts_agree() -> None:
    whole, part = five_points(neutral()), five_points(landmarks68(neutral()))
    assert np.abs(whole - part).max() < 0.03


@pytest.mark.parametrize("deep", [False, True])
def test_the_matte_covers_the_person(selfie_net: Path, astronaut: Pixels, deep: bool) -> None:
    image = astronaut[:400].astype(np.uint16) * 257 if deep else astronaut[:400]
    matte = PersonMatte(selfie_net).probability(image)
    assert matte.shape == (400, 512)
    assert matte.dtype == np.float32
    assert 0 <= matte.min() <= matte.max() <= 1
    assert matte[85:165, 195:250].min() > 0.8  # face
    assert matte[250:390, 120:280].min() > 0.8  # suit
    assert matte[20:200, 330:500].max() < 0.2  # the shuttle behind
    assert matte[10:100, 5:120].max() < 0.2  # the flag
