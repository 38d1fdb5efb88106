"""fadm-s, the refiner that is carried along: what it loads as, and that it does no harm."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from skimage import data

from thcli.core.options import RefineOptions, RunOptions
from thcli.core.types import Face, Image
from thcli.refiners.backends import REFINERS
from thcli.refiners.fadm import small
from thcli.refiners.fadm.attributes import COUNT, numbers_of, numbers_of_faces
from thcli.refiners.fadm.refiner import Fadm

RUN = RunOptions(device="cpu", threads=1)
FACE = Face(
    np.array([60, 60, 130, 130], np.float32), 1.0
)  # without a mesh: its attributes are not known


@pytest.fixture(scope="module")
def fadm() -> Fadm:
    loaded = REFINERS.backend(REFINERS.resolve("auto", RUN)).load(RUN)
    assert isinstance(loaded, Fadm)
    return loaded


@pytest.fixture(scope="module")
def portrait() -> Image:
    picture = data.astronaut()[:300, 70:370]  # type: ignore[no-untyped-call]  # scikit-image is without types
    return np.asarray(
        cv2.resize(picture, (small.SIDE, small.SIDE), interpolation=cv2.INTER_AREA), np.uint8
    )


def test_it_is_as_trained(fadm: Fadm) -> None:
    assert fadm.network.shape == small.SHAPE and fadm.crop_size == small.SIDE
    assert (
        fadm.calls(RefineOptions()) == 2
        and fadm.calls(RefineOptions(steps=100, strength=1.0)) == 100
    )


def test_a_good_picture_hardly_changes(fadm: Fadm, portrait: Image) -> None:
    """With the source at its place, and without one."""
    source = fadm.encode_source(portrait, FACE)
    for reference_crops in (None, [portrait]):
        made = fadm.refine(
            [portrait],
            source,
            fadm.attributes([portrait], [None]),
            [0],
            RefineOptions(),
            reference_crops,
        )[0]
        assert np.abs(made.astype(int) - portrait).mean() < 1.5


def test_the_source_at_the_crops_place_comes_in(fadm: Fadm, portrait: Image) -> None:
    source = fadm.encode_source(portrait, FACE)
    moved = np.roll(portrait, 3, 1)
    alone, seen = (
        fadm.refine(
            [moved], source, fadm.attributes([moved], [None]), [0], RefineOptions(), reference_crops
        )[0].astype(int)
        for reference_crops in (None, [portrait])
    )
    assert np.abs(seen - portrait).mean() < np.abs(alone - portrait).mean()


def test_faces_without_a_mesh_say_nothing(fadm: Fadm) -> None:
    mesh = np.random.default_rng(0).normal(0, 20, (468, 3)).astype(np.float32)
    rows = numbers_of_faces([None, FACE, replace(FACE, mesh=mesh)])
    assert rows.shape == (3, COUNT) and np.isnan(rows[:2]).all()
    np.testing.assert_array_equal(rows[2], numbers_of(mesh))
