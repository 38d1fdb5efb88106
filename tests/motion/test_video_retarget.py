"""Retargeting to a source video: what is replaced, what stays, time, cuts and gaps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.motion import synthetic_motion
from thcli.core.errors import MediaError
from thcli.core.options import MotionOptions
from thcli.core.types import Array, Motion
from thcli.motion import canonical
from thcli.motion.closure import region_mask
from thcli.motion.file.buffer import MotionBuffer
from thcli.motion.timeline import HIDDEN_FADE
from thcli.motion.video_retarget import VideoRetargetedMotion

COUNT = 50
LIPS = MotionOptions(region="lips", smooth=0)


def retargeted(own: Motion, driving: Motion, options: MotionOptions = LIPS) -> Motion:
    store = VideoRetargetedMotion(MotionBuffer(own), MotionBuffer(driving), options)
    return store.window(0, len(store))


def own_motion(**changes: Array) -> Motion:
    motion = synthetic_motion.driver(COUNT, seed=5)
    return replace(motion, arrays={**motion.arrays, **changes})


def rows(motion: Motion, name: str) -> Array:
    return np.asarray(motion.arrays[name], np.float64)


def expression_shapes(motion: Motion) -> Array:
    return np.asarray(canonical.neutral() + rows(motion, "expression"))


def shapes(motion: Motion, name: str) -> Array:
    return canonical.decompose(np.asarray(motion.arrays[name])).shape


def test_lips_are_the_drivers_and_pose_and_eyes_the_frames() -> None:
    driving = synthetic_motion.driver(COUNT, seed=9)
    motion = retargeted(own_motion(), driving)
    still = region_mask("lips")[:, 0] == 0
    mesh, points = np.asarray(motion.arrays["mesh"]), np.asarray(motion.arrays["points"])
    assert np.array_equal(mesh[:, still], points[:, still]) and still.sum() > 200
    made = canonical.mouth_opening(shapes(motion, "points"))
    wanted = canonical.mouth_opening(expression_shapes(driving))
    assert np.corrcoef(made, wanted)[0, 1] > 0.98
    own = canonical.mouth_opening(shapes(motion, "mesh"))
    assert np.corrcoef(made, own)[0, 1] < 0.9
    assert not motion.arrays["moves_eyes"].any() and not np.asarray(motion.arrays["gaze"]).any()


def test_a_clip_that_drives_itself_stays() -> None:
    own = own_motion()
    motion = retargeted(own, own)
    change = shapes(motion, "points") - shapes(motion, "mesh")
    assert np.abs(change).mean() < 0.004 and np.abs(change).max() < 0.1


def test_jitter_of_the_landmarks_moves_nothing() -> None:
    """The change between frames follows the driver, not the noise of the footage."""
    still = synthetic_motion.driver(COUNT, degrees=0, seed=5)
    quiet = {name: np.repeat(rows[:1], COUNT, 0) for name, rows in still.arrays.items()}
    noise = np.random.default_rng(1).normal(0, 0.003, quiet["expression"].shape)
    expression = np.asarray(quiet["expression"], np.float64) + noise
    noisy = {**quiet, "expression": expression}
    driving = replace(still, arrays=quiet)
    motion = retargeted(replace(still, arrays=noisy), driving)
    change = np.asarray(motion.arrays["points"]) - np.asarray(motion.arrays["mesh"])
    raw = np.exp(canonical.decompose(np.asarray(motion.arrays["mesh"])).log_scale).mean() * 0.003
    assert np.abs(np.diff(change, axis=0)).mean() < 0.5 * raw


def test_the_driver_is_sampled_at_the_same_time() -> None:
    driving = synthetic_motion.driver(COUNT, seed=9)
    half = replace(driving[slice(0, COUNT, 2)], pts=driving.pts[:COUNT:2])
    every, second = (retargeted(own_motion(), d) for d in (driving, half))
    whole, part = (np.asarray(m.arrays["points"]) for m in (every, second))
    opening = [canonical.mouth_opening(canonical.decompose(p).shape) for p in (whole, part)]
    assert np.corrcoef(opening[0], opening[1])[0, 1] > 0.95
    short = retargeted(own_motion(), driving[slice(0, 20)])  # its last frame holds
    held = shapes(short, "points")[20:, 13] - shapes(short, "points")[19, 13]
    assert np.abs(held).max() < 0.05


def test_the_change_fades_beside_hidden_frames_but_not_across_a_cut() -> None:
    own = own_motion()
    valid = np.ones(COUNT, bool)
    valid[20:30] = False
    cut = np.zeros(COUNT, bool)
    cut[30] = True
    own = replace(own, valid=valid, arrays={**own.arrays, "cut": cut})
    weight = np.asarray(retargeted(own, synthetic_motion.driver(COUNT)).arrays["weight"])
    seconds = (20 - np.arange(20)) / 25
    assert (weight[:20][seconds >= HIDDEN_FADE] == 1).all() and (np.diff(weight[14:21]) <= 0).all()
    assert 0 < weight[18] < 1 and not weight[20:30].any() and (weight[30:] == 1).all()


def test_what_hides_the_face_ends_with_its_shot() -> None:
    own = own_motion()
    logit, cut = np.full(COUNT, 25.0), np.zeros(COUNT, bool)
    logit[16:20], cut[20] = 10, True
    own = replace(own, arrays={**own.arrays, "logit": logit, "cut": cut})
    weight = np.asarray(retargeted(own, synthetic_motion.driver(COUNT)).arrays["weight"])
    assert not weight[14:20].any() and (weight[20:] == 1).all()


def test_a_weight_in_the_motion_scales_the_change() -> None:
    driving = synthetic_motion.driver(COUNT, seed=9)
    whole = retargeted(own_motion(), driving)
    half = retargeted(own_motion(weight=np.full(COUNT, 0.5)), driving)
    changes = [rows(m, "points") - rows(m, "mesh") for m in (whole, half)]
    np.testing.assert_allclose(changes[1], 0.5 * changes[0], atol=1e-9)
    none = retargeted(own_motion(weight=np.zeros(COUNT)), driving)
    assert np.array_equal(none.arrays["points"], none.arrays["mesh"])


def test_blinks_of_the_footage_stay() -> None:
    own = own_motion()
    motion = retargeted(own, synthetic_motion.driver(COUNT, seed=9), MotionOptions(smooth=0))
    opening = canonical.eye_openings(shapes(motion, "mesh")).mean(-1)
    made = canonical.eye_openings(shapes(motion, "points")).mean(-1)
    assert opening.min() < 0.07 < 0.15 < opening.max()
    shut = opening < 0.06
    np.testing.assert_allclose(made[shut], opening[shut], atol=0.02)
    assert motion.arrays["moves_eyes"].all()


def test_the_head_moves_with_region_all() -> None:
    own, driving = own_motion(), synthetic_motion.driver(COUNT, degrees=14, seed=9)
    motion = retargeted(own, driving, MotionOptions(region="pose", smooth=0))
    change = canonical.decompose(np.asarray(motion.arrays["points"])).rotation
    before = canonical.decompose(np.asarray(motion.arrays["mesh"])).rotation
    assert np.abs(change - before).max() > 0.1
    np.testing.assert_allclose(shapes(motion, "points"), shapes(motion, "mesh"), atol=1e-6)


def test_other_motion_is_refused() -> None:
    own = own_motion()
    other = MotionBuffer(replace(own, kind="liveportrait"))
    with pytest.raises(MediaError, match="liveportrait"):
        VideoRetargetedMotion(other, MotionBuffer(own), LIPS)
    with pytest.raises(MediaError, match="liveportrait"):
        VideoRetargetedMotion(MotionBuffer(own), other, LIPS)
