"""Temporally smoothed landmarks of an edited face."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np

from thcli.core.geometry import bounding_box
from thcli.core.types import Face
from thcli.motion import canonical
from thcli.motion.file.reader import MotionFile
from thcli.motion.file.windows import windows
from thcli.motion.file.writer import MotionWriter
from thcli.motion.observe import observe
from thcli.motion.smooth import ZeroPhaseFilter
from thcli.motion.timeline import read_timeline
from thcli.pipeline.observe.crop_track import CropTrack
from thcli.pipeline.observe.track_log import TrackLog

WINDOW = 64  # frames of a track in memory


class SmoothedMeshes:
    """Meshes of a track with smoothed pose and expression.

    What is painted on a head at rest then stays at rest.
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
        cuts = set(log.cuts)
        with MotionWriter(path) as writer:
            tracked_crops = iter(crop_track)
            for frames, faces in log.windows(track, WINDOW):
                corrected = [
                    None if face is None else replace(face, mesh=tracked.mesh)
                    for face, tracked in zip(faces, islice(tracked_crops, len(frames)), strict=True)
                ]
                writer.append(observe(frames, corrected, [frame.index in cuts for frame in frames]))
        self._motion = MotionFile(path)
        self._size = log.size
        poses = [np.asarray(w.arrays["pose"], np.float64) for w in windows(self._motion)]
        timeline = replace(read_timeline(self._motion), pose=np.concatenate(poses))
        self._filter = ZeroPhaseFilter(self._motion, timeline, 1.0)

    def faces(self, log: TrackLog, track: int) -> Iterator[Face | None]:
        """Yield the face in every frame, None where it was not detected."""
        start = 0
        for frames, faces in log.windows(track, WINDOW):
            stop = start + len(frames)
            shape = canonical.neutral() + self._filter.expression(start, stop)
            posed = canonical.unpack_pose(self._filter.pose[start:stop], shape, self._size)
            for face, mesh in zip(faces, posed.mesh(), strict=True):
                if face is None:
                    yield None
                else:
                    box = bounding_box(mesh).astype(np.float32)
                    yield replace(face, mesh=mesh.astype(np.float32), box=box)
            start = stop
