"""The default engine: a person's own texture, warped by the 468-point mesh (shared/specs/MESH.md). No generative weights."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import cv2

from thcli.core.errors import WeightsError
from thcli.core.imaging import to_uint8
from thcli.core.options import Matte, MotionOptions, ReenactOptions, RenderOptions, RunOptions
from thcli.core.protocols import MotionStore
from thcli.core.types import Array32, Face, Frame, Image, Motion
from thcli.engines.mesh import compose, eyes, mirrored_cheek, mouth, mouth_interior, warp
from thcli.engines.mesh.prepared_source import MeshSource, prepare
from thcli.engines.mesh.unfold import unfolded
from thcli.faces.compositing import person_matte
from thcli.motion.observe import KIND, observe
from thcli.motion.render_target import Target
from thcli.motion.retarget import retarget, targets

DEFAULT = ReenactOptions()


class MeshEngine:
    """Stateless between calls but for the segmentation network, which is loaded on the first source that wants it."""

    motion_kind = KIND
    parallel = True

    def __init__(self, run: RunOptions, matte: Matte, drivers_mouth: bool) -> None:
        self._run, self._matte, self._drivers_mouth = run, matte, drivers_mouth
        self._selfie: person_matte.Selfie | None = None
        self._lock = threading.Lock()

    @property
    def uses_driving_frames(self) -> bool:
        return self._drivers_mouth

    def encode_source(self, picture: Image, face: Face) -> MeshSource:
        """Raises NoFaceError without a mesh; WeightsError when the matte is asked for and its network is not here."""
        with self._lock:
            return prepare(picture, face, self._person(picture))

    def observe(self, frames: Sequence[Frame], faces: Sequence[Face | None]) -> Motion:
        return observe(frames, faces)

    def retarget(
        self, source: MeshSource, motion: MotionStore, options: MotionOptions
    ) -> MotionStore:
        return retarget(source.face, motion, options)

    def render(
        self, source: MeshSource, motion: Motion, frames: Sequence[Frame] | None
    ) -> list[Image]:
        """motion: a window of what `retarget` gave.  frames: the driving pictures of the same window, for the mouth's inside."""
        pictures = (
            [None] * len(motion) if frames is None else [to_uint8(frame.pixels) for frame in frames]
        )
        return [
            draw(source, target, picture)
            for target, picture in zip(targets(motion), pictures, strict=True)
        ]

    def _person(self, picture: Image) -> Array32 | None:
        """How likely each pixel belongs to a person, or None when the background shall move along."""
        if self._matte == "off":
            return None
        if self._selfie is None:
            try:
                self._selfie = person_matte.load(self._run)
            except WeightsError:
                if self._matte == "on":
                    raise
                return None
        return self._selfie.probability(picture)


def draw(source: MeshSource, target: Target, driving: Image | None) -> Image:
    """One frame, (H, W, 3) uint8 at the source's size. driving: the driver's picture of this frame, or None."""
    points = unfolded(source.mesh, target.points)
    shows = eyes.weights(source.eyes, points)
    strips = eyes.strip_sources(source.mesh, shows)
    way = warp.build(source.mesh, source.around, points, strips, source.size, source.step)
    if way is None:
        return source.picture.copy()
    out = compose.draw(source.picture, source.cut, way)
    if source.hidden is not None:
        mirrored_cheek.draw(out, source.picture, source.hidden, source.mesh, points, way)
    balls = source.eyes
    if driving is not None and target.driver is not None and not all(eye.own for eye in balls):
        gain = mouth.gain(source.tone, mouth.tone(driving, target.driver))
        balls = eyes.borrowed(balls, driving, target.driver, gain)
    eyes.draw_lash_lines(out, balls, shows, points, source.step)
    eyes.draw(out, balls, shows, points, target.gaze)
    if source.seam is not None:
        mouth.draw_seam(out, source.seam, source.inside.lips.gap, points, source.step)
    if driving is not None and target.driver is not None:
        mouth.draw_driver(out, source.tone, points, target.driver, driving)
    else:
        mouth_interior.draw(out, source.picture, source.inside, source.mesh, target.points)
    return out


def load(run: RunOptions, options: RenderOptions = DEFAULT) -> MeshEngine:
    """The engine with a job's options. A mouth's inside can only be the driver's where a video may drive.

    OpenCV is told to use one thread a call: frames are drawn side by side already, and its own threads would only wait for each other.
    """
    cv2.setNumThreads(1)
    return MeshEngine(
        run, options.mesh.matte, isinstance(options, ReenactOptions) and options.mouth == "driver"
    )
