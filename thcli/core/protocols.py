"""What the stages ask of each other: protocols that backends, engines and voices follow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any, Protocol, runtime_checkable

from thcli.core.options import MotionOptions, RefineOptions, Template, VoiceOptions
from thcli.core.types import Array32, Coefficients, Face, Frame, Identity, Image, Motion, Stamps


class Detector(Protocol):
    """Finds faces in one picture, best score first."""

    def detect(self, picture: Image) -> list[Face]: ...


class Landmarker(Protocol):
    """Puts points on a face that is roughly known: returns the face with mesh (468 points), or with points and keypoints, set; None when it is not a face."""

    def fit(self, picture: Image, face: Face) -> Face | None: ...


class IdentityEncoder(Protocol):
    """Who a face is; see `core.types.Identity`.

    name: of the backend.  same_person: the cosine from which two pictures are held to show one person.  vectors: many faces at once, crops
    (112, 112, 3) as `faces.identity.aligned` cuts them -> (N, D) float32, rows of unit length. Stateless; the result does not depend on
    the batch.
    """

    @property
    def name(self) -> str: ...
    @property
    def same_person(self) -> float: ...
    def vectors(self, crops: Sequence[Image]) -> Array32: ...
    def identify(self, picture: Image, face: Face) -> Identity: ...


class Parser(Protocol):
    """Divides faces into the 19 regions of `faces.parsing.CLASSES`. It sees square crops: crop_size pixels, cut by `template`.

    parse: crops (crop_size, crop_size, 3); faces: each in its crop's pixels (with its mesh, where there is one). Gives (N, 19, crop_size,
    crop_size) float32 probabilities that sum to 1 over the regions. Stateless; the result does not depend on the batch.
    """

    @property
    def crop_size(self) -> int: ...
    @property
    def template(self) -> Template: ...
    def parse(self, crops: Sequence[Image], faces: Sequence[Face]) -> Array32: ...


class FaceModel(Protocol):
    """A 3-D model of faces: a head's pose, who it is and its expression in numbers.

    expression_names: of each column of `Coefficients.expression`.  uses_pictures: False for a model that reads landmarks alone.
    fit: one face or more, each in its picture, (H, W, 3) uint8. Stateless; the result does not depend on the batch.
    """

    @property
    def expression_names(self) -> Sequence[str]: ...
    @property
    def uses_pictures(self) -> bool: ...
    def fit(self, pictures: Sequence[Image], faces: Sequence[Face]) -> Coefficients: ...


class MotionStore(Protocol):
    """A clip's motion, kept on disk: only windows of it come into memory."""

    @property
    def kind(self) -> str: ...
    def __len__(self) -> int: ...
    def window(self, start: int, stop: int) -> Motion: ...


class Source(Protocol):
    """An engine's own encoded source; size is (width, height) of the pictures it will render."""

    @property
    def size(self) -> tuple[int, int]: ...


class Engine(Protocol):
    """source + motion -> pictures of the source's size. Stateless between calls: what it learnt of a source is in its Source."""

    @property
    def motion_kind(self) -> str: ...
    @property
    def uses_driving_frames(self) -> bool:
        """Whether `render` wants the driving pictures too."""
        ...

    @property
    def parallel(self) -> bool:
        """Whether windows are best rendered by several threads at once (else the engine has threads of its own)."""
        ...

    def encode_source(self, picture: Image, face: Face) -> Any: ...
    def observe(self, frames: Sequence[Frame], faces: Sequence[Face | None]) -> Motion: ...
    def retarget(self, source: Any, motion: MotionStore, options: MotionOptions) -> MotionStore: ...
    def render(
        self, source: Any, motion: Motion, frames: Sequence[Frame] | None
    ) -> list[Image]: ...


class CropView(Protocol):
    """What sees and renders a square crop. crop_size: its pixels.  template: how it lies on the face (`thcli crop --template`).

    mask: (crop_size, crop_size) uint8, how much of a rendered crop shows where it is put back; None for all but a soft rim.
    """

    @property
    def crop_size(self) -> int: ...
    @property
    def template(self) -> Template: ...
    @property
    def mask(self) -> Image | None: ...


@runtime_checkable
class CropEngine(CropView, Engine, Protocol):
    """An engine that sees and renders a square crop."""


@runtime_checkable
class VideoSourceEngine(CropEngine, Protocol):
    """A crop engine whose source may be a clip, each frame of which keeps its own pose and expression and takes the driver's change.

    follow: own and driving are what `observe` saw in the two clips; gives the rows of every own frame, with its time stamp, the
    driver taken at the same time since its beginning (after its end it holds).  repaint: crops of the own clip moved by such rows.
    """

    def follow(
        self, own: MotionStore, driving: MotionStore, options: MotionOptions
    ) -> MotionStore: ...
    def repaint(self, crops: Sequence[Image], motion: Motion) -> list[Image]: ...


class Speech(Protocol):
    """A sound to be said: mono, 16 kHz, at one loudness; read from its beginning as often as is needed, block by block.

    length: samples.  blocks: (N,) float32 each, about `seconds` long.
    """

    @property
    def rate(self) -> int: ...
    @property
    def length(self) -> int: ...
    def blocks(self, seconds: float = 10.0) -> Iterator[Array32]: ...


class Voice(Protocol):
    """A sound -> the motion of a face that says it, in memory that does not depend on its length.

    motion_kind: whose motion it gives (an engine's `motion_kind`).  speak: one row for each time stamp (rising, in units of time_base
    seconds, 0 where the sound begins; any rate, even or not), in windows of a few hundred rows, in their order. What is random comes
    from the seed of RunOptions and the place in the sound: the same whatever the windows.
    """

    @property
    def motion_kind(self) -> str: ...
    def speak(
        self, speech: Speech, pts: Stamps, time_base: Fraction, options: VoiceOptions
    ) -> Iterator[Motion]: ...


@runtime_checkable
class PictureVoice(CropView, Protocol):
    """A sound and a face -> pictures of that face saying it, one after the other: it renders by itself, where a Voice moves an engine.

    pictures: one (crop_size, crop_size, 3) uint8 for each time stamp (as for `Voice.speak`), of a portrait of that size, in memory that
    does not depend on their number.
    """

    def pictures(
        self,
        portrait: Image,
        speech: Speech,
        pts: Stamps,
        time_base: Fraction,
        options: VoiceOptions,
    ) -> Iterator[Image]: ...


@runtime_checkable
class Refiner(CropView, Protocol):
    """Coarse crops -> better ones. Stateless between calls; memory does not grow with their number.

    encode_source: what is known of the source's picture, once.  attributes: (N, A) float32, what is read of driving pictures and their
    faces (None: not seen), small numbers for pass 1; of the coarse ones where there is no driver. Faces lie in each picture's pixels.  calls: of the network for each frame; UsageError for options that
    it cannot follow.  refine: coarse (crop_size, crop_size, 3) uint8, a row of driving
    and a frame's number each -> as many uint8 pictures of that size, RGB.  still: the source's picture where each coarse crop lies, if both
    are of one frame (the coarse video was made of it): what did not move is seen there.  told: whether somebody says that it was made of the
    source; else a refiner may think that frames are real, and leave them alone. What is random comes from the seed of RunOptions and the
    frame's number: the same whatever the batch.
    """

    def encode_source(self, picture: Image, face: Face) -> Any: ...
    def attributes(self, pictures: Sequence[Image], faces: Sequence[Face | None]) -> Array32: ...
    def calls(self, options: RefineOptions) -> int: ...
    def refine(
        self,
        coarse: Sequence[Image],
        source: Any,
        driving: Array32,
        numbers: Sequence[int],
        options: RefineOptions,
        reference_crops: Sequence[Image] | None = None,
        *,
        source_is_reference: bool = False,
    ) -> list[Image]: ...


class Editor(Protocol):
    """Takes a face apart into who it is, how it moves and the rest, and puts it together as somebody changed.

    It sees square crops: crop_size pixels, cut by `template`; faces lie in each crop's pixels. encode: identities (N, I) and landmarks
    (N, L), small numbers for pass 1; the clip's identity is the mean of all of them.  invert: crops, that identity (I,), their landmarks -> x_T (N, ...), the rest of
    each picture, kept of a batch alone.  decode: x_T, the edited identity (I,), landmarks -> crops (crop_size, crop_size, 3) uint8.
    Nothing is random; the result does not depend on the batch.
    """

    @property
    def crop_size(self) -> int: ...
    @property
    def template(self) -> Template: ...
    def encode(self, crops: Sequence[Image], faces: Sequence[Face]) -> tuple[Array32, Array32]: ...
    def invert(self, crops: Sequence[Image], identity: Array32, landmarks: Array32) -> Array32: ...
    def decode(self, latents: Array32, identity: Array32, landmarks: Array32) -> list[Image]: ...


@runtime_checkable
class Painter(Protocol):
    """Changes faces where their points lie, at a fine resolution: moves shapes, lays textures on, draws things.

    It sees square crops: crop_size pixels, cut by `template`; faces (with their mesh) lie in each crop's pixels, regions are a parser's
    probabilities of the crops, (N, 19, S, S). attributes: the names that it knows, as `editors.catalogue` has them.  look: (N, L)
    float32, small numbers for pass 1 (colours of skin and hair, light); the clip's look is the mean of all of them.  paint: the crops
    changed by a strength for each attribute, (crop_size, crop_size, 3) uint8. Stateless; the result does not depend on the batch.
    """

    @property
    def crop_size(self) -> int: ...
    @property
    def template(self) -> Template: ...
    @property
    def attributes(self) -> Sequence[str]: ...
    def look(self, crops: Sequence[Image], faces: Sequence[Face], regions: Array32) -> Array32: ...
    def paint(
        self,
        crops: Sequence[Image],
        faces: Sequence[Face],
        regions: Array32,
        look: Array32,
        strengths: Mapping[str, float],
    ) -> list[Image]: ...
