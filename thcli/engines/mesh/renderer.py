"""Rendering of windows of frames: the part of the engine that can work in another process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from thcli.core.imaging import to_uint8
from thcli.core.types import Array, Frame, Image, Motion
from thcli.engines.mesh import picture, video
from thcli.engines.mesh.frame import lay_border, render_frame, render_without_border
from thcli.engines.mesh.mouth import wide_jaw
from thcli.engines.mesh.pictures.several import SeveralPictures, blend_face, targets_of_others
from thcli.engines.mesh.prepared_source import MeshSource
from thcli.engines.mesh.video import MeshVideo
from thcli.engines.shared.memory import keep_memory
from thcli.motion.render_target import RenderTarget, iterate_render_targets


@dataclass(frozen=True, slots=True)
class MeshRenderer:
    """Renders windows of prepared sources.

    follows_camera: its pictures move with the driver's camera.
    """

    follows_camera: bool

    def begin_process(self) -> None:
        """Set a process up that renders and does nothing else."""
        limit_process()

    def render(
        self,
        source: MeshSource | SeveralPictures,
        motion: Motion,
        frames: Sequence[Frame] | None,
    ) -> list[Image]:
        """Render a window of a picture; see `MeshEngine.render`."""
        driving: list[Image | None] = [None] * len(motion)
        if frames is not None:
            driving = [to_uint8(frame.pixels) for frame in frames]
        rendered = []
        for target, frame in zip(iterate_render_targets(motion), driving, strict=True):
            out = self._move_picture(_render_any(source, target, frame), target.camera)
            lay_border(out, source.first)
            rendered.append(out)
        return rendered

    def render_frames(
        self, source: MeshVideo, images: Sequence[Image], motion: Motion
    ) -> list[Image]:
        """Render frames of a source video; see `MeshEngine.render_frames`."""
        return [render_video_frame(source, image, motion, row) for row, image in enumerate(images)]

    def _move_picture(self, image: Image, image_from_still: Array | None) -> Image:
        if image_from_still is None or not self.follows_camera:
            return image
        return picture.move_picture(image, image_from_still)


def limit_process() -> None:
    """Limit OpenCV to one thread per call, as frames are rendered in parallel, and keep memory."""
    cv2.setNumThreads(1)
    keep_memory()


def _render_any(
    source: MeshSource | SeveralPictures, target: RenderTarget, driving: Image | None
) -> Image:
    """Render one frame of one picture, or of several that are blended, without a border."""
    if isinstance(source, MeshSource):
        return render_without_border(source, target, driving)
    out = render_without_border(source.first, target, driving)
    for other, own_target, share in targets_of_others(source, target):
        rendered = render_without_border(other.source, own_target, driving)
        out = blend_face(out, rendered, target.points, target.body, share, other.kept)
    return out


def render_video_frame(source: MeshVideo, image: Image, motion: Motion, row: int) -> Image:
    """Render one frame of a source video; a frame that does not change is returned itself.

    Args:
        source: of the video.
        image: (H, W, 3) uint8 frame.
        motion: window of kind "mesh-video".
        row: of the frame in the window.
    """
    if not video.is_changed(motion, row):
        return image
    mesh, points, gaze = (
        np.asarray(motion.arrays[name][row], np.float64) for name in ("mesh", "points", "gaze")
    )
    pts, doubt = int(motion.pts[row]), float(motion.arrays["doubt"][row])
    if source.smirks is not None:
        mesh, points = source.smirks.correct(pts, mesh, points, doubt)
    moves_eyes = bool(motion.arrays["moves_eyes"][row])
    own, points = wide_jaw.lower_skin(mesh), wide_jaw.lower_skin(points)
    prepared = video.prepare_frame(image, own, points, source, pts, moves_eyes=moves_eyes)
    out = render_frame(prepared, RenderTarget(points, gaze, np.ones(2)), None)
    return video.keep_occluders(image, out, own, source, doubt)
