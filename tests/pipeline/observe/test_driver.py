"""Motion of one of a driver's faces: its own person's torso, landmarks on its skin."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
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
from thcli.pipeline.observe import driver
from thcli.pipeline.observe.driver import observe_mesh
from thcli.pipeline.observe.frame_measurer import FrameMeasurer
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
        camera: Any = _LeaningPerson()
        record_faces(clip, log, TrackStatistics(), FrameMeasurer(camera=camera))
        with MotionWriter(path) as writer:
            observe_mesh(log, track, writer, job, camera=True)
    arrays = MotionFile(path).window(0, FRAMES).arrays
    assert arrays["torso"].any() == leans
    assert list(arrays["inside"]) == [0.0 if leans else CLOSED] * FRAMES  # its mouth is plain


def test_the_log_receives_landmarks_on_the_skin() -> None:
    mesh = np.asarray(synthetic.meshes(synthetic.driver(1))[0], np.float32)
    noise = np.random.default_rng(0).normal(0, 400, (480, 640)).astype(np.float32)
    grey = np.clip(128 + cv2.GaussianBlur(noise, (0, 0), 4), 0, 255).astype(np.uint8)
    pixels, shift = np.repeat(grey[..., None], 3, 2), np.array([2, -1, 0], np.float32)
    clip, iris = [], np.zeros((2, 5, 2), np.float32)
    for i, off in enumerate((0 * shift, shift)):
        face = Face(np.zeros(4, np.float32), 1.0, None, mesh + off, iris, 20.0, 0)
        clip.append((Frame(pixels, i, Fraction(1, 25), i, 1), [face], i == 0))
    with TrackLog() as log:
        record_faces(clip, log, TrackStatistics(), FrameMeasurer(on_skin=True))
        found = next(iter(log.windows(0, 2)))[1][1]
        moved = next(iter(log.skin_shifts(0, 2)))[1]
        none_of_it = next(iter(log.skin_shifts(1, 2)))
    assert found is not None and found.mesh is not None and moved is not None
    assert np.abs((found.mesh - mesh)[:, :2]).mean() < 0.2
    assert np.abs(found.mesh[:, :2] - moved - (mesh + shift)[:, :2]).max() < 1e-2
    assert none_of_it == [None, None]


@pytest.mark.parametrize("engine", ["mesh", "crops"])
def test_drivers_of_the_mesh_engine_are_followed(
    engine: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    given: list[FrameMeasurer] = []

    class Stop(Exception):
        pass

    def track(*arguments: Any) -> None:
        given.append(arguments[-1])
        raise Stop

    monkeypatch.setattr(driver, "track_faces", track)
    monkeypatch.setattr(driver, "CropEngine", str)
    selected: Any = SimpleNamespace(info=SimpleNamespace(kind="video", path=tmp_path))
    finder: Any = SimpleNamespace(camera_estimator=lambda: None)
    loaded: Any = "crops" if engine == "crops" else object()
    with pytest.raises(Stop), Job("reenact", lambda _: None) as job:
        driver.observe_driver(selected, tmp_path / "out", loaded, finder, job)
    assert given[0].on_skin == (engine == "mesh")
