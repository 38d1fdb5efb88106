"""Motion of one of a driver's faces: the torso is that of its own person."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tests.motion import synthetic_motion as synthetic
from thcli.core.types import Face, Frame
from thcli.faces.landmarks.mouth_inside import CLOSED
from thcli.faces.landmarks.topology import LIPS
from thcli.faces.tracking.camera_motion import CameraMotionEstimator
from thcli.faces.tracking.head_motion import Similarity
from thcli.faces.tracking.select import TrackStatistics
from thcli.motion.file.reader import MotionFile
from thcli.motion.file.writer import MotionWriter
from thcli.pipeline.job.job import Job
from thcli.pipeline.observe.driver import observe_mesh
from thcli.pipeline.observe.track_log import TrackLog
from thcli.pipeline.observe.tracking import record_faces

FRAMES = 4


class _LeaningPerson(CameraMotionEstimator):
    """Camera that is still before two persons, of whom the one with track 1 leans."""

    def __init__(self) -> None:
        super().__init__(lambda image: np.zeros(image.shape[:2], np.float32))
        self._shift = 0

    def estimate(
        self, image: npt.NDArray[Any], faces: Any = (), *, cut: bool = False
    ) -> Similarity:
        self._shift += 5
        self.torso, self.torso_track = Similarity(1, self._shift), 1
        return Similarity()


@pytest.mark.parametrize(("track", "leans"), [(0, False), (1, True)])
def test_torso_and_mouth_are_those_of_the_chosen_face(
    track: int, leans: bool, tmp_path: Path
) -> None:
    mesh = np.asarray(synthetic.meshes(synthetic.driver(1))[0], np.float32)
    iris = np.zeros((2, 5, 2), np.float32)
    box = np.concatenate([mesh[:, :2].min(0), mesh[:, :2].max(0)])
    opened = mesh.copy()
    opened[LIPS.lower, 1] += 0.2 * np.ptp(mesh[:, 1])
    meshes = (mesh, opened)
    faces = [Face(box, 1.0, None, meshes[k], iris, 20.0, k) for k in range(2)]
    pixels = np.zeros((480, 640, 3), np.uint8)
    clip = [(Frame(pixels, i, Fraction(1, 25), i, 1), faces, False) for i in range(FRAMES)]
    path = tmp_path / "driver.motion.safetensors"
    with TrackLog() as log, Job("reenact", lambda _: None) as job:
        record_faces(clip, log, TrackStatistics(), camera=_LeaningPerson())
        with MotionWriter(path) as writer:
            observe_mesh(log, track, writer, job, camera=True)
    arrays = MotionFile(path).window(0, FRAMES).arrays
    assert arrays["torso"].any() == leans
    assert list(arrays["inside"]) == [1.0 if leans else CLOSED] * FRAMES  # its mouth is dark
