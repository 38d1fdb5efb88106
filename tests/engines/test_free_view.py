"""Free view of face vid2vid: a pose file's angles in place of the driver's, narrow networks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.engines.narrow import FACE, RUN, clip, image, make_facevid2vid, observe
from thcli.core.errors import MediaError
from thcli.core.options import MotionOptions, ViewOptions
from thcli.core.types import Array32
from thcli.engines.facevid2vid import pose
from thcli.engines.shared.motion_rows import Rows
from thcli.engines.shared.networks.engine import CropSource
from thcli.motion.file.buffer import MotionBuffer

FRAMES = 4  # at 25 frames a second
TURNS = np.array([[5, 10, -4], [-7, 30, 2]])  # yaw, pitch, roll at 0 and at 0.08 s
BETWEEN = np.array([0, 0.5, 1, 1])[:, None]  # linear, then the last row holds


def pose_file(folder: Path, *rows: str) -> Path:
    path = folder / "poses.csv"
    path.write_text("seconds,pitch,yaw,roll\n" + "".join(f"{row}\n" for row in rows), "utf-8")
    return path


def retargeted(view: ViewOptions, options: MotionOptions) -> tuple[Array32, CropSource, Rows]:
    """Return the keypoints (T, 15, 3) of four frames, the source, and the driver's own rows."""
    engine = make_facevid2vid(RUN, view)
    source = engine.encode_source(image(1), FACE)
    driver = observe(engine, clip(FRAMES))
    target = engine.retarget(source, MotionBuffer(driver), options)
    points = np.asarray(target.window(0, FRAMES).arrays["keypoints"], np.float32)
    rows = {name: np.asarray(array, np.float32) for name, array in driver.arrays.items()}
    return points, source, rows


@pytest.mark.parametrize("smooth", [0, 1])
def test_absolute_angles_are_those_of_the_file(smooth: float, tmp_path: Path) -> None:
    view = ViewOptions(pose_file=pose_file(tmp_path, "3,10,5,-4", "3.08,30,-7,2"))
    options = MotionOptions(mode="absolute", smooth=smooth, region="pose")
    points, source, _ = retargeted(view, options)
    angles = TURNS[0] + BETWEEN * (TURNS[1] - TURNS[0])
    own = (source.rows["shift"], source.rows["expression"])
    expected = pose.keypoints(source.encoded.canonical, angles, *own)
    np.testing.assert_allclose(points, expected, atol=1e-6)


def test_a_single_row_of_zeros_gives_a_frontal_head_that_speaks(tmp_path: Path) -> None:
    view = ViewOptions(pose_file=pose_file(tmp_path, "0,0,0,0"))
    points, source, rows = retargeted(view, MotionOptions(mode="absolute", smooth=0))
    expected = source.encoded.canonical + source.rows["shift"][:, None] + rows["expression"]
    np.testing.assert_allclose(points, expected, atol=1e-6)


def test_relative_turns_are_those_since_the_first_row(tmp_path: Path) -> None:
    """The source's head begins with its own pose; --yaw is added to the file's."""
    view = ViewOptions(pose_file=pose_file(tmp_path, "0,10,5,-4", "0.08,30,-7,2"), yaw=3)
    points, source, _ = retargeted(view, MotionOptions(smooth=0, region="pose"))
    angles = source.rows["angles"] + BETWEEN * (TURNS[1] - TURNS[0]) + [3, 0, 0]
    canonical, place = source.encoded.canonical, source.rows["shift"]

    def posed(angles: Array32) -> Array32:
        return pose.keypoints(canonical, angles, place, np.zeros((15, 3), np.float32))

    moved = points - source.encoded.keypoints
    turned = posed(angles) - posed(source.rows["angles"])
    scale = float((moved * turned).sum() / (turned**2).sum())
    assert 0.5 < scale < 2  # size of the source's face by the reference's
    np.testing.assert_allclose(moved, scale * turned, atol=1e-5)


def test_a_file_without_poses_is_refused_when_the_engine_loads(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="no pose"):
        make_facevid2vid(RUN, ViewOptions(pose_file=pose_file(tmp_path)))
