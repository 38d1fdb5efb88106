"""The atlas as a painter: what it changes of a made-up face, and what it must not touch."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from thcli.core.errors import NoFaceError, WeightsError
from thcli.core.geometry import matrix_from_angles
from thcli.core.options import RunOptions
from thcli.core.protocols import Painter
from thcli.core.types import Array32, Face, Image
from thcli.editors.atlas import appearance as looks
from thcli.editors.atlas.painter import SIDE, Atlas, load, load_free
from thcli.editors.backends import PAINTERS
from thcli.editors.catalogue import BY_NAME
from thcli.faces.landmarks.topology import OVAL
from thcli.faces.parsing import CLASSES, number
from thcli.faces.parsing.polygon import coverage
from thcli.motion.canonical import neutral

RUN = RunOptions(threads=1)
ALL = load(RUN).attributes


@cache
def painter() -> Atlas:
    return load(RUN)


@cache
def made(yaw: float = 0.0) -> tuple[Image, Face, Array32]:
    """A crop of grainy skin colour with a face looking `yaw` degrees aside, its mesh, its regions."""
    mesh = 140 * neutral() @ matrix_from_angles([0.0, yaw, 0.0]).T + (256, 230, 0)
    face = coverage(mesh[OVAL, :2], (SIDE, SIDE))
    regions = np.zeros((len(CLASSES), SIDE, SIDE), np.float32)
    regions[number("skin")], regions[0] = face, 1 - face
    dice = np.random.default_rng(2)
    crop = np.where(face[..., None] > 0.5, (180, 140, 120), (60, 90, 140)) + dice.normal(
        0, 6, (SIDE, SIDE, 1)
    )
    box = np.array([*mesh[:, :2].min(0), *mesh[:, :2].max(0)], np.float32)
    return (
        np.clip(crop, 0, 255).astype(np.uint8),
        Face(box, 1.0, mesh=mesh.astype(np.float32)),
        regions,
    )


def look(yaw: float = 0.0) -> Array32:
    crop, face, regions = made(yaw)
    return painter().look([crop], [face], regions[None])


def painted(strengths: dict[str, float], yaw: float = 0.0) -> Image:
    crop, face, regions = made(yaw)
    return painter().paint([crop], [face], regions[None], look(yaw), strengths)[0]


def difference(strengths: dict[str, float], yaw: float = 0.0) -> float:
    """Mean square difference from the crop."""
    return float(((painted(strengths, yaw).astype(float) - made(yaw)[0]) ** 2).mean())


def test_atlas_is_a_painter() -> None:
    for name, free in (("atlas", False), ("atlas-free", True)):
        one = PAINTERS.backend(name).load(RUN)
        assert isinstance(one, Painter) and one.crop_size == SIDE and one.template == "ffhq"
        assert ("young" in one.attributes) is not free and "smiling" in one.attributes
    assert set(ALL) <= set(BY_NAME)


def test_atlas_without_a_wish_gives_the_crop() -> None:
    crop = made()[0]
    assert (painted({}) == crop).all() and (painted({"young": 0.0, "hat": 1.0}) == crop).all()


@pytest.mark.parametrize("name", ALL)
def test_atlas_changes_the_face_and_leaves_what_is_around(name: str) -> None:
    crop = made()[0]
    out = painted({name: 1.0})
    assert out.shape == crop.shape and out.dtype == np.uint8
    assert difference({name: 1.0}) > 0.5  # a change that can be seen
    rim = np.ones((SIDE, SIDE), bool)
    rim[60:470, 60:450] = False
    assert (out[rim] == crop[rim]).all()


def test_atlas_changes_more_with_more_strength() -> None:
    weak, strong = difference({"old": 0.4}), difference({"old": 1.2})
    assert strong > 2 * weak > 0


def test_atlas_knows_opposites() -> None:
    assert (painted({"old": 0.7}) == painted({"young": -0.7})).all()
    assert (painted({"female": 1.0}) == painted({"male": -1.0})).all()
    assert (painted({"old": 1.0, "young": 1.0}) == made()[0]).all()


def test_atlas_gender_is_the_other_one() -> None:
    crop, face, regions = made()
    man, woman = np.zeros((2, 1, looks.NUMBERS), np.float32)
    man[0, -1], woman[0, -1] = 1, -1

    def of(seen: Array32, name: str) -> Image:
        return painter().paint([crop], [face], regions[None], seen, {name: 1.0})[0]

    assert (of(man, "gender") == of(man, "female")).all()
    assert (of(woman, "gender") == of(woman, "male")).all()


def test_atlas_leaves_what_hides_the_face() -> None:
    """Colours change only where skin is seen: half of the face behind a hand keeps its pixels where nothing is moved."""
    crop, face, regions = made()
    covered = regions.copy()
    covered[0, :, 256:] += covered[number("skin"), :, 256:]
    covered[number("skin"), :, 256:] = 0
    out = painter().paint([crop], [face], covered[None], look(), {"pale": 1.0})[0]
    assert (out[:, 262:] == crop[:, 262:]).all()
    assert (out[:, 180:240] != crop[:, 180:240]).mean() > 0.3


def test_atlas_does_not_depend_on_the_batch() -> None:
    three = [made(0.0), made(25.0), made(-12.0)]
    crops, faces, regions = (
        [m[0] for m in three],
        [m[1] for m in three],
        np.stack([m[2] for m in three]),
    )
    seen = painter().look(crops, faces, regions)
    together = painter().paint(
        crops, faces, regions, seen.mean(0, keepdims=True), {"smiling": 1.0, "makeup": 0.5}
    )
    for i in range(3):
        alone = painter().paint(
            crops[i : i + 1],
            faces[i : i + 1],
            regions[i : i + 1],
            seen.mean(0, keepdims=True),
            {"smiling": 1.0, "makeup": 0.5},
        )
        assert (alone[0] == together[i]).all()
    assert painter().paint([], [], regions[:0], seen, {"pale": 1.0}) == []


def test_atlas_smile_lifts_the_corners_of_the_mouth() -> None:
    """A dark dot at a corner of the mouth goes up and out."""
    crop, face, regions = made()
    assert face.mesh is not None
    marked = np.full_like(crop, 150)
    x, y = face.mesh[291, :2]
    yy, xx = np.mgrid[:SIDE, :SIDE]
    marked[np.hypot(xx - x, yy - y) < 4] = 20
    out = (
        painter().paint([marked], [face], regions[None], look(), {"smiling": 1.0})[0].astype(float)
    )
    before, after = (
        np.maximum(90 - picture.mean(-1), 0) for picture in (marked.astype(float), out)
    )

    def centre(
        weight: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
    ) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        near = weight * (np.hypot(xx - x, yy - y) < 25)
        return np.array([float((near * xx).sum()), float((near * yy).sum())]) / float(near.sum())

    moved = centre(after) - centre(before)
    assert moved[0] > 1 and moved[1] < -1


def test_atlas_wants_a_mesh() -> None:
    crop, face, regions = made()
    with pytest.raises(NoFaceError, match="no mesh"):
        painter().paint([crop], [replace(face, mesh=None)], regions[None], look(), {"young": 1.0})


def test_atlas_licences() -> None:
    free = RunOptions(licence="free")
    with pytest.raises(WeightsError, match="--licence free"):
        load(free)
    assert load_free(free).attributes == ("smiling",)
