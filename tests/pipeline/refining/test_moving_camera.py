"""Decision whether the camera of a clip moves."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from thcli.core.options import RunOptions
from thcli.core.types import Frame
from thcli.faces.tracking.head_motion import Similarity
from thcli.pipeline.observe.track_log import FrameReadings, TrackLog
from thcli.pipeline.refining.moving_camera import logged_camera_moves, wants_still_camera
from thcli.refiners.detail.backend import load as load_detail
from thcli.refiners.fadm.small import load as load_fadm_s


@pytest.mark.parametrize(
    ("camera", "moves"),
    [
        (Similarity(), False),
        (Similarity(1, 1.5), False),  # noise of a still camera
        (Similarity(1, 20j), True),
        (Similarity(1.1, -10 - 10j), True),
    ],
)
def test_one_frame_of_a_long_clip_is_enough(camera: Similarity, moves: bool) -> None:
    frame = Frame(np.zeros((240, 320, 3), np.uint8), 0, Fraction(1, 25), 0)
    with TrackLog() as log:
        for number in range(600):
            seen = FrameReadings(camera=camera if number == 550 else None)
            log.add(frame, [], measured=seen)
        assert logged_camera_moves(log) == moves


def test_fadm_s_alone_wants_a_still_camera() -> None:
    run = RunOptions(device="cpu", threads=1)
    assert wants_still_camera(load_fadm_s(run))
    assert not wants_still_camera(load_detail(run))
