"""Sliders and turns of a job in a motion file, and on the face that it drives."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from tests.motion.synthetic_motion import driver, source
from thcli.core.errors import UsageError
from thcli.core.geometry import angles_from_matrix
from thcli.core.options import ExpressionOptions, MotionOptions, ViewOptions
from thcli.core.protocols import MotionStore
from thcli.core.types import Array
from thcli.motion.canonical import decompose
from thcli.motion.control.controls import TURN, Controls, array_name, write_controlled
from thcli.motion.file.reader import MotionFile
from thcli.motion.file.span import MotionSpan, select_span
from thcli.motion.file.writer import MotionWriter
from thcli.motion.retarget import RetargetedMotion
from thcli.motion.sliders import SliderCurves, motion_from_sliders

RELATIVE = MotionOptions()


def store(path: Path, count: int = 25, *, moving: bool = False) -> MotionSpan:
    """Return a motion file of a face at rest, or of a driver, 25 frames per second."""
    at_rest = motion_from_sliders(SliderCurves(), np.arange(100, 100 + count), Fraction(1, 25))
    with MotionWriter(path, {"source": "made"}) as writer:
        writer.append(driver(count) if moving else at_rest)
    return select_span(MotionFile(path), Fraction(0), None)


def rows(motion: MotionStore) -> dict[str, Array]:
    """Return the arrays of all frames of a motion."""
    arrays = motion.window(0, len(motion)).arrays
    return {name: np.asarray(values, np.float64) for name, values in arrays.items()}


def controls(view: ViewOptions | None = None, **expression: object) -> Controls:
    options = ExpressionOptions(**expression)  # type: ignore[arg-type]
    return Controls.read(view or ViewOptions(), options)


def head_angles(motion: MotionSpan, options: MotionOptions = RELATIVE) -> Array:
    """Return pitch, yaw and roll (T, 3) of the source's head under a motion."""
    points = rows(RetargetedMotion(source(), motion, options))
    return angles_from_matrix(decompose(points["points"]).rotation)


def test_nothing_given_is_empty() -> None:
    assert controls().is_empty and not controls().is_moving
    assert not controls(smile=0.1).is_empty and not controls(ViewOptions(roll=1)).is_empty
    assert controls(ViewOptions(orbit=9)).is_moving


def test_expressions_add_up_within_the_range_of_a_slider() -> None:
    both = controls(expression=["happy", "wink=0.5"], smile=0.9, gaze="10,-5")
    values = both.slider_values(np.zeros(2), {})
    assert values["smile"].tolist() == [1, 1] and values["wink"].tolist() == [0.5, 0.5]
    assert values["gaze-x"][0] == 10 and values["gaze-y"][0] == -5
    assert "jaw" not in values


@pytest.mark.parametrize(
    "given",
    [
        {"smile": 2.0},
        {"jaw": -0.1},
        {"expression": ["bored"]},
        {"expression": ["happy=9"]},
        {"gaze": "40,0"},
        {"gaze": "left"},
    ],
)
def test_values_out_of_range_are_refused(given: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        ExpressionOptions(**given)  # type: ignore[arg-type]


def test_the_file_holds_sliders_and_turns_of_every_frame(tmp_path: Path) -> None:
    keys = tmp_path / "keys.txt"
    keys.write_text("0 yaw=0\n0.96 yaw=10 surprised\n")
    given = controls(ViewOptions(orbit=20, pitch=3), smile=0.5, keys=keys)
    written = write_controlled(store(tmp_path / "a"), given, tmp_path / "b", RELATIVE)
    arrays = rows(written)
    np.testing.assert_allclose(arrays[array_name("smile")], 0.5)
    np.testing.assert_allclose(arrays[TURN][:, 0], 3)
    assert arrays[TURN][0, 1] == pytest.approx(0) and arrays[TURN][-1, 1] == pytest.approx(10)
    assert arrays[TURN][6, 1] > 19
    assert arrays[array_name("brows")][-1] == pytest.approx(1)
    assert written.file.metadata["source"] == "made" and len(written) == 25
    again = rows(write_controlled(written, controls(smile=0.7), tmp_path / "c", RELATIVE))
    np.testing.assert_allclose(again[array_name("smile")], 1)
    np.testing.assert_allclose(again[TURN], arrays[TURN])


def test_a_turn_turns_the_sources_head_by_its_angles(tmp_path: Path) -> None:
    still = head_angles(store(tmp_path / "a"))
    given = controls(ViewOptions(yaw=10, roll=-8))
    turned = head_angles(write_controlled(store(tmp_path / "b"), given, tmp_path / "c", RELATIVE))
    np.testing.assert_allclose((turned - still)[:, 1:], [[10, -8]] * 25, atol=1.5)


def test_a_slider_is_added_to_what_drives(tmp_path: Path) -> None:
    plain = store(tmp_path / "a", moving=True)
    given = write_controlled(plain, controls(smile=1.0, gaze="20,0"), tmp_path / "b", RELATIVE)
    own, other = (rows(RetargetedMotion(source(), one, RELATIVE)) for one in (plain, given))
    moved = other["points"] - own["points"]
    assert (moved[:, [61, 291], 1] < -1).all()  # corners of the mouth, pixels upwards
    assert np.abs(moved[:, 10, :2]).max() < 1  # the forehead
    shift = (other["gaze"] - own["gaze"])[..., 0]
    np.testing.assert_allclose(shift, 0.4 * np.sin(np.radians(20)), atol=1e-6)


def test_a_pose_file_takes_the_place_of_the_drivers_head(tmp_path: Path) -> None:
    poses = tmp_path / "poses.csv"
    poses.write_text("seconds,pitch,yaw,roll\n5,0,4,0\n5.96,6,14,0\n")
    plain = store(tmp_path / "a", moving=True)
    given = controls(ViewOptions(pose_file=poses))
    relative = head_angles(write_controlled(plain, given, tmp_path / "b", RELATIVE))
    assert relative[-1, 1] - relative[0, 1] == pytest.approx(10, abs=1.5)
    absolute = MotionOptions(mode="absolute")
    own = head_angles(write_controlled(plain, given, tmp_path / "c", absolute), absolute)
    assert own[0, 1] == pytest.approx(4, abs=2) and own[-1, 1] == pytest.approx(14, abs=2)
    still = MotionOptions(pose=0)
    none = head_angles(write_controlled(plain, given, tmp_path / "d", still), still)
    assert np.ptp(none, axis=0).max() < 0.5
