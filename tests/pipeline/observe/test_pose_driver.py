"""Tables of head poses as drivers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

import thcli
from thcli.core.errors import MediaError, UsageError
from thcli.core.events import silent
from thcli.core.options import OutputOptions, ReenactOptions, X2FaceOptions
from thcli.motion.file.reader import MotionFile
from thcli.pipeline.job.job import Job
from thcli.pipeline.observe.pose_driver import check_pose_driver, probe_driver

OPTIONS = ReenactOptions(engine="x2face")
TABLE = "seconds,pitch,yaw,roll\n1,0,-20,0\n1.5,,,\n2,10,20,0\n"


@pytest.mark.parametrize(("fps", "count"), [(None, 26), (10.0, 11)])
def test_a_table_becomes_motion_at_the_frame_rate(
    tmp_path: Path, fps: float | None, count: int
) -> None:
    table = tmp_path / "pose.csv"
    table.write_text(TABLE, "utf-8")
    options = replace(OPTIONS, output=OutputOptions(fps=fps))
    with Job("reenact", silent) as job:
        info = probe_driver(table, options, job)
        file = MotionFile(info.path)
        rows = file.window(0, len(file))
        assert info.kind == "motion" and info.rate == (fps or 25) and file.kind == "pose"
        assert len(rows) == count and rows.valid.all()
        angles = np.asarray(rows.arrays["angles"])
        assert np.allclose(angles[[0, -1]], [[0, -20, 0], [10, 20, 0]])
        assert np.allclose(np.diff(angles[:, 1]), 40 / (count - 1), atol=1e-4)


def test_what_is_no_table_is_refused(tmp_path: Path) -> None:
    table = tmp_path / "pose.csv"
    table.write_text("yaw\n1\n", "utf-8")
    with Job("reenact", silent) as job, pytest.raises(MediaError, match="no column seconds"):
        probe_driver(table, OPTIONS, job)


def test_engines_that_follow_no_poses_are_refused(tmp_path: Path) -> None:
    face = tmp_path / "face.png"
    cv2.imwrite(str(face), np.zeros((32, 32, 3), np.uint8))
    for name, remedy in (("mesh", "--pose-file"), ("fomm", "x2face")):
        with pytest.raises(UsageError, match=f"engine {name} cannot be driven.*poses") as caught:
            thcli.reenact(face, tmp_path / "pose.csv", "a.mp4", ReenactOptions(engine=name))
        assert remedy in caught.value.hint
    with pytest.raises(UsageError, match="--pose-code has no effect"):
        check_pose_driver(replace(OPTIONS, x2face=X2FaceOptions("1,2,3")))
