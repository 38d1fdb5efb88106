"""fadm-s, the bundled refiner: it loads as trained and leaves good frames unchanged."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from skimage import data

from thcli.core.options import RefineOptions, RunOptions
from thcli.core.types import Array, Face, Image
from thcli.refiners.backends import OF_MESH_FRAMES, REFINERS
from thcli.refiners.fadm import small
from thcli.refiners.fadm.attributes import ATTRIBUTE_COUNT, face_attributes, mesh_attributes
from thcli.refiners.fadm.refiner import FadmRefiner

RUN = RunOptions(device="cpu", threads=1)
FACE = Face(np.array([60, 60, 130, 130], np.float32), 1.0)  # no mesh, so no attributes


@pytest.fixture(scope="module")
def fadm() -> FadmRefiner:
    loaded = REFINERS.backend(OF_MESH_FRAMES).load(RUN)
    assert isinstance(loaded, FadmRefiner)
    return loaded


@pytest.fixture(scope="module")
def portrait() -> Image:
    image = data.astronaut()[:300, 70:370]  # type: ignore[no-untyped-call]  # untyped
    return np.asarray(
        cv2.resize(image, (small.SIDE, small.SIDE), interpolation=cv2.INTER_AREA), np.uint8
    )


def test_it_is_as_trained(fadm: FadmRefiner) -> None:
    assert fadm.network.shape == small.SHAPE and fadm.crop_size == small.SIDE
    assert fadm.network_calls(RefineOptions()) == 1
    assert fadm.network_calls(RefineOptions(steps=100, strength=1.0)) == 1  # not read


def test_a_good_frame_hardly_changes(fadm: FadmRefiner, portrait: Image) -> None:
    """With the source at the crop's position, and without one."""
    source = fadm.encode_source(portrait, FACE)
    for reference_crops in (None, [portrait]):
        refined = fadm.refine(
            [portrait],
            source,
            fadm.extract_attributes([portrait], [None]),
            [0],
            RefineOptions(),
            reference_crops,
        )[0]
        assert np.abs(refined.astype(int) - portrait).mean() < 1.5


def refine_beside(fadm: FadmRefiner, moved: Image, references: list[Image] | None) -> Array:
    """Refine one frame, with the source at its place or without."""
    source, driving = fadm.encode_source(moved, FACE), fadm.extract_attributes([moved], [None])
    return fadm.refine([moved], source, driving, [0], RefineOptions(), references)[0].astype(float)


def test_a_reference_crop_improves_the_result(fadm: FadmRefiner, portrait: Image) -> None:
    moved = portrait.copy()
    moved[30:, 30:-30] = np.roll(portrait, 3, 1)[30:, 30:-30]
    alone, seen = (refine_beside(fadm, moved, references) for references in (None, [portrait]))
    assert np.abs(seen - portrait).mean() < np.abs(alone - portrait).mean()


def test_a_frame_of_a_moving_camera_stays(fadm: FadmRefiner, portrait: Image) -> None:
    moved = np.roll(portrait, 3, 1)
    assert np.abs(refine_beside(fadm, moved, [portrait]) - moved).mean() < 0.5


def test_faces_without_a_mesh_have_no_attributes(fadm: FadmRefiner) -> None:
    mesh = np.random.default_rng(0).normal(0, 20, (468, 3)).astype(np.float32)
    rows = face_attributes([None, FACE, replace(FACE, mesh=mesh)])
    assert rows.shape == (3, ATTRIBUTE_COUNT) and np.isnan(rows[:2]).all()
    np.testing.assert_array_equal(rows[2], mesh_attributes(mesh))
