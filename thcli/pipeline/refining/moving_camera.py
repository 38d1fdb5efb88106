"""Decision for a whole clip: does its camera move?

A network that was trained on still cameras takes the camera's motion for the head's. It is left out
of the whole clip, so that no frame is refined in another way than its neighbours.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from thcli.core.protocols import CropView
from thcli.core.types import Array
from thcli.pipeline.job.job import Job
from thcli.pipeline.observe.crop_path import WINDOW
from thcli.pipeline.observe.track_log import TrackLog
from thcli.refiners.shared.still_camera import StillCameraRefiner

# Of the long side, by which a corner of the picture moves. A still one's seems to by up to .006.
_MOVES = 0.02


def wants_still_camera(network: CropView) -> bool:
    """Return whether a network serves still cameras alone."""
    return isinstance(network, StillCameraRefiner) and network.still_camera


def logged_camera_moves(log: TrackLog) -> bool:
    """Return whether the camera moves that was measured with the faces of a log."""
    outline = _corners(log.size)
    return any(
        _moves(camera.apply(outline), log.size)
        for start in range(0, log.frames, WINDOW)
        for camera in log.cameras(start, WINDOW)
    )


def picture_moves(image_from_still: npt.ArrayLike, size: tuple[int, int]) -> bool:
    """Return whether an affine motion (T, 2, 3) moves a picture of a size (width, height)."""
    matrices: Array = np.asarray(image_from_still, np.float64)
    moved = _corners(size) @ matrices[:, :, :2].mT + matrices[:, None, :, 2]
    return _moves(moved, size)


def warn_of_camera(name: str, job: Job) -> None:
    """Warn that a network is left out of a clip."""
    job.warn(
        f"The camera of {name} moves: the refiner's network, made for still ones, is left out."
    )


def _corners(size: tuple[int, int]) -> Array:
    width, height = size
    return np.array([(0, 0), (width, 0), (0, height), (width, height)], np.float64)


def _moves(corners: Array, size: tuple[int, int]) -> bool:
    """Return whether the corners (..., 4, 2) of a picture are elsewhere than in a still one."""
    away = np.linalg.norm(corners - _corners(size), axis=-1)
    return bool((away > _MOVES * max(size)).any())
