"""Correction of the jaw of smoothed meshes by the motion of the skin's pixels.

What is painted slides over skin that moves faster than a filter in time lets the mesh move, and
over repeated frames, whose pixels rest (see `pixel_motion` for the upper face). Steps that the
optical flow gives are exact but drift. So each point keeps the slow motion of the mesh, and takes
its fast motion from the pixels.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core.geometry import bounding_box, transform_points
from thcli.core.imaging import grey_flow
from thcli.core.types import Array, Array32, Crop, Face, Image
from thcli.faces.crops.stabilize import local_linear_fit
from thcli.faces.landmarks.topology import POINTS
from thcli.motion.timeline import Ints
from thcli.pipeline.editing.smoothed_meshes import follows_head
from thcli.pipeline.job.temp_storage import TemporaryFiles

Flags = npt.NDArray[np.bool_]

FAST = 0.25  # seconds: faster motion is that of the pixels
MOST = 0.04  # limit of a correction, and of a frame's error, in distances of the eye corners
_CORNERS = (33, 263)  # outer corners of the eyes
# Scatter of a frame's errors, in distances of the eye corners, from which they count less and less:
# the flow of a head that turns fast is worse than the mesh.
_SCATTER = 0.009
_REACH = 24  # frames to each side
_WINDOW = 96  # frames that are corrected at once
_AVERAGED = 5  # pixels of the crop over which the flow is averaged


class SkinMotion(TemporaryFiles):
    """Errors of a mesh against the optical flow, on disk (4 kB a frame). A context manager.

    All frames are added in order; then `corrections` is called, any number of times.
    """

    def __init__(self) -> None:
        super().__init__("motion")
        self._seconds, self._known, self._scenes = array("d"), array("b"), array("q")
        self._last: tuple[Image, Crop, Array, int] | None = None

    def add(
        self,
        face: Face | None,
        crop_pixels: Image | None,
        placement: Crop,
        seconds: float,
        scene: int,
    ) -> None:
        """Add the next frame.

        Args:
            face: with its smoothed mesh, None where it was not detected.
            crop_pixels: (h, w, 3) uint8 crop of the face.
            placement: of the crop.
            seconds: time of the frame.
            scene: its number; the flow crosses no change.
        """
        mesh = None if face is None else face.mesh
        error = np.zeros((POINTS, 2), np.float32)
        now = None
        if mesh is not None and crop_pixels is not None:
            grey = np.asarray(cv2.cvtColor(crop_pixels, cv2.COLOR_RGB2GRAY), np.uint8)
            now = grey, placement, np.asarray(mesh[:, :2], np.float64), scene
            if self._last is not None and self._last[3] == scene:
                error = _step_error(self._last[:3], now[:3])
        self._last = now
        self._file.write(error.astype("<f4").tobytes())
        self._seconds.append(seconds)
        self._known.append(now is not None)
        self._scenes.append(scene)

    def corrections(self) -> Iterator[Array32]:
        """Yield what to add to the mesh of every frame, (468, 2) distances of the eye corners."""
        count = len(self._seconds)
        for start in range(0, count, _WINDOW):
            stop = min(start + _WINDOW, count)
            first, last = max(start - _REACH, 0), min(stop + _REACH, count)
            self._file.seek(first * POINTS * 8)
            data = self._file.read((last - first) * POINTS * 8)
            errors = np.frombuffer(data, "<f4").reshape(last - first, -1, 2)
            part = slice(first, last)
            known = np.array(self._known[part], bool)
            scenes = np.array(self._scenes[part])
            fast = fast_part(errors, np.array(self._seconds[part]), known, scenes)
            yield from fast[start - first : stop - first]


def move_mesh(face: Face, correction: Array32) -> Face:
    """Return a face with a correction (468, 2), in distances of the eye corners, of its mesh."""
    assert face.mesh is not None
    mesh = face.mesh.copy()
    own = (1 - follows_head())[:, None] * _size(mesh)
    mesh[:, :2] += (correction * own).astype(np.float32)
    return replace(face, mesh=mesh, box=bounding_box(mesh))


def fast_part(errors: Array32, seconds: Array, known: Flags, scenes: Ints) -> Array32:
    """Return the fast part of accumulated errors of positions, (T, N, 2).

    Args:
        errors: (T, N, 2) of each frame's step.
        seconds: (T,) times.
        known: (T,) bool, False for frames without the face; they have no part.
        scenes: (T,) numbers; nothing crosses a change.
    """
    scatter = np.sqrt(((errors - np.median(errors, 1, keepdims=True)) ** 2).sum(2).mean(1))
    trusted = np.minimum((_SCATTER / np.maximum(scatter, 1e-9)) ** 2, 1)
    weighted = errors.reshape(len(errors), -1) * trusted[:, None]
    total = np.cumsum(weighted, 0, dtype=np.float64)
    cut = np.diff(scenes, prepend=scenes[:1]) != 0
    segments = np.cumsum(cut | np.diff(known, prepend=known[:1]))
    slow = local_linear_fit(total, seconds, known, segments, FAST, _REACH)
    fast = np.where(known[:, None], np.clip(total - slow, -MOST, MOST), 0.0)
    return np.asarray(fast.reshape(errors.shape), np.float32)


def _step_error(last: tuple[Image, Crop, Array], now: tuple[Image, Crop, Array]) -> Array32:
    """Return where the pixels under the last mesh went, less the mesh.

    It is (468, 2), in distances of the eye corners.
    """
    before, placement, mesh = last
    flow = grey_flow(before, now[0])
    smooth = np.asarray(cv2.blur(flow, (_AVERAGED, _AVERAGED)), np.float32)
    at = transform_points(placement.crop_from_frame, mesh)
    x, y = at.T.astype(np.float32)
    steps = cv2.remap(smooth, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)[:, 0]
    frame_from_crop = np.asarray(np.linalg.inv(now[1].crop_from_frame), np.float64)
    error = transform_points(frame_from_crop, at + steps) - now[2]
    return np.asarray(np.clip(error / _size(now[2]), -MOST, MOST), np.float32)


def _size(mesh: Array | Array32) -> float:
    """Return the distance of the outer eye corners, in the plane, of a mesh (468, 2+)."""
    left, right = mesh[_CORNERS, :2]
    return max(float(np.linalg.norm(left - right)), 1e-6)
