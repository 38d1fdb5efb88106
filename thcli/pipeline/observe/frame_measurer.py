"""Measurements of pass 1 on the pixels of tracked frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from thcli.core.types import AnyArray, Face
from thcli.faces.landmarks.lip_hole import fit_lip_hole
from thcli.faces.landmarks.mouth_inside import CLOSED, shown_inside
from thcli.faces.tracking.camera_motion import CameraMotionEstimator
from thcli.faces.tracking.head_motion import HeadMotionEstimator
from thcli.motion.skin.follower import SkinFollower
from thcli.pipeline.observe.track_log import FrameReadings


@dataclass(frozen=True, slots=True)
class FrameMeasurer:
    """Measures a clip frame by frame, in order. A new one can be pickled, for another process.

    head_motion: also measure the motion of each head on its pixels, to stabilise crops.
    camera: also measures the motion of camera and torso, and what open mouths show.
    on_skin: also follow the skin of each face, for landmarks that stay on it, and fit the inner
        lips to the hole between lips that are drawn together.
    """

    head_motion: bool = False
    camera: CameraMotionEstimator | None = None
    on_skin: bool = False
    _estimator: HeadMotionEstimator = field(default_factory=HeadMotionEstimator)
    _follower: SkinFollower = field(default_factory=SkinFollower)

    @property
    def reads_pixels(self) -> bool:
        """Return whether anything is measured."""
        return self.head_motion or self.on_skin or self.camera is not None

    def measure(self, pixels: AnyArray, faces: Sequence[Face], cut: bool) -> FrameReadings:
        """Measure the next frame.

        Args:
            pixels: (H, W, 3) RGB uint8 or uint16.
            faces: of the tracker.
            cut: the frame begins a new scene.
        """
        motions = self._estimator.estimate(pixels, faces, cut=cut) if self.head_motion else []
        followed = self._follower.correct(pixels, faces, cut=cut) if self.on_skin else []
        followed = [fit_lip_hole(pixels, face) for face in followed]
        measured, camera = FrameReadings(motions, on_skin=followed), self.camera
        if camera is None:
            return measured
        seen = camera.estimate(pixels, faces, cut=cut)
        insides = [_inside(pixels, face) for face in faces]
        torso = None
        if camera.torso is not None and camera.torso_track is not None:
            torso = camera.torso, camera.torso_track
        return replace(measured, insides=insides, camera=seen, torso=torso)


def _inside(pixels: AnyArray, face: Face) -> float:
    return CLOSED if face.mesh is None else shown_inside(pixels, face.mesh)
