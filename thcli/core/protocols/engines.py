"""Reenactment engines and the motion that they read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from thcli.core.options import MotionOptions
from thcli.core.protocols.faces import CropNetwork
from thcli.core.types import Array, Face, Frame, Image, Motion


class MotionStore(Protocol):
    """A clip's motion on disk or computed on demand. Only windows of it are held in memory."""

    @property
    def kind(self) -> str:
        """Engine family that reads the motion; see `core.types.Motion`."""
        ...

    def __len__(self) -> int:
        """Return the number of frames."""
        ...

    def window(self, start: int, stop: int) -> Motion:
        """Read frames start..stop (exclusive), limited to the clip."""
        ...


class Source(Protocol):
    """A source image as an engine encodes it. Its contents are private to the engine."""

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the rendered images in pixels."""
        ...


class Engine(Protocol):
    """A reenactment engine: renders a source with the motion of a driving video.

    An engine is stateless between calls. All that it derives from a source is in its Source.
    """

    @property
    def motion_kind(self) -> str:
        """`Motion.kind` of the driving motion that `observe` returns and `retarget` reads."""
        ...

    @property
    def parallel(self) -> bool:
        """True when several threads render windows fastest; False when the engine is threaded."""
        ...

    def encode_source(self, image: Image, face: Face) -> Any:
        """Encode the source image and its face once; see `Source`."""
        ...

    def observe(self, frames: Sequence[Frame], faces: Sequence[Face | None]) -> Motion:
        """Extract the motion of driving frames in pass 1.

        Args:
            frames: T frames in order.
            faces: the face in each frame, None where it was not detected.

        Returns:
            T rows; rows of frames without a face are not valid.
        """
        ...

    def retarget(self, source: Any, motion: MotionStore, options: MotionOptions) -> MotionStore:
        """Transfer the driving motion of a whole clip to the source, as `options` says.

        Args:
            source: result of `encode_source`.
            motion: all that `observe` returned for the driving clip.
            options: strength, smoothing, relative or absolute motion.

        Raises:
            MediaError: motion of another engine.
            NoFaceError: motion without a valid frame.
            UsageError: options that the engine does not support.
        """
        ...

    def reads_driver(self, source: Any, motion: MotionStore) -> bool:
        """Return whether `render` reads the driving frames, too.

        Args:
            source: result of `encode_source`.
            motion: what `retarget` returned.
        """
        ...

    def render(self, source: Any, motion: Motion, frames: Sequence[Frame] | None) -> list[Image]:
        """Render a window of retargeted motion.

        Args:
            source: result of `encode_source`.
            motion: T rows of what `retarget` returned.
            frames: the T driving frames where `reads_driver` says so, else None.

        Returns:
            T images of the source's size, uint8 RGB; RGBA with premultiplied colours where the
            engine cuts the person out for another background.
        """
        ...


class PortableRenderer(Protocol):
    """The part of an engine that renders. It can be pickled, to render in another process."""

    def begin_process(self) -> None:
        """Set up a process that renders with one thread and does nothing else."""
        ...

    def render(self, source: Any, motion: Motion, frames: Sequence[Frame] | None) -> list[Image]:
        """Render a window of retargeted motion, as `Engine.render` does."""
        ...

    def render_frames(self, source: Any, images: Sequence[Image], motion: Motion) -> list[Image]:
        """Render frames of a source video, as `VideoSourceEngine.render_frames` does."""
        ...


@runtime_checkable
class PortableEngine(Protocol):
    """An engine for pictures and videos whose renderer and sources can be pickled.

    renderer: gives what the engine itself gives, bit for bit.
    """

    renderer: PortableRenderer


@runtime_checkable
class VoiceDrivenEngine(Engine, Protocol):
    """An engine that also reads motion of other kinds than it observes, such as a voice's."""

    @property
    def motion_kinds(self) -> frozenset[str]:
        """Every `Motion.kind` that `retarget` reads."""
        ...


@runtime_checkable
class PicturesEngine(Engine, Protocol):
    """An engine that also takes several pictures of one person as its source."""

    def encode_pictures(
        self, image: Image, face: Face, others: Sequence[tuple[Image, Face]]
    ) -> Any:
        """Encode a source image and further pictures of its person; see `Source`.

        Args:
            image: like face as in `encode_source`.
            others: images of any size, each with its face.
        """
        ...


@dataclass(frozen=True, slots=True)
class EncodedGroup:
    """Persons of a picture who move, each over those behind.

    plate: (H, W, 3) uint8, the picture without them; (H, W, 4) those who stay, premultiplied, of an
        engine that leaves the background out.
    layers: number of each one's face and its encoded source, the farthest first. What `render`
        gives for it is (H, W, 4) uint8, premultiplied colour and alpha.
    whole: numbers of those who could not be parted from the picture, which is rendered (H, W, 3).
    """

    plate: Image
    layers: Sequence[tuple[int, Any]]
    whole: frozenset[int] = frozenset()


@runtime_checkable
class GroupEngine(Engine, Protocol):
    """An engine that moves single persons of a picture and leaves those beside where they are."""

    def encode_among(
        self,
        image: Image,
        face: Face,
        neighbours: Sequence[Face],
        pictures: Sequence[tuple[Image, Face]] = (),
    ) -> Any:
        """Encode the source image and one of its faces once; see `Source`.

        Args:
            image: like face as in `encode_source`.
            neighbours: the other faces of the image.
            pictures: further pictures of the person, as in `PicturesEngine.encode_pictures`.
        """
        ...

    def encode_group(
        self, image: Image, faces: Sequence[Face], driven: Sequence[bool]
    ) -> EncodedGroup | None:
        """Encode several persons of a picture; None where all are rendered as whole pictures.

        Args:
            image: (H, W, 3) uint8.
            faces: every face of the image.
            driven: whether each of them moves; more than one does.
        """
        ...


@runtime_checkable
class WarningEngine(Engine, Protocol):
    """An engine whose options may ask for what a source cannot get."""

    def find_warning(self, source: Any) -> str | None:
        """Return a sentence on what a result of `encode_source` does without; else None."""
        ...


@runtime_checkable
class MeshPlacingEngine(Engine, Protocol):
    """An engine that knows where its images show the face before it renders them.

    follows_camera: its pictures move with the driver's camera.
    """

    @property
    def follows_camera(self) -> bool: ...

    def source_face(self, source: Any) -> Face:
        """Return the face of an encoded source, in pixels of its image."""
        ...

    def place_meshes(self, source: Any, motion: Motion) -> Array:
        """Return the mesh of the face in each image that `render` gives for the motion.

        Args:
            source: result of `encode_source` or `encode_pictures`.
            motion: T rows of what `retarget` returned.

        Returns:
            (T, 468, 3) pixels of the images.
        """
        ...


class CropView(CropNetwork, Protocol):
    """A network that renders square crops of faces."""

    @property
    def mask(self) -> Image | None:
        """Blend weight (crop_size, crop_size) uint8 for pasting a rendered crop back.

        None blends all of the crop except for a soft rim.
        """
        ...


@runtime_checkable
class CropEngine(CropView, Engine, Protocol):
    """An engine whose source, driving frames and output are square crops of faces."""


@runtime_checkable
class EmbeddingEngine(CropEngine, Protocol):
    """A crop engine that embeds several pictures of one person as one frontal face."""

    def encode_sources(self, images: Sequence[Image], faces: Sequence[Face]) -> Any:
        """Encode crops (crop_size, crop_size, 3) as one source; faces in pixels of the crops."""
        ...

    def render_frontal(self, source: Any) -> Image:
        """Return the embedded face of a source, (crop_size, crop_size, 3) uint8 RGB."""
        ...


@runtime_checkable
class VideoSourceEngine(Engine, Protocol):
    """An engine that also animates a source video.

    Every source frame keeps its own pose, and what the region of the motion options leaves alone.
    An engine that is a CropEngine observes and renders crops of the frames, others whole frames.
    """

    def encode_video(self, own: MotionStore, frames: Iterable[Frame]) -> Any:
        """Encode what the frames of a source video share, once.

        Args:
            own: motion that `observe` returned for the source video.
            frames: the whole frames in order, decoded as they are read; read once at most.

        Returns:
            The first argument of `render_frames`. Its contents are private to the engine.
        """
        ...

    def transfer_motion(
        self, own: MotionStore, driving: MotionStore, options: MotionOptions
    ) -> MotionStore:
        """Transfer the driver's change of motion to every frame of the source video.

        Args:
            own: motion that `observe` returned for the source video.
            driving: motion that `observe` returned for the driving video. It is sampled at the same
                time since its beginning, and its last frame is held after its end.
            options: strength, smoothing, relative or absolute motion.

        Returns:
            One row per source frame, with the time stamp of that frame.
        """
        ...

    def render_frames(self, source: Any, images: Sequence[Image], motion: Motion) -> list[Image]:
        """Render frames of the source video with the motion that `transfer_motion` returned.

        Args:
            source: result of `encode_video`.
            images: T crops (crop_size, crop_size, 3) or whole frames (H, W, 3), uint8 RGB.
            motion: the T rows of these frames.

        Returns:
            T images of the same size, uint8 RGB.
        """
        ...
