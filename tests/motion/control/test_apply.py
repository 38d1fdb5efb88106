"""Sliders on canonical shapes: what moves, what stays, and how far."""

from __future__ import annotations

import numpy as np
import pytest

from thcli.core.expressions import EXPRESSIONS, SLIDERS
from thcli.core.types import Array
from thcli.motion.canonical import eye_openings, lip_gaps, mouth_opening, neutral
from thcli.motion.control.apply import apply_sliders, gaze_shift
from thcli.motion.control.shapes import slider_shapes
from thcli.motion.sliders import load_slider_shapes

LEFT, RIGHT = 61, 291  # corners of the mouth


def moved(shape: Array | None = None, **values: float) -> Array:
    """Return a neutral face, or `shape` of one, with sliders; underscores stand for hyphens."""
    out = (neutral() if shape is None else shape)[None].copy()
    rows = {name.replace("_", "-"): np.array([v]) for name, v in values.items()}
    apply_sliders(out, rows, neutral())
    return np.asarray(out[0])


def mouth_width(shape: Array) -> float:
    return float(shape[RIGHT, 0] - shape[LEFT, 0])


@pytest.mark.parametrize("name", SLIDERS)
def test_a_slider_at_0_moves_nothing(name: str) -> None:
    np.testing.assert_allclose(moved(None, **{name: 0.0}), neutral(), atol=1e-12)


@pytest.mark.parametrize("name", ["brows", "inner-brows", "squint", "smile", "jaw", "pucker"])
def test_shapes_are_symmetric_smooth_and_of_natural_size(name: str) -> None:
    for shape in slider_shapes()[name]:
        np.testing.assert_allclose(shape[LEFT] * [-1, 1, 1], shape[RIGHT], atol=4e-3)
        assert np.linalg.norm(shape, axis=-1).max() < 0.24
    assert np.linalg.norm(slider_shapes()[name][1], axis=-1).max() > 0.02


def test_each_slider_does_what_its_name_says() -> None:
    face = neutral()
    assert moved(smile=1)[LEFT, 1] < face[LEFT, 1] - 0.05  # y is down
    assert moved(smile=-1)[LEFT, 1] > face[LEFT, 1] + 0.03
    assert mouth_width(moved(pucker=1)) < 0.8 * mouth_width(face)
    assert mouth_width(moved(pucker=-1)) > 1.1 * mouth_width(face)
    assert mouth_opening(moved(jaw=1)) > 0.3
    assert moved(brows=1)[105, 1] < face[105, 1] - 0.05
    assert moved(brows=-1)[107, 1] > face[107, 1] + 0.03
    assert moved(inner_brows=1)[107, 1] < face[107, 1] - 0.03


def test_a_face_that_grins_stops_before_it_looks_sad() -> None:
    shapes = load_slider_shapes()
    grin = neutral() + shapes.smile + 0.45 * shapes.jaw
    rest = neutral() + 0.25 * shapes.smile
    wanted = moved(rest, smile=-0.75)
    sad = moved(grin, smile=-0.75)
    assert mouth_opening(grin) > 0.13 > 0.06 > mouth_opening(sad)
    assert grin[LEFT, 1] < rest[LEFT, 1] < sad[LEFT, 1]
    np.testing.assert_allclose(sad[[LEFT, RIGHT], 1], wanted[[LEFT, RIGHT], 1], atol=0.02)
    chin = 152
    assert grin[chin, 1] - sad[chin, 1] > 0.01  # the jaw closes, too
    speaks = moved(grin + 0.8 * shapes.jaw, smile=-0.75)
    assert mouth_opening(speaks) > 0.2
    np.testing.assert_array_equal(moved(grin, brows=1)[[LEFT, RIGHT]], grin[[LEFT, RIGHT]])


def test_lips_that_purse_take_a_grin_away_and_shut() -> None:
    shapes = load_slider_shapes()
    grin = neutral() + shapes.smile + 0.45 * shapes.jaw
    kiss, wanted = moved(grin, pucker=1), moved(neutral() + 0.25 * shapes.smile, pucker=1)
    assert mouth_width(kiss) == pytest.approx(mouth_width(wanted), rel=0.06)
    np.testing.assert_allclose(kiss[[LEFT, RIGHT], 1], wanted[[LEFT, RIGHT], 1], atol=0.02)
    assert mouth_opening(grin) > 0.13 > 0.06 > mouth_opening(kiss)
    wide = moved(grin, pucker=-0.5)
    assert mouth_width(wide) > mouth_width(grin)
    assert mouth_opening(wide) == pytest.approx(mouth_opening(grin), rel=0.2)


def test_lips_that_purse_shut_those_of_the_source_and_go_on_speaking() -> None:
    """A mouth that is open at rest bared its teeth in a kiss."""
    jaw = load_slider_shapes().jaw
    parted = neutral() + 0.3 * jaw
    own = mouth_opening(parted)
    assert own > 0.08

    def changed(shape: Array, name: str, value: float) -> Array:
        out = shape[None].copy()
        apply_sliders(out, {name: np.array([value])}, parted)
        return np.asarray(out[0])

    kiss, half = (changed(parted, "pucker", value) for value in (1, 0.25))
    assert mouth_opening(kiss) < 0.02 < mouth_opening(half) < 0.8 * own
    assert parted[152, 1] - kiss[152, 1] > 0.005  # the jaw closes, too
    speaks = parted + 0.4 * jaw
    left = lip_gaps(changed(speaks, "pucker", 1)).mean()
    assert left == pytest.approx((lip_gaps(speaks) - lip_gaps(parted)).mean(), rel=0.1)
    np.testing.assert_allclose(lip_gaps(changed(parted, "smile", 1)), lip_gaps(parted))


def test_a_face_that_smiles_takes_less_of_a_raised_smile() -> None:
    smile = load_slider_shapes().smile
    added = [
        np.linalg.norm(moved(neutral() + own * smile, smile=0.8) - neutral() - own * smile)
        for own in (0.0, 0.6, 1.3, 1.6)
    ]
    assert added[0] > 1.2 * added[1] > 1.4 * added[2] > 0
    np.testing.assert_allclose(added[3], added[2], rtol=0.05)
    for own in (0.0, 1.3):  # the slider goes on widening the mouth
        widths = [mouth_width(moved(neutral() + own * smile, smile=s)) for s in (0, 0.5, 1)]
        assert widths[0] < widths[1] < widths[2]


def test_lids_shut_widen_and_wink_on_the_side_that_is_named() -> None:
    own = eye_openings(neutral())
    np.testing.assert_allclose(eye_openings(moved(lids=1)), 0, atol=1e-3)
    assert (eye_openings(moved(lids=-1)) > 1.3 * own).all()
    left, right = eye_openings(moved(wink=1))
    assert right < 1e-3 and left == pytest.approx(own[0])
    left, right = eye_openings(moved(wink=-1))
    assert left < 1e-3 and right == pytest.approx(own[1])
    assert (eye_openings(moved(squint=1)) < 0.8 * own).all()


def test_shut_eyes_stay_shut_until_lids_widen_them() -> None:
    asleep = moved(lids=1)
    np.testing.assert_allclose(eye_openings(moved(asleep, smile=1)), 0, atol=2e-3)
    assert (eye_openings(moved(asleep, lids=-1)) > 0.8 * eye_openings(neutral())).all()


@pytest.mark.parametrize("name", ["smile", "pucker", "brows"])
@pytest.mark.parametrize("jaw", [0.0, 0.5])
def test_lips_keep_their_gap_unless_the_jaw_opens(name: str, jaw: float) -> None:
    spoken = moved(jaw=jaw) if jaw else neutral()
    gaps = np.maximum(lip_gaps(spoken), 0)
    for value in (-1.0, 1.0):
        np.testing.assert_allclose(lip_gaps(moved(spoken, **{name: value})), gaps, atol=1e-9)


def test_gaze_is_in_eye_widths_and_the_upper_lid_follows_it_down() -> None:
    shift = gaze_shift({"gaze-x": np.array([30.0]), "gaze-y": np.array([-15.0])}, 1)
    np.testing.assert_allclose(shift[0, 0], [0.2, -0.4 * np.sin(np.radians(15))])
    np.testing.assert_array_equal(shift[:, 0], shift[:, 1])
    down, up = (eye_openings(moved(gaze_y=y)).mean() for y in (12.0, -12.0))
    assert down < eye_openings(neutral()).mean() < up


def test_expressions_are_made_of_sliders_within_their_ranges() -> None:
    for values in EXPRESSIONS.values():
        for name, value in values.items():
            assert SLIDERS[name].low <= value <= SLIDERS[name].high
