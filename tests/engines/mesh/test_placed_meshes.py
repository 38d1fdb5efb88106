"""Meshes that the engine places lie where its images show the face."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from tests.engines.mesh import synthetic_faces as faces
from tests.engines.mesh.test_render import person
from tests.motion import synthetic_motion as synthetic
from thcli.core.options import MotionOptions, RunOptions
from thcli.core.types import Array, Image, Motion
from thcli.engines.mesh.anatomy import LIPS
from thcli.engines.mesh.engine import MeshEngine
from thcli.engines.mesh.prepared_source import prepare

ZOOM = np.array([[1.2, 0, -30], [0, 1.2, -14]], np.float64)


def lip_centre(image: Image) -> Array:
    """Find the centre (x, y) of the lips' red pixels."""
    rows, columns = np.nonzero(image[..., 0].astype(int) - image[..., 1] > 70)
    return np.array([columns.mean(), rows.mean()])


def window_of(rows: list[tuple[Array, Array, Array]]) -> Motion:
    """Return a window of meshes (468, 3), shifts (2,) of the body and cameras (2, 3)."""
    count = len(rows)
    arrays = {
        "points": np.stack([points for points, _, _ in rows]),
        "gaze": np.zeros((count, 2, 2)),
        "opening": np.ones((count, 2)),
        "driver": np.zeros((count, 468, 3)),
        "shown": np.zeros(count, bool),
        "weight": np.ones(count),
        "body": np.stack([shift for _, shift, _ in rows]),
        "camera": np.stack([camera for _, _, camera in rows]),
        "torso": np.tile(np.eye(2, 3), (count, 1, 1)),
    }
    valid = np.ones(count, bool)
    return Motion("mesh-target", np.arange(count), Fraction(1, 25), valid, arrays)


@pytest.mark.parametrize("follow", [False, True])
@pytest.mark.parametrize("matte", [False, True])
def test_meshes_lie_on_the_rendered_face(follow: bool, matte: bool) -> None:
    """Under a shift of the face, of the body and of the camera, each alone and together."""
    source = faces.make_source(person=person(256, 256) if matte else None)
    shifted = faces.make_target(source, shift=(0.1, -0.05)).points
    still, body = np.eye(2, 3), np.array([14.0, 6.0])
    rows = [
        (source.mesh, np.zeros(2), still),
        (shifted, np.zeros(2), still),
        (source.mesh, body, still),
        (source.mesh, np.zeros(2), ZOOM),
        (shifted, body, ZOOM),
    ]
    motion = window_of(rows)
    engine = MeshEngine(RunOptions(device="cpu"), "off", mouth="synthetic", follow_camera=follow)
    images = engine.render(source, motion, None)
    own = lip_centre(images[0]) - source.mesh[LIPS, :2].mean(0)
    moved = 0.0
    for row, (image, mesh) in enumerate(
        zip(images, engine.place_meshes(source, motion), strict=True)
    ):
        zoom = ZOOM[0, 0] if follow and row >= 3 else 1.0
        offset = lip_centre(image) - mesh[LIPS, :2].mean(0)
        assert offset == pytest.approx(zoom * own, abs=0.7), row
        moved = max(moved, float(np.abs(mesh - source.mesh).max()))
    assert moved > 15


@pytest.mark.parametrize("matte", [False, True])
def test_shoulders_move_only_where_the_person_is_known(matte: bool) -> None:
    """Else the head would move as if they had carried it, away from shoulders that stand still."""
    source = faces.make_source(person=person(256, 256) if matte else None)
    motion = synthetic.driver(degrees=0)
    torso = np.zeros((len(motion), 4))
    torso[:, 2] = np.linspace(0, 0.2, len(motion))
    moving = {**motion.arrays, "torso": torso, "camera": np.zeros_like(torso)}
    engine = MeshEngine(RunOptions(device="cpu"), "off", mouth="synthetic")
    store = synthetic.buffer(replace(motion, arrays=moving))
    found = engine.retarget(source, store, MotionOptions()).window(0, len(motion)).arrays["torso"]
    assert bool((np.asarray(found) == np.eye(2, 3)).all()) != matte


@pytest.mark.parametrize("width", [1, 6])
def test_a_border_stays_while_the_camera_moves(width: int) -> None:
    """A line around a picture went into it, and was repeated beyond it as a band."""
    mesh = faces.centred_mesh(256, 256)
    image = faces.render_face(mesh, 256, 256)
    image[: width + 2], image[-width - 2 :] = faces.GROUND, faces.GROUND
    line = np.ones((256, 256), bool)
    line[width:-width, width:-width] = False
    image[line] = (250, 250, 20)
    source = prepare(image, faces.make_face(mesh, faces.iris_points(mesh)), None)
    assert source.border is not None
    engine = MeshEngine(RunOptions(device="cpu"), "off", mouth="synthetic", follow_camera=True)
    for camera in ([[1, 0, 12], [0, 1, -7]], ZOOM):
        motion = window_of([(source.mesh, np.zeros(2), np.array(camera, np.float64))])
        out = engine.render(source, motion, None)[0]
        assert np.array_equal(out[line], image[line])
        yellow = out[..., 1].astype(int) - out[..., 2] > 150
        assert not yellow[~line].any()
        assert np.abs(out[60:-60, 60:-60].astype(int) - image[60:-60, 60:-60]).max() > 50
