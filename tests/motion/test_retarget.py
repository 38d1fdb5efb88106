"""Retargeting: exact algebra, rules of lids, lips, limits and regions, continuity over gaps."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.motion import synthetic_motion as synthetic
from tests.motion.retargeting import RAW, canonical_shapes, retargeted, rows
from thcli.core.errors import MediaError, NoFaceError, UsageError
from thcli.core.options import MotionOptions, Region
from thcli.core.types import Motion
from thcli.faces.landmarks.topology import MOUTH_CORNERS
from thcli.motion import anatomy, canonical, sliders
from thcli.motion.observe import rebuild_driver_meshes
from thcli.motion.render_target import iterate_render_targets
from thcli.motion.retarget import RetargetedMotion, retarget


@pytest.mark.parametrize("frame", [0, 7, 33])
def test_a_driving_frame_as_source_reproduces_the_driver(frame: int) -> None:
    motion = synthetic.driver()
    meshes = synthetic.meshes(motion)
    out = retargeted(motion, source=synthetic.face(meshes[frame]), reference=frame, rules=False)
    assert np.abs(rows(out, "points") - meshes).max() < 1e-6


def test_smoothing_does_not_shift_a_source_that_is_a_driving_frame() -> None:
    plain, frame, jump = synthetic.driver(60), 9, 0.007
    upper, found = anatomy.LIPS.upper, []
    for step in (0, jump):  # canonical units, in this frame alone: noise to the filter
        expression = rows(plain, "expression").copy()
        expression[frame, upper, 1] -= step
        motion = replace(plain, arrays={**plain.arrays, "expression": expression})
        source = synthetic.face(synthetic.meshes(motion)[frame], motion.arrays["gaze"][frame])
        out = retargeted(motion, MotionOptions(), source=source, rules=False)
        found.append(canonical_shapes(out)[30:, upper, 1])
    assert np.abs(found[1] - found[0]).max() < 0.1 * jump


def test_the_rules_change_a_driving_frame_as_source_little() -> None:
    motion = synthetic.driver(degrees=5)
    meshes = synthetic.meshes(motion)
    iod = np.linalg.norm(meshes[0, 33] - meshes[0, 263])
    out = retargeted(motion, source=synthetic.face(meshes[0]), reference=0)
    assert np.abs(rows(out, "points") - meshes)[..., :2].max() < 0.03 * iod


def test_the_drivers_mesh_is_rebuilt_from_float32_rows() -> None:
    motion = synthetic.driver()
    stored = {**motion.arrays, "expression": motion.arrays["expression"].astype(np.float32)}
    rebuilt = rebuild_driver_meshes(replace(motion, arrays=stored))
    assert np.abs(rebuilt - synthetic.meshes(motion)).max() < 1e-3
    whole = retargeted(replace(motion, arrays=stored))
    assert np.array_equal(rows(whole, "driver"), rebuilt)


def test_zero_strength_keeps_the_source_still() -> None:
    source = synthetic.source()
    out = retargeted(synthetic.driver(), MotionOptions(strength=0), source)
    assert np.abs(rows(out, "points") - np.asarray(source.mesh)).max() < 1e-9
    assert not rows(out, "gaze").any() and np.allclose(rows(out, "opening"), 1)
    assert all(t.driver is None for t in iterate_render_targets(out))
    assert all(np.array_equal(t, rows(out, "points")[0]) for t in rows(out, "points"))


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("mode", ["relative", "absolute"])
def test_a_still_driver_gives_a_still_result(mode: str, causal: bool) -> None:
    one = sliders.motion_from_sliders(
        sliders.SliderCurves(yaw=5.0, x=0.1), [0], synthetic.TIME_BASE, synthetic.SIZE
    )
    still = Motion(
        one.kind,
        np.arange(20),
        one.time_base,
        np.ones(20, bool),
        {k: np.repeat(v, 20, 0) for k, v in one.arrays.items()},
        one.constants,
    )
    out = retargeted(still, MotionOptions(mode=mode, causal=causal))  # type: ignore[arg-type]
    assert np.ptp(rows(out, "points"), axis=0).max() < 1e-6
    if mode == "relative":
        assert np.abs(rows(out, "points") - np.asarray(synthetic.source().mesh)).max() < 1e-6


@pytest.mark.parametrize("region", ["lips", "eyes", "expression", "pose"])
def test_a_region_moves_only_its_points(region: Region) -> None:
    source = synthetic.source()
    mesh = np.asarray(source.mesh)
    out = retargeted(synthetic.driver(), MotionOptions(smooth=0, region=region), source)
    change = np.abs(rows(out, "points") - mesh).max((0, 2))
    lips, lids = anatomy.LIPS.upper, np.concatenate([c.upper for c in anatomy.LIDS])
    nose, brow, chin, oval = 4, 105, 152, 10
    if region == "lips":
        assert change[lips].min() > 0.5 and change[[nose, brow, oval, *lids]].max() < 1e-9
    elif region == "eyes":
        assert change[lids].min() > 0.5 and change[[nose, chin, oval, *lips]].max() < 1e-9
    elif region == "expression":
        still = canonical.decompose(rows(out, "points"))
        assert np.ptp(still.centre, axis=0).max() < 2 and np.ptp(still.log_scale) < 0.02
        assert change[lips].max() > 3
    else:
        shape = canonical_shapes(out)
        assert np.abs(shape - canonical.decompose(mesh).shape).max() < 1e-9 and change.min() > 1
    assert (rows(out, "gaze") != 0).any() == (region in ("eyes", "expression"))
    assert all(
        (t.driver is not None) == (region in ("lips", "expression"))
        for t in iterate_render_targets(out)
    )


def test_absolute_motion_takes_the_drivers_own_direction() -> None:
    motion = sliders.motion_from_sliders(
        sliders.SliderCurves(yaw=np.linspace(-12, 12, 25)),
        np.arange(25),
        Fraction(1, 25),
        synthetic.SIZE,
    )
    out = canonical.decompose(
        retargeted(
            motion, MotionOptions(mode="absolute", smooth=0), synthetic.source(yaw=6.0)
        ).arrays["points"]
    )
    yaw = np.degrees(np.arctan2(out.rotation[:, 0, 2], out.rotation[:, 2, 2]))
    assert np.abs(yaw - np.linspace(-12, 12, 25)).max() < 1.5


def test_absolute_motion_keeps_size_and_position() -> None:
    motion = sliders.motion_from_sliders(
        sliders.SliderCurves(x=1.0, zoom=1.5), np.arange(10), Fraction(1, 25), synthetic.SIZE
    )
    source = synthetic.source()
    out = canonical.decompose(
        retargeted(motion, MotionOptions(mode="absolute"), source).arrays["points"]
    )
    own = canonical.decompose(np.asarray(source.mesh))
    assert (
        np.abs(out.log_scale - own.log_scale).max() < 1e-3
        and np.abs(out.centre - own.centre)[:, :2].max() < 2
    )


def test_translation_and_zoom_scale_with_the_source() -> None:
    """A driver that moves by 0.2 IOD and grows by a tenth does the same to a larger source."""
    curves = sliders.SliderCurves(x=np.linspace(0, 0.2, 10), zoom=np.linspace(1, 1.1, 10))
    motion = sliders.motion_from_sliders(curves, np.arange(10), Fraction(1, 25), synthetic.SIZE)
    out = retargeted(motion, reference=0, rules=False)
    posed = canonical.decompose(rows(out, "points"))
    moved = (posed.centre[-1] - posed.centre[0])[:2] / np.exp(posed.log_scale[0])
    assert np.allclose(moved, [0.2, 0], atol=0.01)
    assert posed.log_scale[-1] - posed.log_scale[0] == pytest.approx(np.log(1.1), abs=1e-3)


@pytest.mark.parametrize("generated", [False, True])
def test_lips_that_seem_wide_from_the_side_are_no_grin(generated: bool) -> None:
    """Landmarks of a profile widen pursed lips; those of generated motion are exact."""
    turn = np.repeat([0.0, 60.0], 20)
    curves = sliders.SliderCurves(yaw=turn, smile=np.repeat([0.0, 1.0], 20))
    motion = sliders.motion_from_sliders(curves, np.arange(40), Fraction(1, 25), synthetic.SIZE)
    if generated:
        motion = replace(motion, constants={**motion.constants, "rest": rows(motion, "pose")[0]})
    widths = np.ptp(canonical_shapes(retargeted(motion))[:, list(MOUTH_CORNERS), 0], axis=1)
    grown = widths[-5:].mean() / widths[:5].mean() - 1
    assert (grown > 0.2) == generated
    assert grown > 0.05


@settings(max_examples=15, deadline=None)
@given(st.data(), st.booleans(), st.sampled_from(["relative", "absolute"]))
def test_windows_do_not_change_the_result(data: st.DataObject, causal: bool, mode: str) -> None:
    motion = synthetic.with_gaps(synthetic.driver(50, noise=0.003), (10, 14), (25, 42))
    options = MotionOptions(causal=causal, mode=mode)  # type: ignore[arg-type]
    whole = retargeted(motion, options)
    cut = RetargetedMotion(synthetic.source(), synthetic.buffer(motion), options)
    start = data.draw(st.integers(0, 49))
    stop = data.draw(st.integers(start + 1, 50))
    part = cut.window(start, stop)
    for name, part_rows in part.arrays.items():
        # matrix products of another length may differ in their last bits
        assert np.allclose(part_rows, whole.arrays[name][start:stop], rtol=0, atol=1e-9), name


def test_a_scene_cut_restarts_the_filter() -> None:
    motion = synthetic.driver(40)
    arrays = {k: v.copy() for k, v in motion.arrays.items()}
    arrays["track"][20:] = 1
    arrays["expression"] = (
        rows(motion, "expression")
        + 0.2 * sliders.load_slider_shapes().smile * (np.arange(40) >= 20)[:, None, None]
    )
    cut = replace(motion, arrays=arrays)
    first = np.asarray(retargeted(cut, MotionOptions(), reference=0).arrays["points"], np.float64)[
        :20
    ]
    alone = np.asarray(
        retargeted(motion[0:20], MotionOptions(), reference=0).arrays["points"], np.float64
    )
    # the lids differ: their median opening is that of the whole clip
    assert np.abs(first[:, 4] - alone[:, 4]).max() < 1e-6


def test_unusable_input_is_reported() -> None:
    motion = synthetic.driver(5)
    with pytest.raises(MediaError, match="kind 'fomm'"):
        retarget(synthetic.source(), synthetic.buffer(replace(motion, kind="fomm")), RAW)
    with pytest.raises(NoFaceError, match="no mesh"):
        retarget(replace(synthetic.source(), mesh=None), synthetic.buffer(motion), RAW)
    with pytest.raises(NoFaceError, match="no face in any frame"):
        retarget(synthetic.source(), synthetic.buffer(synthetic.with_gaps(motion, (0, 5))), RAW)


def test_an_empty_window_has_no_frames() -> None:
    out = RetargetedMotion(synthetic.source(), synthetic.buffer(synthetic.driver(5)), RAW).window(
        9, 12
    )
    assert len(out) == 0 and list(iterate_render_targets(out)) == []


def test_generated_motion_is_not_smoothed_and_says_so() -> None:
    motion = synthetic.driver(8)
    motion = replace(motion, constants={**motion.constants, "rest": motion.arrays["pose"][0]})
    for smooth in (0.0, 1.0):
        assert len(retargeted(motion, MotionOptions(smooth=smooth))) == 8
    with pytest.raises(UsageError, match="--smooth has no effect on generated motion"):
        retargeted(motion, MotionOptions(smooth=3))
