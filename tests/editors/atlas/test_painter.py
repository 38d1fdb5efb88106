"""The atlas as a painter: what it changes of a made-up face, and what it must not touch."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import cv2
import numpy as np
import pytest

from thcli.core.errors import NoFaceError, WeightsError
from thcli.core.geometry import matrix_from_angles
from thcli.core.options import RunOptions
from thcli.core.protocols import Painter
from thcli.core.types import Array32, Face, Image
from thcli.editors.atlas.appearance import APPEARANCE_SIZE
from thcli.editors.atlas.painter import SIDE, AtlasPainter, load, load_free
from thcli.editors.backends import PAINTERS
from thcli.editors.shared.attribute_table import BY_NAME
from thcli.faces.landmarks.topology import OVAL
from thcli.faces.parsing import CLASSES, class_number
from thcli.faces.parsing.polygon import polygon_coverage
from thcli.motion.canonical import neutral

RUN = RunOptions(threads=1)
ALL = load(RUN).attributes


@cache
def load_painter() -> AtlasPainter:
    return load(RUN)


@cache
def make_face(yaw: float = 0.0) -> tuple[Image, Face, Array32]:
    """Return a noisy skin-coloured crop with a face turned by `yaw` degrees, and its regions."""
    mesh = 140 * neutral() @ matrix_from_angles([0.0, yaw, 0.0]).T + (256, 230, 0)
    face = polygon_coverage(mesh[OVAL, :2], (SIDE, SIDE))
    regions = np.zeros((len(CLASSES), SIDE, SIDE), np.float32)
    regions[class_number("skin")], regions[0] = face, 1 - face
    rng = np.random.default_rng(2)
    crop = np.where(face[..., None] > 0.5, (180, 140, 120), (60, 90, 140)) + rng.normal(
        0, 6, (SIDE, SIDE, 1)
    )
    box = np.array([*mesh[:, :2].min(0), *mesh[:, :2].max(0)], np.float32)
    return (
        np.clip(crop, 0, 255).astype(np.uint8),
        Face(box, 1.0, mesh=mesh.astype(np.float32)),
        regions,
    )


def paint(
    crops: list[Image],
    faces: list[Face],
    regions: Array32,
    seen: Array32,
    strengths: dict[str, float],
) -> list[Image]:
    """Paint with the mean appearance."""
    prepared = load_painter().prepare(seen.mean(0), strengths)
    return [one.image for one in load_painter().paint(crops, faces, regions, prepared)]


def measure(yaw: float = 0.0) -> Array32:
    crop, face, regions = make_face(yaw)
    return load_painter().measure_appearance([crop], [face], regions[None])


def render(strengths: dict[str, float], yaw: float = 0.0) -> Image:
    crop, face, regions = make_face(yaw)
    return paint([crop], [face], regions[None], measure(yaw), strengths)[0]


def mean_square_change(strengths: dict[str, float], yaw: float = 0.0) -> float:
    """Return the mean squared difference to the crop."""
    return float(((render(strengths, yaw).astype(float) - make_face(yaw)[0]) ** 2).mean())


def test_regions_of_half_the_resolution_measure_the_same() -> None:
    crop, face, regions = make_face(20.0)
    half = np.stack([cv2.resize(plane, (SIDE // 2, SIDE // 2)) for plane in regions])
    whole, small = (
        load_painter().measure_appearance([crop], [face], planes[None])
        for planes in (regions, half)
    )
    np.testing.assert_allclose(small, whole, atol=0.03)
    nothing = load_painter().measure_appearance([crop], [face], np.zeros_like(regions)[None])
    assert np.abs(nothing - whole).max() > 0.1


def test_atlas_is_a_painter() -> None:
    for name, free in (("atlas", False), ("atlas-free", True)):
        one = PAINTERS.backend(name).load(RUN)
        assert isinstance(one, Painter) and one.crop_size == SIDE and one.template == "ffhq"
        assert ("young" in one.attributes) is not free and "smiling" in one.attributes
    assert set(ALL) <= set(BY_NAME)


def test_atlas_without_strengths_returns_the_crop() -> None:
    crop = make_face()[0]
    assert (render({}) == crop).all() and (render({"young": 0.0, "hat": 1.0}) == crop).all()


@pytest.mark.parametrize("name", ALL)
def test_atlas_changes_the_face_and_keeps_the_surroundings(name: str) -> None:
    crop = make_face()[0]
    out = render({name: 1.0})
    assert out.shape == crop.shape and out.dtype == np.uint8
    assert mean_square_change({name: 1.0}) > 0.5  # a change that can be seen
    rim = np.ones((SIDE, SIDE), bool)
    rim[60:470, 60:450] = False
    assert (out[rim] == crop[rim]).all()


def test_atlas_changes_more_with_more_strength() -> None:
    weak, strong = mean_square_change({"old": 0.4}), mean_square_change({"old": 1.2})
    assert strong > 2 * weak > 0


def test_atlas_knows_opposites() -> None:
    assert (render({"old": 0.7}) == render({"young": -0.7})).all()
    assert (render({"female": 1.0}) == render({"male": -1.0})).all()
    assert (render({"old": 1.0, "young": 1.0}) == make_face()[0]).all()


def test_a_chin_does_not_glow_where_the_shadow_of_a_beard_was() -> None:
    """Skin of both genders has its own colour below the nose."""
    crop = make_face()[0].astype(float)
    chin = (slice(360, 385), slice(236, 276))
    for name, most in (("female", 0.05), ("male", 0.05)):
        rise = np.log(render({name: 1.0})[chin].mean((0, 1)) / crop[chin].mean((0, 1)))
        assert rise.max() < most and np.ptp(rise) < 0.1, (name, rise)


def test_atlas_keeps_occluders() -> None:
    """Colours change on visible skin only; an occluded half keeps its pixels."""
    crop, face, regions = make_face()
    covered = regions.copy()
    covered[0, :, 256:] += covered[class_number("skin"), :, 256:]
    covered[class_number("skin"), :, 256:] = 0
    out = paint([crop], [face], covered[None], measure(), {"pale": 1.0})[0]
    assert (out[:, 262:] == crop[:, 262:]).all()
    assert (out[:, 180:240] != crop[:, 180:240]).mean() > 0.3


def test_atlas_does_not_depend_on_the_batch() -> None:
    three = [make_face(0.0), make_face(25.0), make_face(-12.0)]
    crops, faces, regions = (
        [m[0] for m in three],
        [m[1] for m in three],
        np.stack([m[2] for m in three]),
    )
    seen = load_painter().measure_appearance(crops, faces, regions)
    together = paint(crops, faces, regions, seen, {"smiling": 1.0, "makeup": 0.5})
    for i in range(3):
        alone = paint(
            crops[i : i + 1],
            faces[i : i + 1],
            regions[i : i + 1],
            seen,
            {"smiling": 1.0, "makeup": 0.5},
        )
        assert (alone[0] == together[i]).all()
    assert paint([], [], regions[:0], seen, {"pale": 1.0}) == []


def test_atlas_smile_lifts_the_corners_of_the_mouth() -> None:
    """A dark dot at a corner of the mouth moves up and outwards."""
    crop, face, regions = make_face()
    assert face.mesh is not None
    marked = np.full_like(crop, 150)
    x, y = face.mesh[291, :2]
    yy, xx = np.mgrid[:SIDE, :SIDE]
    marked[np.hypot(xx - x, yy - y) < 4] = 20
    out = paint([marked], [face], regions[None], measure(), {"smiling": 1.0})[0].astype(float)
    before, after = (np.maximum(90 - image.mean(-1), 0) for image in (marked.astype(float), out))

    def centre(
        weight: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
    ) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        near = weight * (np.hypot(xx - x, yy - y) < 25)
        return np.array([float((near * xx).sum()), float((near * yy).sum())]) / float(near.sum())

    moved = centre(after) - centre(before)
    assert moved[0] > 1 and moved[1] < -1


def test_atlas_needs_a_mesh() -> None:
    crop, face, regions = make_face()
    with pytest.raises(NoFaceError, match="no mesh"):
        paint([crop], [replace(face, mesh=None)], regions[None], measure(), {"young": 1.0})


def test_atlas_licences() -> None:
    free = RunOptions(licence="free")
    with pytest.raises(WeightsError, match="--licence free"):
        load(free)
    assert load_free(free).attributes == ("smiling",)


def test_a_smile_is_taken_away_alike_in_all_frames_of_a_clip() -> None:
    """The prepared change depends on the clip's mean alone, not on the vowel of a frame."""
    look = np.zeros(APPEARANCE_SIZE, np.float32)
    shapes = []
    for amount in (0.0, 0.4, 1.0):
        look[-1] = amount
        change = load_painter().prepare(look, {"smiling": -1.0})
        assert change.unsmile is None
        shapes.append(float(np.abs(change.shape).max()))
    assert shapes[0] == 0 < shapes[1] < shapes[2]
