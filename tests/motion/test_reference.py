"""The driving frame that stands for the source, and whether the source is one itself."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from tests.motion import synthetic_motion as synthetic
from tests.motion.retargeting import RAW, rows
from thcli.motion import canonical, sliders
from thcli.motion.observe import observe
from thcli.motion.retarget import RetargetedMotion


@pytest.mark.parametrize(
    ("shift", "noise", "own"),
    [(0, 0.002, True), (0, 0.01, True), (30, 0.002, True), (30, 0.01, False)],
)
def test_a_driving_frame_is_told_by_its_place_in_the_picture(
    shift: float, noise: float, own: bool
) -> None:
    """Enlarged it is the same frame; cut out of it, it has to be nearer."""
    motion, frame = synthetic.driver(60), 9
    mesh = (synthetic.meshes(motion)[frame] + 0.5) * 1.6 - 0.5 + (shift, 0, 0)
    apart = np.random.default_rng(0).normal(0, 1, (len(mesh), 2))
    mesh[:, :2] += noise * apart * np.std(mesh[:, :2] - mesh[:, :2].mean(0))
    source = synthetic.face(mesh, motion.arrays["gaze"][frame])
    assert RetargetedMotion(source, synthetic.buffer(motion), RAW).is_own_clip == own


def test_another_person_is_no_driving_frame() -> None:
    motion = synthetic.driver(60)
    assert not RetargetedMotion(synthetic.source(), synthetic.buffer(motion), RAW).is_own_clip


def test_the_reference_is_the_frame_of_the_source() -> None:
    motion = synthetic.driver()
    frame = 5
    source = synthetic.face(synthetic.meshes(motion)[frame], motion.arrays["gaze"][frame])
    found = RetargetedMotion(source, synthetic.buffer(motion), RAW).reference
    assert abs(found - frame) <= 1


@pytest.mark.parametrize("wide", [-0.9, 0.9])
def test_pursed_lips_and_a_grin_are_no_reference(wide: float) -> None:
    """All other frames would grin or purse. The gesture comes with the source's own pose."""
    yaw = np.where(np.arange(30) < 5, 0.0, 6.0)
    curves = sliders.SliderCurves(wide=np.where(yaw, 0.0, wide), yaw=yaw)
    motion = sliders.motion_from_sliders(curves, np.arange(30), Fraction(1, 25), synthetic.SIZE)
    assert RetargetedMotion(synthetic.source(), synthetic.buffer(motion), RAW).reference >= 5


@pytest.mark.parametrize("lower", [-0.08, 0.08])
def test_a_smirk_is_no_reference(lower: float) -> None:
    """All other frames would smirk with the other corner, unless the source smirks alike."""
    yaw = np.where(np.arange(30) < 5, 0.0, 4.0)
    curves = sliders.SliderCurves(yaw=yaw)
    motion = sliders.motion_from_sliders(curves, np.arange(30), Fraction(1, 25), synthetic.SIZE)
    expression = np.array(motion.arrays["expression"], np.float64)
    shift = np.zeros(468)
    shift[[61, 76, 62, 78, 185, 146]] = lower
    expression[:5, :, 1] += shift
    smirking = synthetic.buffer(replace(motion, arrays={**motion.arrays, "expression": expression}))
    assert RetargetedMotion(synthetic.source(), smirking, RAW).reference >= 5
    alike = synthetic.face(synthetic.meshes(motion)[0])
    own = np.array(alike.mesh, np.float32)
    own[:, 1] += (shift * np.linalg.norm(own[33] - own[263])).astype(np.float32)
    assert RetargetedMotion(replace(alike, mesh=own), smirking, RAW).reference < 5


@pytest.mark.parametrize(
    ("before", "after", "own"),
    [(15, 15, True), (0, 60, False), (8, 60, True), (2, 60, False)],
    ids=["less", "more", "less far", "less far in too few frames"],
)
def test_a_grin_that_looks_as_the_source_tells_its_direction_if_heads_turn_less_for_it(
    before: int, after: int, own: bool
) -> None:
    """The expression is that of another frame. Of a clip that looks elsewhere so is the pose."""
    count = before + 8 + after
    yaw, grin = np.full(count, -30.0), np.zeros(count)
    yaw[:before], yaw[before : before + 8], grin[before : before + 8] = 22, -6, 1
    curves = sliders.SliderCurves(yaw=yaw, wide=grin, smile=grin)
    motion = sliders.motion_from_sliders(curves, np.arange(count), Fraction(1, 25), synthetic.SIZE)
    found = RetargetedMotion(synthetic.source(yaw=-6.0), synthetic.buffer(motion), RAW)
    assert not grin[found.reference] and yaw[found.reference] == -30
    turns = np.degrees(found.head_changes(0, count)[:, 1])
    expected = yaw - (-6 if own else -30)
    assert np.abs(turns - expected).max() < 3
    assert np.abs(found.head_changes(0, count)[found.reference, 3:]).max() < 1e-6


def test_a_blink_is_never_the_reference() -> None:
    motion = synthetic.driver(60)
    eyes = canonical.eye_openings(canonical.neutral() + rows(motion, "expression")).mean(-1)
    for seed in range(5):
        found = RetargetedMotion(synthetic.source(seed), synthetic.buffer(motion), RAW).reference
        assert eyes[found] > 0.8 * np.median(eyes)


def test_a_blinking_source_is_found_in_the_clip() -> None:
    """Its own frame is the reference, not one of other pose with open eyes."""
    motion = synthetic.driver(60)
    shapes = canonical.neutral() + rows(motion, "expression")
    eyes = canonical.eye_openings(shapes).mean(-1)
    frame = int(np.argmin(eyes))
    assert eyes[frame] < 0.3 * np.median(eyes)
    source = synthetic.face(synthetic.meshes(motion)[frame], motion.arrays["gaze"][frame])
    assert abs(RetargetedMotion(source, synthetic.buffer(motion), RAW).reference - frame) <= 1


@pytest.mark.parametrize("blink", [0.35, -0.35])
def test_a_source_with_half_shut_or_wide_eyes_is_a_frame_of_its_clip(blink: float) -> None:
    """Such a frame is a bad reference for others, but no stranger to itself."""
    plain, frame = synthetic.driver(60), 9
    curves = replace(synthetic.slider_curves(60), blink=np.full(60, blink))
    moved = sliders.motion_from_sliders(curves, np.arange(60), synthetic.TIME_BASE, synthetic.SIZE)
    expression = rows(plain, "expression").copy()
    expression[frame] = rows(moved, "expression")[frame] + synthetic.identity_shape(3)
    motion = replace(plain, arrays={**plain.arrays, "expression": expression})
    source = synthetic.face(synthetic.meshes(motion)[frame], motion.arrays["gaze"][frame])
    found = RetargetedMotion(source, synthetic.buffer(motion), RAW)
    assert found.is_own_clip and found.reference == frame


def test_a_frame_is_recognised_by_the_mesh_before_it_was_moved_onto_its_skin() -> None:
    plain, frame = synthetic.driver(40), 9
    wave = 0.02 * np.sin(4 * canonical.neutral()[:, :2])  # more than persons differ
    faces = [synthetic.face(mesh) for mesh in synthetic.meshes(plain)]
    moved, shifts = [], []
    for face in faces:
        mesh = np.asarray(face.mesh, np.float64).copy()
        shift = wave * np.linalg.norm(mesh[263] - mesh[33])
        mesh[:, :2] += shift
        moved.append(replace(face, mesh=mesh.astype(np.float32)))
        shifts.append(shift.astype(np.float32))
    for skin, known in ((shifts, True), (None, False)):
        motion = observe(synthetic.frames(len(moved)), moved, skin=skin)
        arrays = {**motion.arrays, "gaze": plain.arrays["gaze"]}
        source = synthetic.face(np.asarray(faces[frame].mesh), plain.arrays["gaze"][frame])
        found = RetargetedMotion(source, synthetic.buffer(replace(motion, arrays=arrays)), RAW)
        assert found.is_own_clip == known
