"""Pose files and orbits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from thcli.core.errors import MediaError
from thcli.core.options import ViewOptions
from thcli.motion.control import poses
from thcli.motion.control.poses import PoseCurve, added_angles


def write(path: Path, text: str) -> Path:
    path.write_text(text, "utf-8")
    return path


def test_a_pose_file_is_read_and_interpolated(tmp_path: Path) -> None:
    text = "index,seconds,seen,pitch,yaw,roll,x\n0,1,1,0,10,2,5\n1,2,0,,,,\n2,3,1,4,20,2,5\n"
    curve = PoseCurve.read(write(tmp_path / "a.csv", text))
    found = curve.sample(np.array([0.0, 1.0, 2.0, 9.0]))
    np.testing.assert_allclose(found, [[0, 10, 2], [2, 15, 2], [4, 20, 2], [4, 20, 2]])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seconds,pitch,yaw\n0,1,2\n", "no column roll"),
        ("", "no column seconds, pitch, yaw, roll"),
        ("seconds,pitch,yaw,roll\n", "has no pose"),
        ("seconds,pitch,yaw,roll\n0,,,\n", "has no pose"),
        ("seconds,pitch,yaw,roll\n0,a,0,0\n", "line 2 .* not a number"),
        ("seconds,pitch,yaw,roll\n0,1,\n", "line 2 .* not a number"),
        ("seconds,pitch,yaw,roll\n0,0,nan,0\n", "Line 2 .* not finite"),
        ("seconds,pitch,yaw,roll\n0,0,0,0\n0,1,1,1\n", "do not increase"),
    ],
)
def test_a_bad_pose_file_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(MediaError, match=message) as caught:
        PoseCurve.read(write(tmp_path / "bad.csv", text))
    assert "thcli fit" in caught.value.hint and caught.value.exit_code == 3


@pytest.mark.parametrize("mark", [";", "\t"])
def test_other_separators_than_commas_are_named(tmp_path: Path, mark: str) -> None:
    text = "seconds,pitch,yaw,roll\n0,0,0,0\n".replace(",", mark)
    with pytest.raises(MediaError, match="semicolons or tabs") as caught:
        PoseCurve.read(write(tmp_path / "a.csv", text))
    assert "commas" in caught.value.hint


def test_spaces_after_commas_and_too_many_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "a.csv", "seconds, pitch, yaw, roll\n0, 1, 2, 3\n1, 1, 2, 3\n")
    np.testing.assert_allclose(PoseCurve.read(path).degrees, [[1, 2, 3]] * 2)
    monkeypatch.setattr(poses, "MAX_ROWS", 1)
    with pytest.raises(MediaError, match="more than 1 poses"):
        PoseCurve.read(path)


def test_an_unreadable_pose_file_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.csv", tmp_path):
        with pytest.raises(MediaError, match="cannot be read"):
            PoseCurve.read(path)
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(MediaError, match="cannot be read"):
        PoseCurve.read(tmp_path / "binary.csv")


def test_an_orbit_is_one_sweep_to_both_sides() -> None:
    seconds = np.linspace(0, 4, 101)
    degrees = added_angles(ViewOptions(pitch=3, orbit=30), seconds, 4.0)
    np.testing.assert_allclose(degrees[:, 0], 3)
    yaw = degrees[:, 1]
    assert abs(yaw[0]) < 1e-4 and abs(yaw[-1]) < 1e-4
    assert yaw[25] == pytest.approx(30) and yaw[75] == pytest.approx(-30)
    assert not added_angles(ViewOptions(orbit=30), np.zeros(1), 0.0).any()
