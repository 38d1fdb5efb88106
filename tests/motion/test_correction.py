"""Correction towards the driver: what is missed moves, noise and constant differences stay."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.motion import synthetic_motion
from thcli.core.errors import MediaError
from thcli.core.options import MotionOptions
from thcli.core.types import Array, Motion
from thcli.motion import canonical
from thcli.motion.correction import CorrectedMotion
from thcli.motion.file.buffer import MotionBuffer
from thcli.motion.observe import observe
from thcli.motion.retarget import RetargetedMotion

COUNT = 50
SOURCE = synthetic_motion.source()
DRIVING = synthetic_motion.driver(COUNT)


def coarse(offset: float = 0.0, delay: int = 0, **gains: float) -> Motion:
    """Return the motion of a video of SOURCE that follows DRIVING with these gains."""
    options = MotionOptions(smooth=0, **gains)  # type: ignore[arg-type]
    points = RetargetedMotion(SOURCE, MotionBuffer(DRIVING), options).window(0, COUNT)
    meshes = np.roll(np.asarray(points.arrays["points"], np.float64), delay, 0)
    meshes[:delay] = meshes[delay]
    noise = np.random.default_rng(0).normal(0, 0.3, meshes.shape)
    faces = [synthetic_motion.face(mesh + offset) for mesh in meshes + noise]
    return observe(synthetic_motion.frames(COUNT), faces)


def corrected(own: Motion, options: MotionOptions | None = None) -> Motion:
    store = CorrectedMotion(
        MotionBuffer(own), MotionBuffer(DRIVING), SOURCE, options or MotionOptions()
    )
    return store.window(0, len(store))


def shapes(motion: Motion, name: str) -> Array:
    return canonical.decompose(np.asarray(motion.arrays[name])).shape


WANTED = canonical.decompose(
    np.asarray(
        RetargetedMotion(SOURCE, MotionBuffer(DRIVING), MotionOptions())
        .window(0, COUNT)
        .arrays["points"]
    )
)


def test_a_mouth_that_follows_too_weakly_and_late_is_corrected() -> None:
    motion = corrected(coarse(expression=0.4, delay=2))
    wanted = canonical.mouth_opening(WANTED.shape)
    before, after = (canonical.mouth_opening(shapes(motion, name)) for name in ("mesh", "points"))
    assert np.abs(after - wanted).mean() < 0.5 * np.abs(before - wanted).mean()
    assert np.corrcoef(after, wanted)[0, 1] > 0.97 > np.corrcoef(before, wanted)[0, 1]


def test_eyes_that_never_close_are_closed() -> None:
    motion = corrected(coarse(expression=0.2))
    blink = int(canonical.eye_openings(WANTED.shape).mean(-1).argmin())
    before, after = (
        canonical.eye_openings(shapes(motion, name))[blink].mean() for name in ("mesh", "points")
    )
    assert motion.arrays["moves_eyes"][blink] and after < 0.6 * before


def test_a_head_that_turns_too_little_is_turned() -> None:
    motion = corrected(coarse(pose=0.4))
    before, after = (
        canonical.decompose(np.asarray(motion.arrays[name])).rotation for name in ("mesh", "points")
    )
    errors = [np.linalg.norm(r - WANTED.rotation, axis=(1, 2)).mean() for r in (before, after)]
    assert errors[1] < 0.6 * errors[0]


def test_an_exact_video_hardly_moves_wherever_it_lies() -> None:
    motion = corrected(coarse(offset=25.0))
    moved = np.asarray(motion.arrays["points"]) - np.asarray(motion.arrays["mesh"])
    height = float(np.ptp(np.asarray(motion.arrays["mesh"], np.float64)[0, :, 1]))
    assert np.abs(moved).mean() < 0.003 * height


def test_the_pose_stays_when_the_expression_alone_is_transferred() -> None:
    motion = corrected(coarse(pose=0.4), MotionOptions(region="expression"))
    before, after = (
        canonical.decompose(np.asarray(motion.arrays[name])).rotation for name in ("mesh", "points")
    )
    assert np.allclose(before, after, atol=1e-6)


def test_frames_without_a_face_stay() -> None:
    own = synthetic_motion.with_gaps(coarse(expression=0.2), (20, 23))
    assert not np.asarray(corrected(own).arrays["weight"])[20:23].any()


def test_motion_of_another_kind_is_refused() -> None:
    with pytest.raises(MediaError, match="coarse video is of kind 'pose'"):
        corrected(replace(coarse(), kind="pose"))
