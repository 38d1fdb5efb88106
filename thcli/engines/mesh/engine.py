"""The default engine: the source's own texture, warped by the 468-point mesh.

It needs no generative weights. See docs/mesh-engine.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from thcli.core.geometry import rotvec_from_matrix
from thcli.core.options import (
    Matte,
    MotionOptions,
    Mouth,
    ReenactOptions,
    RenderOptions,
    RunOptions,
)
from thcli.core.protocols import EncodedGroup, MotionStore
from thcli.core.types import Array, Array32, Face, Frame, Image, Motion
from thcli.engines.mesh import picture, video
from thcli.engines.mesh.background.persons import SeenPersons, own_share
from thcli.engines.mesh.frame import has_shut_eyes
from thcli.engines.mesh.group import peel
from thcli.engines.mesh.mouth import mouth_choice
from thcli.engines.mesh.patches.loading import load_painter
from thcli.engines.mesh.pictures.several import SeveralPictures, prepare_pictures
from thcli.engines.mesh.prepared_source import MeshSource, prepare
from thcli.engines.mesh.renderer import MeshRenderer, limit_process
from thcli.engines.mesh.source_networks import SourceNetworks
from thcli.engines.mesh.video import MeshVideo
from thcli.motion import canonical
from thcli.motion.limits import PROFILE_YAW, yaw_limits
from thcli.motion.observe import KIND, observe
from thcli.motion.render_target import iterate_render_targets
from thcli.motion.retarget import retarget
from thcli.motion.video_retarget import VideoRetargetedMotion

if TYPE_CHECKING:
    from thcli.engines.mesh.patches.painter import PatchPainter

DEFAULT = ReenactOptions()


class MeshEngine:
    """Engine protocol over the mesh renderer.

    It is stateless between calls except for the networks of person and face regions, which are
    loaded for the first source that needs them.

    renderer: renders windows, here or in another process. With `cut_out` its pictures show the
    person alone, with its alpha, where the segmentation network sees it.
    """

    motion_kind = KIND
    parallel = True

    def __init__(
        self,
        run: RunOptions,
        matte: Matte,
        *,
        mouth: Mouth,
        follow_camera: bool = False,
        with_folds: bool = False,
        painter: PatchPainter | None = None,
        cut_out: bool = False,
    ) -> None:
        self._networks, self._painter = SourceNetworks(run, matte), painter
        self._cut_out = cut_out
        self._mouth, self._with_folds = mouth, with_folds
        self.renderer = MeshRenderer(follow_camera)

    @property
    def follows_camera(self) -> bool:
        """True when its pictures move with the driver's camera."""
        return self.renderer.follows_camera

    def encode_source(self, image: Image, face: Face) -> MeshSource:
        """Prepare a source image (H, W, 3) uint8, all of whose persons move with the face.

        Raises:
            NoFaceError: the face has no mesh.
            WeightsError: the matte is required and its network is not installed.
            DeviceError: the device's memory is full.
            NotFiniteError: the regions of the face are NaN.
        """
        return self._prepare(image, face, self._see_persons(image, face, ()))

    def encode_among(
        self,
        image: Image,
        face: Face,
        neighbours: Sequence[Face],
        pictures: Sequence[tuple[Image, Face]] = (),
    ) -> MeshSource | SeveralPictures:
        """Prepare one person of a source image, see `GroupEngine`. Raises as `encode_source`."""
        source = self._prepare(image, face, self._see_persons(image, face, neighbours))
        if not pictures:
            return source
        parsed = [self._networks.parse(picture, its_face) for picture, its_face in pictures]
        return prepare_pictures(source, pictures, parsed)

    def encode_group(
        self, image: Image, faces: Sequence[Face], driven: Sequence[bool]
    ) -> EncodedGroup | None:
        """Prepare several persons of a source image, see `GroupEngine`. Raises as `encode_source`.

        Returns None without a segmentation network, and where it misses one who is to be cut out.
        """
        see = self._networks.person_network()
        if see is None:
            return None
        group = peel(image, faces, driven, see, self._prepare, cut=self._cut_out)
        return None if self._cut_out and group.whole else group

    def _prepare(self, image: Image, face: Face, persons: SeenPersons | None) -> MeshSource:
        return prepare(
            image,
            face,
            persons,
            self._painter,
            with_folds=self._with_folds,
            parsed=self._networks.parse(image, face),
        )

    def _see_persons(
        self, image: Image, face: Face, neighbours: Sequence[Face]
    ) -> SeenPersons | None:
        probability = self._networks.person_probability(image, mirrored=self._cut_out)
        if probability is None:
            return None
        own: Array32 | None = None
        found = [one.mesh for one in (face, *neighbours) if one.mesh is not None]
        if face.mesh is not None and len(found) > 1:
            mesh, *others = (np.asarray(one, np.float64) for one in found)
            own = own_share(image, probability, mesh, others)
        return SeenPersons(probability, own, self._cut_out)

    def observe(self, frames: Sequence[Frame], faces: Sequence[Face | None]) -> Motion:
        """Extract the motion of driving frames."""
        return observe(frames, faces)

    def retarget(
        self, source: MeshSource | SeveralPictures, motion: MotionStore, options: MotionOptions
    ) -> MotionStore:
        """Transfer a driving motion to the source's face, and choose the mouth's inside."""
        first = source.first
        layered = first.layers is not None
        moved = retarget(source.face, motion, options, first.size, shoulders=layered)
        if self._mouth != "auto":
            return moved
        suits = mouth_choice.suits_driver_mouth(
            first, motion, moved.timeline, own_teeth=moved.shows_driver
        )
        return moved if suits else mouth_choice.DrawnMouthMotion(moved)

    def reads_driver(self, source: MeshSource | SeveralPictures, motion: MotionStore) -> bool:
        """Return whether `render` copies mouth or eyes out of the driving frames.

        Args:
            source: prepared source.
            motion: that `retarget` gave.
        """
        if self._mouth == "synthetic":
            return False
        is_drawn = isinstance(motion, mouth_choice.DrawnMouthMotion)
        return not is_drawn or any(has_shut_eyes(picture) for picture in source.pictures)

    def render(
        self,
        source: MeshSource | SeveralPictures,
        motion: Motion,
        frames: Sequence[Frame] | None,
    ) -> list[Image]:
        """Render a window of the motion that `retarget` gave.

        Args:
            source: prepared source.
            motion: window of T frames.
            frames: the T driving frames, for the inside of the mouth and eyes, or None.

        Returns:
            T images (H, W, 3) uint8 of the source's size; (H, W, 4), premultiplied colour and
            alpha, where the person is cut out.
        """
        return self.renderer.render(source, motion, frames)

    def find_warning(self, source: MeshSource | SeveralPictures) -> str | None:
        """Return sentences on profiles, shut eyes, still mouths, left out pictures, --patches."""
        found = []
        yaw = float(rotvec_from_matrix(canonical.decompose(source.first.mesh).rotation)[1])
        if abs(yaw) > PROFILE_YAW:
            most = np.degrees(yaw_limits(yaw)[int(yaw < 0)])
            found.append(f"The source is seen from the side: it turns back by {most:.0f} degrees.")
        if has_shut_eyes(source.first):
            lent = self._mouth != "synthetic"
            made = "those of a driving video, else made up" if lent else "made up"
            found.append(f"The source's eyes are shut: where they open, they are {made}.")
        if source.first.mouth_hidden:
            found.append("An object covers the source's mouth: it does not open.")
        if isinstance(source, SeveralPictures) and source.left_out:
            covered = "source's mouth alone" if source.first.mouth_hidden else "mouth there"
            found.append(f"--also: {source.left_out} not used, an object covers the {covered}.")
        asked = self._painter is not None and self._painter.is_asked_for
        if asked and source.first.painter is None:
            found.append("--patches: the source is too blurred for the networks of eyes and mouth.")
        return " ".join(found) or None

    def source_face(self, source: MeshSource | SeveralPictures) -> Face:
        """Return the face of a prepared source, in pixels of its image."""
        return source.face

    def place_meshes(self, source: MeshSource | SeveralPictures, motion: Motion) -> Array:
        """Return the mesh of the face in each image of a window, (T, 468, 3) pixels."""
        meshes = np.empty((len(motion), *source.first.mesh.shape))
        for mesh, target in zip(meshes, iterate_render_targets(motion), strict=True):
            mesh[:] = source.first.place(target.points).held
            picture.move_points(mesh, target.body, target.camera if self.follows_camera else None)
        return meshes

    def encode_video(self, own: MotionStore, frames: Iterable[Frame]) -> MeshVideo:
        """Collect open mouths, glasses and the appearance of the face from a source video."""
        mouth = None if self._painter is None else self._painter.mouth
        networks = self._networks
        return video.collect(own, frames, networks.parse_face, mouth, networks.person_probability)

    def transfer_motion(
        self, own: MotionStore, driving: MotionStore, options: MotionOptions
    ) -> VideoRetargetedMotion:
        """Transfer a driving motion to the frames of a source video.

        Args:
            own, driving: see `motion.video_retarget.VideoRetargetedMotion`.
            options: motion options; the region is replaced, the rest of a frame stays its own.

        Raises:
            MediaError, NoFaceError: as in `retarget`, for both clips.
        """
        return VideoRetargetedMotion(own, driving, options)

    def render_frames(
        self, source: MeshVideo, images: Sequence[Image], motion: Motion
    ) -> list[Image]:
        """Render frames of a source video with the motion that `transfer_motion` gave for them.

        A pixel that nothing moves is that of the frame, bit for bit.

        Args:
            source: from `encode_video`.
            images: T whole frames (H, W, 3) uint8.
            motion: the T rows of these frames.
        """
        return self.renderer.render_frames(source, images, motion)


def load(run: RunOptions, options: RenderOptions = DEFAULT) -> MeshEngine:
    """Create the engine with a job's options.

    The driver's mouth and camera are only available where a video may drive (`ReenactOptions`).
    The process is set up as `limit_process` says.
    """
    limit_process()
    mouth_inside: Mouth = "synthetic"
    follow_camera = False
    if isinstance(options, ReenactOptions):
        mouth_inside = options.mouth
        # a face that was chosen among several moves alone
        alone = options.source_face == DEFAULT.source_face and not options.drivers
        follow_camera = options.camera == "follow" and alone
    return MeshEngine(
        run,
        options.mesh.matte,
        mouth=mouth_inside,
        follow_camera=follow_camera,
        with_folds=options.mesh.folds == "on",
        painter=load_painter(run, options.mesh.patches),
        cut_out=options.background != DEFAULT.background,
    )
