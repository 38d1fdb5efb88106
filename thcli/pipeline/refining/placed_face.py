"""Subject of frames that an engine renders, whose face has a known place before they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from thcli.core.geometry import bounding_box
from thcli.core.options import StabilizationOptions, TemplateOptions
from thcli.core.protocols import CropView, MotionStore
from thcli.core.types import Array, Face, Frame, Image, Motion
from thcli.motion.file.windows import windows
from thcli.motion.timeline import Ints
from thcli.pipeline.job.job import Job
from thcli.pipeline.observe.crop_track import SUFFIX, CropTrack, write_crop_track
from thcli.pipeline.observe.track_log import TrackLog
from thcli.pipeline.refining.moving_camera import (
    picture_moves,
    wants_still_camera,
    warn_of_camera,
)
from thcli.pipeline.refining.subjects import DetailSource, ObservedFaces, subject_of_source

_NO_IRIS = np.zeros((2, 5, 2), np.float32)


@dataclass(frozen=True, slots=True)
class PlacedFace:
    """The only face of an image and its meshes in the frames rendered from it.

    image: (H, W, 3) uint8 source.
    face: as the engine sees it, in pixels of the image.
    motion: that is rendered.
    place: returns the meshes (T, 468, 3) of T rows of the motion, in pixels of the frames.
    scenes: (T,) number of the scene of each frame; smoothing ends with a scene.
    follows_camera: the driver's moving camera moves the picture.
    """

    image: Image
    face: Face
    motion: MotionStore
    place: Callable[[Motion], Array]
    scenes: Ints
    follows_camera: bool

    def observe(
        self, network: CropView, stabilization: StabilizationOptions, job: Job
    ) -> ObservedFaces:
        """Write the crop track of the face; nothing is rendered or detected.

        Args:
            network: size and template of the crops.
            stabilization: smoothing of the crops. The meshes stay as they are.
            job: temporary files; warns when the camera moves.
        """
        log = job.enter(TrackLog())
        size = self.image.shape[1], self.image.shape[0]
        observed, camera_moves = self.follows_camera and wants_still_camera(network), False
        for rows in windows(self.motion):
            self._log(rows, log)
            camera_moves |= observed and picture_moves(rows.arrays["camera"], size)
        name = "the rendered video"
        if camera_moves:
            warn_of_camera(name, job)
        path = job.temp_dir() / f"placed{SUFFIX}"
        template = TemplateOptions(template=network.template, size=network.crop_size)
        with job.clock("calm"):
            write_crop_track(path, log, 0, template, stabilization, name, exact=True)
        source = DetailSource(self.image, self.face)
        subject = subject_of_source(source, CropTrack(path), self.image, template)
        return ObservedFaces((replace(subject, camera_moves=camera_moves),), 1, 0)

    def _log(self, rows: Motion, log: TrackLog) -> None:
        black = np.broadcast_to(np.uint8(0), self.image.shape)
        for mesh, pts in zip(self.place(rows), rows.pts, strict=True):
            points = np.asarray(mesh, np.float32)
            face = Face(bounding_box(points), 1.0, mesh=points, iris=_NO_IRIS, track=0)
            frame = Frame(black, int(pts), Fraction(rows.time_base), log.frames)
            before = max(log.frames - 1, 0)
            log.add(frame, [face], cut=bool(self.scenes[log.frames] != self.scenes[before]))
