"""Temporally smoothed landmarks of an edited face."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from itertools import islice
from pathlib import Path

import numpy as np

from thcli.core.geometry import bounding_box
from thcli.core.types import Array, Face
from thcli.faces.crops.crop import transform_face
from thcli.faces.landmarks.topology import RIGID_WEIGHTS
from thcli.motion import canonical
from thcli.motion.file.reader import MotionFile
from thcli.motion.file.windows import windows
from thcli.motion.file.writer import MotionWriter
from thcli.motion.observe import observe
from thcli.motion.smooth import ZeroPhaseFilter
from thcli.motion.timeline import read_timeline
from thcli.pipeline.editing.pixel_motion import pixel_corrections
from thcli.pipeline.observe.crop_track import CropTrack, TrackedCrop
from thcli.pipeline.observe.track_log import TrackLog

_RIGID = np.flatnonzero(RIGID_WEIGHTS)
_CORNERS = (33, 263)  # outer corners of the eyes
_JAW = 0.15, 0.6  # canonical heights: pixels of the upper face tell nothing of what is lower
WINDOW = 64  # frames of a track in memory


class SmoothedMeshes:
    """Meshes of a track with smoothed pose and expression.

    They are smoothed in the crops, in which the head is nearly at rest. The crops follow its pixels
    (see `faces.tracking.head_motion`): jerks and repeated frames stay what they are, and what is
    painted on a head at rest stays at rest.
    """

    def __init__(self, path: Path, log: TrackLog, track: int, crop_track: CropTrack) -> None:
        """Smooth the meshes of a track.

        Args:
            path: motion file to write.
            log: faces of the clip.
            track: number of the face.
            crop_track: crops that rotate with the head; its meshes are corrected by the smoothing
                of the crops.
        """
        self._crop_track = crop_track
        cuts = set(log.cuts)
        with MotionWriter(path) as writer:
            tracked_crops = iter(crop_track)
            for frames, faces in log.windows(track, WINDOW):
                crops = islice(tracked_crops, len(frames))
                corrected = [
                    None if face is None else _in_crop(face, tracked)
                    for face, tracked in zip(faces, crops, strict=True)
                ]
                writer.append(observe(frames, corrected, [frame.index in cuts for frame in frames]))
        self._motion = MotionFile(path)
        poses = [np.asarray(w.arrays["pose"], np.float64) for w in windows(self._motion)]
        timeline = replace(read_timeline(self._motion), pose=np.concatenate(poses))
        self._size = log.size  # poses are stored relative to it
        self._filter = ZeroPhaseFilter(self._motion, timeline, 1.0)
        self._shifts = np.zeros((len(timeline), 2))
        positions, sizes = np.full((len(timeline), 2), np.nan), np.ones(len(timeline))
        for row, face in enumerate(self.faces(log, track)):
            mesh = None if face is None else face.mesh
            if mesh is not None:
                positions[row] = mesh[_RIGID, :2].mean(0)
                sizes[row] = np.linalg.norm(mesh[_CORNERS[0], :2] - mesh[_CORNERS[1], :2])
        steps = [step for window in log.head_motions(track, WINDOW) for step in window]
        self._shifts = pixel_corrections(
            positions, sizes, steps, timeline.seconds, timeline.segment
        )

    def faces(self, log: TrackLog, track: int) -> Iterator[Face | None]:
        """Yield the face in every frame, None where it was not detected."""
        start, tracked_crops = 0, iter(self._crop_track)
        for frames, faces in log.windows(track, WINDOW):
            stop = start + len(frames)
            shape = canonical.neutral() + self._filter.expression(start, stop)
            posed = canonical.unpack_pose(self._filter.pose[start:stop], shape, self._size)
            crops = islice(tracked_crops, len(frames))
            shifts = self._shifts[start:stop]
            for face, mesh, tracked, shift in zip(faces, posed.mesh(), crops, shifts, strict=True):
                if face is None:
                    yield None
                else:
                    frame_from_crop = np.asarray(np.linalg.inv(tracked.placement.crop_from_frame))
                    in_crop = replace(face, mesh=mesh.astype(np.float32))
                    moved = transform_face(in_crop, frame_from_crop).mesh
                    assert moved is not None
                    moved[:, :2] += (follows_head()[:, None] * shift).astype(np.float32)
                    yield replace(face, mesh=moved, box=bounding_box(moved))
            start = stop


@cache
def follows_head() -> Array:
    """Return (468,) the share of the head's correction that a point takes.

    The rest is that of its own pixels: the jaw has its own motion.
    """
    low, high = _JAW
    return np.asarray(np.clip((high - canonical.neutral()[:, 1]) / (high - low), 0, 1))


def _in_crop(face: Face, tracked: TrackedCrop) -> Face:
    """Return a face with its corrected mesh, in pixels of the crop."""
    corrected = replace(face, mesh=tracked.mesh)
    return transform_face(corrected, tracked.placement.crop_from_frame)
