"""Retargeting of mouths, and the reference frames of a driver."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from tests.motion import synthetic_motion as synthetic
from tests.motion.retargeting import canonical_shapes, retargeted, rows
from thcli.core.geometry import rotvec_from_matrix
from thcli.core.options import MotionOptions
from thcli.core.types import Array
from thcli.faces.landmarks import topology
from thcli.motion import anatomy, canonical, closure, limits, sliders, smiles
from thcli.motion.canonical import neutral
from thcli.motion.retarget import RetargetedMotion


def test_closed_driver_lips_close_the_sources_open_mouth() -> None:
    t = np.linspace(0, 1, 30)
    motion = sliders.motion_from_sliders(
        sliders.SliderCurves(jaw=0.5 * (1 + np.cos(4 * np.pi * t))),
        np.arange(30),
        Fraction(1, 25),
        synthetic.SIZE,
    )
    source = synthetic.source(jaw=0.4)
    out = canonical_shapes(retargeted(motion, source=source))
    driver_mouth = canonical.mouth_opening(canonical.neutral() + rows(motion, "expression"))
    mouth = canonical.mouth_opening(out)
    assert driver_mouth.min() < 0.01 and mouth[driver_mouth < 0.01].max() < 0.02
    assert mouth.max() > 0.2


def test_a_profile_opens_its_mouth_less_wide_and_speaks_as_others_do() -> None:
    def gaps(jaw: float, yaw: float) -> Array:
        motion = sliders.motion_from_sliders(
            sliders.SliderCurves(jaw=np.linspace(0, jaw, 10)),
            np.arange(10),
            Fraction(1, 25),
            synthetic.SIZE,
        )
        shapes = canonical_shapes(retargeted(motion, source=synthetic.source(yaw=yaw)))
        return np.asarray(canonical.lip_gaps(shapes).mean(-1))

    assert gaps(0.2, 50.0) == pytest.approx(gaps(0.2, -4.0), abs=0.005)
    assert gaps(1.0, 35.0) == pytest.approx(gaps(1.0, -4.0), abs=0.005)
    assert gaps(1.0, 50.0).max() < limits.MAX_PROFILE_GAP < gaps(1.0, 35.0).max()


def mouth_of(shape: Array) -> tuple[float, float]:
    """Return the width of a mouth and the height of its upper lip."""
    left, right = (shape[k, :2] for k in topology.MOUTH_CORNERS)
    lips = anatomy.LIPS
    upper = shape[lips.upper, 1].mean() - shape[lips.upper_rings[-1], 1].mean()
    return float(np.linalg.norm(left - right)), float(upper)


@pytest.mark.parametrize("own_width", [0.6, 1.0])
def test_a_pucker_leaves_small_mouths_and_thin_lips_their_shape(own_width: float) -> None:
    reference = neutral()
    pucker = reference.copy()
    lips = np.unique(np.concatenate([topology.LIPS_OUTER, topology.LIPS_INNER]))
    middle = reference[lips].mean(0)
    pucker[lips] = middle + (reference[lips] - middle) * (0.5, 2.4, 1.0)
    source = reference.copy()
    source[lips] = middle + (reference[lips] - middle) * (own_width, 1.0, 1.0)
    change = (pucker - reference)[None]
    width, height = mouth_of(source)
    assert mouth_of(source + change[0])[0] < 0.55 * width  # the same length leaves too little
    shift = np.array([0.1, 0.2, 0.0])
    limited = change + shift
    closure.limit_mouth(limited, source, pucker[None], reference, np.ones(1))
    narrow, high = mouth_of(source + limited[0])
    assert closure.LEAST_WIDTH * width <= narrow < closure.FREE_WIDTH * width
    assert high < closure.PUCKER_HEIGHTS[1] * height
    assert limited[0, lips].mean(0) == pytest.approx(shift, abs=0.03)


@pytest.mark.parametrize(("added", "driven"), [(1e-12, 0.9), (0.002, 0.9), (-0.002, 1.1)])
def test_a_mouth_that_hardly_changes_its_width_keeps_its_motion(
    added: float, driven: float
) -> None:
    """Rounding about the own width, and so the batch, decided whether lips opened at all."""
    reference = neutral()
    lips = np.unique(np.concatenate([topology.LIPS_OUTER, topology.LIPS_INNER]))
    middle = reference[lips].mean(0)
    driver, change = reference.copy(), np.zeros((1, 468, 3))
    driver[lips] = middle + (reference[lips] - middle) * (driven, 1.0, 1.0)
    change[0, lips] = (reference[lips] - middle) * (added, 0.2, 0.0)
    limited = change.copy()
    share = closure.limit_mouth(limited, reference, driver[None], reference, np.ones(1))
    assert np.abs(limited - change).max() < 0.01 * np.abs(change).max()
    assert share[0] > 0.99


def test_lips_that_are_wide_already_part_as_far_as_a_grin_asks() -> None:
    """A statue's lips, .68 of the eyes' distance wide, showed a slit of teeth."""
    reference = neutral()
    lips = np.unique(np.concatenate([topology.LIPS_OUTER, topology.LIPS_INNER]))
    middle = reference[lips].mean(0)
    driver, source = reference.copy(), reference.copy()
    driver[lips] = middle + (reference[lips] - middle) * (1.3, 1.0, 1.0)
    source[lips] = middle + (reference[lips] - middle) * (1.4, 1.0, 1.0)
    change = (driver - reference)[None]
    share = closure.limit_mouth(change, source, driver[None], reference, np.ones(1))
    own, moved = (
        np.ptp(shape[list(topology.MOUTH_CORNERS), 0]) for shape in (source, source + change[0])
    )
    assert moved < 1.15 * own
    assert share[0] > 0.85


@pytest.mark.parametrize("name", ["strength", "expression"])
def test_a_pucker_is_limited_after_its_gain(name: str) -> None:
    """A mouth that was limited to .62 of its width came to .43."""
    lips = np.unique(np.concatenate([topology.LIPS_OUTER, topology.LIPS_INNER]))
    drawn = neutral()[lips] - neutral()[lips].mean(0)
    extra = np.zeros((30, 468, 3))  # most of which rest: a usual width is one of rest
    extra[20:, lips] = np.linspace(0, 1, 10)[:, None, None] * drawn * (-0.5, 1.4, 0.0)
    curves = sliders.SliderCurves(extra=extra)
    motion = sliders.motion_from_sliders(curves, np.arange(30), Fraction(1, 25), synthetic.SIZE)
    widths = {}
    for gain in (0.5, 1.0, 1.5, 2.0):
        gains: Any = {name: gain}
        options = MotionOptions(smooth=0, **gains)
        shapes = canonical_shapes(retargeted(motion, options))
        widths[gain] = mouth_of(shapes[-1])[0] / mouth_of(shapes[0])[0]
    assert 1 > widths[0.5] > widths[1.0] > widths[1.5] >= widths[2.0] > closure.LEAST_WIDTH - 0.02


def test_a_grin_widens_a_narrow_mouth_by_the_drivers_ratio_and_within_limits() -> None:
    """The driver's length drew a narrow mouth across the face, with a bar of teeth."""
    lips = np.unique(np.concatenate([topology.LIPS_OUTER, topology.LIPS_INNER]))
    middle = neutral()[lips].mean(0)
    grin, source = neutral().copy(), neutral().copy()
    grin[lips] = middle + (neutral()[lips] - middle) * (1.45, 1.0, 1.0)
    source[lips] = middle + (neutral()[lips] - middle) * (0.8, 1.0, 1.0)
    change = (grin - neutral())[None]
    width = mouth_of(source)[0]
    assert mouth_of(source + change[0])[0] > 1.54 * width
    kept = closure.limit_mouth(change, source, grin[None], neutral(), np.ones(1))
    widened = mouth_of(source + change[0])[0] / width
    assert closure.FREE_GRIN < widened < 1.45
    assert kept == pytest.approx((widened - 1) / 0.56, abs=0.03)


@pytest.mark.parametrize(("smile", "least", "most"), [(0.0, 1.12, 1.3), (1.0, 1.0, 1.081)])
def test_a_smile_does_not_widen_to_a_grin_that_the_driver_does_not_show(
    smile: float, least: float, most: float
) -> None:
    """Pursed lips that parted made a grin of a smile."""
    lips = np.unique(np.concatenate([topology.LIPS_OUTER, topology.LIPS_INNER]))
    middle = neutral()[lips].mean(0)
    shapes = [neutral().copy() for _ in range(3)]
    for shape, width in zip(shapes, (1.3, 0.9, 1.2), strict=True):
        shape[lips] = middle + (neutral()[lips] - middle) * (width, 1.0, 1.0)
    source, pursed, parted = shapes
    change = (parted - pursed)[None]
    closure.limit_mouth(change, source, parted[None], pursed, np.ones(1), smile)
    widened = mouth_of(source + change[0])[0] / mouth_of(source)[0]
    assert least < widened < most


def test_a_smile_is_seen_and_a_face_at_rest_is_none() -> None:
    smile = neutral() + sliders.load_slider_shapes().smile
    assert smiles.smiling(neutral()) == 0
    assert smiles.smiling(smile) == 1


def test_lips_that_part_grow_no_thicker_than_they_are() -> None:
    """Lips that a driver's beard hides when they are shut stuck out as a muzzle."""
    lips = anatomy.LIPS
    driver = neutral().copy()
    driver[lips.lower, 1] += 0.2
    driver[lips.lower_rings, 1] += 0.2
    driver[lips.upper_rings[-1], 1] -= 0.03
    limited = (driver - neutral())[None]
    closure.limit_mouth(limited, neutral(), driver[None], neutral(), np.ones(1))
    thick, high = mouth_of(driver)[1], mouth_of(neutral())[1]
    assert thick > 1.3 * high
    assert mouth_of(neutral() + limited[0])[1] < (closure.OPEN_HEIGHTS[1] + 0.02) * high


def test_speech_and_grins_are_no_puckers() -> None:
    source = neutral()
    for curves in ({"jaw": 1.0}, {"smile": 1.0}):
        values = {name: np.array([value]) for name, value in curves.items()}
        motion = sliders.motion_from_sliders(
            sliders.SliderCurves(**values), np.arange(1), Fraction(1, 25), synthetic.SIZE
        )
        driver = source + rows(motion, "expression")
        change = driver - source
        limited = change.copy()
        closure.limit_mouth(limited, source, driver, source, np.ones(1))
        assert limited == pytest.approx(change, abs=1e-4)


def test_lips_never_cross() -> None:
    motion = synthetic.driver(60, noise=0.01)
    for jaw in (0.0, 0.3):
        out = canonical_shapes(retargeted(motion, source=synthetic.source(jaw=jaw)))
        assert canonical.lip_gaps(out).min() > -2e-3


def test_motion_with_a_rest_pose_keeps_its_own_lip_gaps() -> None:
    """At rest the source keeps its pose and its parted lips close; gaps are those of the motion."""
    source = sliders.motion_from_sliders(
        sliders.SliderCurves(jaw=0.5, yaw=12.0), [0], Fraction(1, 25)
    )
    mesh = canonical.unpack_pose(
        source.arrays["pose"][0], canonical.neutral() + rows(source, "expression")[0], (512, 512)
    ).mesh()
    jaw = np.array([0.0, 0.0, 0.6, 0.3, 0.0])
    motion = sliders.motion_from_sliders(
        sliders.SliderCurves(jaw=jaw, pitch=np.array([0.0, 5, 0, 0, 0])),
        np.arange(5),
        Fraction(1, 25),
    )
    motion = replace(motion, constants={**motion.constants, "rest": motion.arrays["pose"][0]})
    store = RetargetedMotion(synthetic.face(mesh), synthetic.buffer(motion), MotionOptions())
    points = np.asarray(store.window(0, 5).arrays["points"])
    posed = canonical.decompose(points)
    angles = np.degrees(rotvec_from_matrix(posed.rotation))
    assert np.allclose(angles[[0, 2, 4]], angles[0], atol=0.5) and abs(angles[0, 1] - 12) < 1.5
    assert angles[1, 0] - angles[0, 0] == pytest.approx(5, abs=0.5)
    opening = canonical.mouth_opening(posed.shape)
    assert opening[[0, 1, 4]].max() < 5e-3
    expected = canonical.mouth_opening(canonical.neutral() + rows(motion, "expression"))
    assert np.allclose(opening, expected, atol=0.03)
    assert store.reference == -1


def test_an_open_source_takes_parted_lips_as_its_reference_and_can_close() -> None:
    """The only parted frame is turned a little, and the closed ones are not."""
    t = np.arange(30)
    parted = np.exp(-(((t - 20) / 2.0) ** 2))
    curves = sliders.SliderCurves(jaw=0.3 * parted, yaw=8 * parted)
    motion = sliders.motion_from_sliders(curves, t, Fraction(1, 25), synthetic.SIZE)
    out = canonical_shapes(retargeted(motion, source=synthetic.source(jaw=0.25)))
    assert canonical.mouth_opening(out)[:12].max() < 0.02


@pytest.mark.parametrize("rate", [25, 50])
def test_the_reference_is_a_frame_at_rest_not_the_end_of_a_fast_turn(rate: int) -> None:
    """A blurred frame looked like the source, and the clip's rest was a turn of 20 degrees."""
    moments = np.arange(40 * rate // 25)
    t = moments * 25 / rate
    turn = np.where((t > 17) & (t < 23), 12 * (1 - np.abs(t - 20) / 3.0), 0.0)
    curves = sliders.SliderCurves(yaw=turn)
    motion = sliders.motion_from_sliders(curves, moments, Fraction(1, rate), synthetic.SIZE)
    source = synthetic.source(yaw=10)
    store = RetargetedMotion(source, synthetic.buffer(motion), MotionOptions(smooth=0))
    assert abs(turn[store.reference]) < 5
    moments = np.arange(40)
    held = sliders.SliderCurves(yaw=np.clip(1.5 * (moments - 5), 0, 12))
    motion = sliders.motion_from_sliders(held, moments, Fraction(1, 25), synthetic.SIZE)
    store = RetargetedMotion(source, synthetic.buffer(motion), MotionOptions(smooth=0))
    assert 11 <= store.reference <= 39


def test_raised_brows_are_no_reference() -> None:
    """All frames beside them frowned: the source's brows met above its nose."""
    moments = np.arange(60)
    raised = np.where(moments % 20 > 15, 1.0, 0.0)
    curves = sliders.SliderCurves(brow=0.5 * raised, yaw=6 * raised)
    motion = sliders.motion_from_sliders(curves, moments, Fraction(1, 25), synthetic.SIZE)
    store = RetargetedMotion(
        synthetic.source(yaw=6), synthetic.buffer(motion), MotionOptions(smooth=0)
    )
    assert raised[store.reference] == 0
