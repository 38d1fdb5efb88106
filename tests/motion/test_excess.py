"""Expression that is given back: drivers of one picture, and those that laugh throughout."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.motion import synthetic_motion as synthetic
from tests.motion.retargeting import canonical_shapes, retargeted, rows
from thcli.core.options import MotionOptions
from thcli.core.types import Array, Face, Motion
from thcli.faces.landmarks import topology
from thcli.motion import brows, canonical, closure, sliders
from thcli.motion.model3d import EXPRESSION_NAMES
from thcli.motion.reference import excess
from thcli.motion.retarget import RetargetedMotion

SMILE = EXPRESSION_NAMES.index("smile")


def picture(seed: int = 3, count: int = 1, **values: Any) -> Motion:
    """Return equal frames of another person, with a pose of its own."""
    curves = replace(sliders.SliderCurves(yaw=6.0, pitch=-4.0, x=0.2), **values)
    motion = sliders.motion_from_sliders(
        curves, np.arange(count), synthetic.TIME_BASE, synthetic.SIZE
    )
    expression = motion.arrays["expression"].astype(np.float64) + synthetic.identity_shape(seed)
    return replace(motion, arrays={**motion.arrays, "expression": expression})


def smile_of(shape: Array) -> float:
    return float(excess.expression_coefficients(shape)[SMILE])


def shape_of(face: Face) -> Array:
    return canonical.decompose(np.asarray(face.mesh)).shape


@pytest.mark.parametrize("causal", [False, True])
def test_the_expression_of_one_picture_is_taken_and_its_pose_is_not(causal: bool) -> None:
    source = synthetic.source()
    driver = picture(smile=0.8, jaw=0.5, brow=1.0)
    out = retargeted(driver, MotionOptions(causal=causal), source)
    shape = canonical_shapes(out)[0]
    assert smile_of(shape) - smile_of(shape_of(source)) > 0.5
    assert canonical.mouth_opening(shape) == pytest.approx(
        canonical.mouth_opening(canonical.neutral() + driver.arrays["expression"][0]), abs=0.03
    )
    assert (shape_of(source) - shape)[[105, 334], 1].min() > 0.03
    scale, rotation, _ = canonical.fit_rigid_points(np.asarray(source.mesh), rows(out, "points")[0])
    assert abs(scale - 1) < 0.005 and np.trace(rotation) > 3 - 1e-4


def test_the_expression_of_one_picture_is_taken_with_its_pose_in_absolute_mode() -> None:
    source = synthetic.source()
    out = retargeted(picture(yaw=20.0, smile=0.8, jaw=0.5), MotionOptions(mode="absolute"), source)
    assert smile_of(canonical_shapes(out)[0]) - smile_of(shape_of(source)) > 0.5
    _, rotation, _ = canonical.fit_rigid_points(np.asarray(source.mesh), rows(out, "points")[0])
    assert np.degrees(np.arccos((np.trace(rotation) - 1) / 2)) > 5


def test_eyes_that_a_laugh_narrows_are_narrowed_more_than_narrow_eyes() -> None:
    narrow, laughing = (
        rows(retargeted(picture(blink=0.55, smile=smile), MotionOptions()), "opening").max()
        for smile in (0.0, 1.2)
    )
    assert laughing < 0.8 * narrow


def test_a_picture_at_rest_moves_nothing() -> None:
    source = synthetic.source()
    out = retargeted(picture(yaw=0.0), MotionOptions(), source)
    height = np.ptp(np.asarray(source.mesh)[:, 1])
    assert np.abs(rows(out, "points")[0] - np.asarray(source.mesh)).max() < 0.005 * height
    assert not rows(out, "gaze").any()


def test_a_smiling_source_does_not_smile_twice() -> None:
    source = synthetic.source(smile=0.8)
    shape = canonical_shapes(retargeted(picture(smile=0.8), MotionOptions(), source))[0]
    assert smile_of(shape) == pytest.approx(smile_of(shape_of(source)), abs=0.1)


def test_the_shut_mouth_of_a_picture_shuts_that_of_the_source() -> None:
    source = synthetic.source(jaw=0.5)
    shape = canonical_shapes(retargeted(picture(), MotionOptions(), source))[0]
    assert canonical.mouth_opening(shape_of(source)) > 0.1
    assert canonical.mouth_opening(shape) < 0.01


@pytest.mark.parametrize(("blink", "low", "high"), [(0.5, 0.2, 0.7), (-0.5, 1.1, 1.5)])
def test_narrow_and_wide_eyes_of_a_picture_are_taken(blink: float, low: float, high: float) -> None:
    out = retargeted(picture(blink=blink), MotionOptions())
    assert low < rows(out, "opening").min() <= rows(out, "opening").max() < high
    narrow = synthetic.source(blink=0.4)
    ratio = rows(retargeted(picture(blink=0.4), MotionOptions(), narrow), "opening")
    assert ratio.min() > 0.75


def test_a_source_looks_as_far_beside_the_camera_as_a_picture() -> None:
    """A head that is turned aside and looks into the camera made a frontal source look aside."""
    looks = {
        (yaw, aside): rows(retargeted(picture(gaze_x=aside, yaw=yaw), MotionOptions()), "gaze")
        for yaw, aside in ((0.0, 0.15), (30.0, 0.15), (30.0, 0.0))
    }
    assert looks[0.0, 0.15][0, :, 0].min() > 0.1
    assert np.abs(looks[30.0, 0.15]).max() < 0.01
    assert looks[30.0, 0.0][0, :, 0].max() < -0.1
    shut = retargeted(picture(gaze_x=0.15, blink=0.9), MotionOptions())
    assert np.abs(rows(shut, "gaze")).max() < 0.01


@pytest.mark.parametrize(("blink", "brow"), [(0.4, 0.0), (0.0, 1.5), (0.0, -1.5)])
def test_narrow_eyes_and_low_brows_of_a_source_give_way_to_those_of_a_picture(
    blink: float, brow: float
) -> None:
    source = synthetic.source(blink=blink, brow=brow)
    out = retargeted(picture(), MotionOptions(), source)
    opened = np.log(rows(out, "opening").mean())
    rises = brows.measure(canonical_shapes(out) - shape_of(source))[0].mean()
    assert opened * blink > 0.02 if blink else rises * brow < -0.01


def test_wide_eyes_of_a_source_are_its_own_unless_the_pictures_are_wide_too() -> None:
    """Large eyes of drawings would be drawn down to those of a person."""
    wide = synthetic.source(blink=-0.4)
    for blink, low, high in ((0.0, 0.93, 1.07), (-0.4, 0.93, 1.07), (-0.8, 1.07, 1.3)):
        opened = rows(retargeted(picture(blink=blink), MotionOptions(), wide), "opening").mean()
        assert low < opened < high


def test_the_open_eye_of_a_source_that_winks_stays_as_it_is() -> None:
    both = synthetic.source()
    shut = synthetic.source(blink=1.0)
    left = np.asarray(both.mesh)[:, :1] < np.asarray(both.mesh)[168, 0]
    wink = synthetic.face(np.where(left, np.asarray(shut.mesh), np.asarray(both.mesh)))
    out = rows(retargeted(picture(), MotionOptions(), wink), "opening")
    assert out[0, 1] == pytest.approx(1, abs=0.08)


def test_a_driver_that_laughs_throughout_makes_the_source_laugh() -> None:
    t = np.arange(20)
    driver = picture(count=20, smile=0.9, jaw=0.5 + 0.1 * np.sin(t))
    source = synthetic.source()
    out = canonical_shapes(retargeted(driver, MotionOptions(), source))
    assert smile_of(out[10]) - smile_of(shape_of(source)) > 0.6
    truth = canonical.mouth_opening(canonical.neutral() + rows(driver, "expression"))
    np.testing.assert_allclose(canonical.mouth_opening(out), truth, atol=0.03)


@pytest.mark.parametrize("count", [1, 20])
def test_a_laugh_that_is_broader_than_the_face_models_widens_the_mouth(count: int) -> None:
    """The rest of the laugh's width counted as the face at rest: the mouth opened to an O."""
    driver = picture(count=count, smile=0.9, jaw=0.6)
    shapes = canonical.neutral() + rows(driver, "expression")
    lips = np.unique(np.r_[topology.LIPS_OUTER, topology.LIPS_INNER])
    shapes[:, lips, 0] *= 1.25
    broad = {**driver.arrays, "expression": shapes - canonical.neutral()}
    out = canonical_shapes(retargeted(replace(driver, arrays=broad), MotionOptions()))
    own = closure.mouth_widths(shape_of(synthetic.source()))
    assert closure.mouth_widths(out)[0] > 1.25 * own


def corner_height(shape: Array) -> float:
    """Return how far a mouth's corners are below the middle of its upper lip's inner rim."""
    return float(shape[list(topology.MOUTH_CORNERS), 1].mean() - shape[13, 1])


def with_lower_corners(driver: Motion, by: float) -> Motion:
    """Return a driver whose mouth's corners are lower by so many canonical units."""
    shapes = canonical.neutral() + rows(driver, "expression")
    lips = np.unique(np.r_[topology.LIPS_OUTER, topology.LIPS_INNER])
    beside = shapes[:, lips, 0] / shapes[:, topology.MOUTH_CORNERS[1], None, 0]
    shapes[:, lips, 1] += by * np.minimum(beside**2, 1)
    return replace(driver, arrays={**driver.arrays, "expression": shapes - canonical.neutral()})


@pytest.mark.parametrize("count", [1, 20])
def test_corners_that_rise_more_than_the_face_models_rise_in_the_result(count: int) -> None:
    """The rest of the laugh counted as the face at rest: its corners hung in an open mouth."""
    driver = picture(count=count, smile=0.9, jaw=0.6)
    plain, out = (
        canonical_shapes(retargeted(one, MotionOptions()))[0]
        for one in (driver, with_lower_corners(driver, -0.1))
    )
    assert corner_height(plain) - corner_height(out) > 0.07


@pytest.mark.parametrize(("own_smile", "least"), [(0.0, 0.05), (0.3, 0.07)])
def test_corners_that_a_picture_draws_down_hang_and_the_mouth_stays_wide(
    own_smile: float, least: float
) -> None:
    """A sulk was taken for the person's own mouth; of the rest half went into a narrower one."""
    source = synthetic.source(smile=own_smile)
    plain, out = (
        canonical_shapes(retargeted(with_lower_corners(picture(), by), MotionOptions(), source))[0]
        for by in (0.0, 0.08)
    )
    assert corner_height(out) - corner_height(shape_of(source)) > least
    assert closure.mouth_widths(out) > 0.97 * closure.mouth_widths(plain)


def test_corners_of_open_mouths_and_those_that_many_have_are_the_persons_own() -> None:
    for by, driver in ((0.02, picture()), (0.08, picture(jaw=0.5))):
        plain, out = (
            canonical_shapes(retargeted(one, MotionOptions()))[0]
            for one in (driver, with_lower_corners(driver, by))
        )
        assert corner_height(out) - corner_height(plain) < 0.6 * by


def test_the_frame_that_the_source_shows_is_its_own_rest() -> None:
    driver = picture(count=20, smile=0.9, jaw=0.5 + 0.1 * np.sin(np.arange(20)))
    source = synthetic.face(synthetic.meshes(driver)[4])
    out = canonical_shapes(retargeted(driver, MotionOptions(), source))
    np.testing.assert_allclose(out[4], shape_of(source), atol=5e-3)


def test_a_reference_near_rest_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    add = excess.add_video

    def keep(reference: Any, *rest: Any) -> Any:
        found.append((reference, add(reference, *rest)))
        return found[-1][1]

    monkeypatch.setattr(excess, "add_video", keep)
    driver = picture(count=20, smile=0.2, jaw=0.05)
    RetargetedMotion(synthetic.source(), synthetic.buffer(driver), MotionOptions())
    assert len(found) == 1 and found[0][0] is found[0][1]


def test_the_expression_of_one_picture_takes_the_place_of_the_sources() -> None:
    """A source that screamed shut its mouth to a smile of huge lips under a picture at rest."""
    source = synthetic.source(smile=1.0, jaw=0.4)
    shape = canonical_shapes(retargeted(picture(), MotionOptions(), source))[0]
    assert smile_of(shape) < 0.4 * smile_of(shape_of(source))
    video = canonical_shapes(retargeted(picture(count=20), MotionOptions(), source))
    assert smile_of(video[5]) > 0.8 * smile_of(shape_of(source))


@pytest.mark.parametrize("brow", [1.6, -1.6])
def test_brows_that_a_clip_holds_up_or_down_are_taken_over(brow: float) -> None:
    """A driver that was surprised, or angry, in all of its frames was at rest."""
    driver = picture(count=20, brow=brow, jaw=0.2 + 0.1 * np.sin(np.arange(20)))
    source = synthetic.source()
    rises = brows.measure(
        canonical_shapes(retargeted(driver, MotionOptions(), source)) - shape_of(source)
    )[0]
    assert (np.sign(brow) * rises > 0.015).all()


def test_brows_that_a_source_has_already_are_not_raised_twice() -> None:
    driver = picture(count=20, brow=1.6, jaw=0.2 + 0.1 * np.sin(np.arange(20)))
    source = synthetic.face(synthetic.meshes(picture(seed=5, brow=2.0))[0])
    rises = brows.measure(
        canonical_shapes(retargeted(driver, MotionOptions(), source)) - shape_of(source)
    )[0]
    assert (np.abs(rises) < 0.01).all()
