"""The table of backends: stage -> name -> where its factory stands, which weights it needs, what it is for.

Nothing is imported until a backend is asked for, and loading one never imports the others. A new backend is a module, a
line here and a row in the contract test.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from importlib import import_module
from typing import Any, Protocol, runtime_checkable

from thcli.core.errors import UsageError
from thcli.core.options import MotionOptions, RefineOptions, RunOptions, Template, VoiceOptions
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
    def render(self, source: Any, motion: Motion, frames: Sequence[Frame] | None) -> list[Image]: ...


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

    def follow(self, own: MotionStore, driving: MotionStore, options: MotionOptions) -> MotionStore: ...
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
    def speak(self, speech: Speech, pts: Stamps, time_base: Fraction, options: VoiceOptions) -> Iterator[Motion]: ...


@runtime_checkable
class PictureVoice(CropView, Protocol):
    """A sound and a face -> pictures of that face saying it, one after the other: it renders by itself, where a Voice moves an engine.

    pictures: one (crop_size, crop_size, 3) uint8 for each time stamp (as for `Voice.speak`), of a portrait of that size, in memory that
    does not depend on their number.
    """

    def pictures(
        self, portrait: Image, speech: Speech, pts: Stamps, time_base: Fraction, options: VoiceOptions
    ) -> Iterator[Image]: ...


@runtime_checkable
class Refiner(CropView, Protocol):
    """Coarse crops -> better ones. Stateless between calls; memory does not grow with their number.

    encode_source: what is known of the source's picture, once.  attributes: (N, A) float32, what is read of driving pictures, small
    numbers for pass 1; of the coarse ones where there is no driver.  refine: coarse (crop_size, crop_size, 3) uint8, a row of driving
    and a frame's number each -> as many uint8 pictures of that size, RGB. What is random comes from the seed of RunOptions and the
    frame's number: the same whatever the batch.
    """

    def encode_source(self, picture: Image) -> Any: ...
    def attributes(self, pictures: Sequence[Image]) -> Array32: ...
    def refine(
        self, coarse: Sequence[Image], source: Any, driving: Array32, numbers: Sequence[int], options: RefineOptions
    ) -> list[Image]: ...


class Editor(Protocol):
    """Takes a face apart into who it is, how it moves and the rest, and puts it together as somebody changed.

    It sees square crops: crop_size pixels, cut by `template`. encode: identities (N, I) and landmarks (N, L), small numbers for pass 1;
    the clip's identity is the mean of all of them.  invert: crops, that identity (I,), their landmarks -> x_T (N, ...), the rest of
    each picture, kept of a batch alone.  decode: x_T, the edited identity (I,), landmarks -> crops (crop_size, crop_size, 3) uint8.
    Nothing is random; the result does not depend on the batch.
    """

    @property
    def crop_size(self) -> int: ...
    @property
    def template(self) -> Template: ...
    def encode(self, crops: Sequence[Image]) -> tuple[Array32, Array32]: ...
    def invert(self, crops: Sequence[Image], identity: Array32, landmarks: Array32) -> Array32: ...
    def decode(self, latents: Array32, identity: Array32, landmarks: Array32) -> list[Image]: ...


@dataclass(frozen=True, slots=True)
class Backend:
    """One row. factory: "module:function", called with RunOptions, and with the backend's own options where it has some.

    weights: names in weights.toml that it loads.
    """

    factory: str
    about: str
    weights: tuple[str, ...] = ()
    package: str = ""  # a library of the dependencies that does the work

    def load(self, run: RunOptions, *own: Any) -> Any:
        """The backend itself; an engine takes the job's options too. Raises WeightsError or DeviceError when one is not there."""
        module, _, name = self.factory.partition(":")
        factory: Callable[..., Any] = getattr(import_module(module), name)
        return factory(run, *own)


TABLE: dict[str, dict[str, Backend]] = {
    "detector": {
        "blazeface": Backend(
            "thcli.faces.blazeface:load", "short, then full range", ("blazeface-short", "blazeface-full")
        ),
        "yunet": Backend(
            "thcli.faces.backends.opencv_zoo:load_detector", "YuNet; boxes and five points", ("yunet",), "opencv-python"
        ),
        "insightface": Backend(
            "thcli.faces.backends.insightface_onnx:load_detector",
            "SCRFD-10G; boxes and five points",
            ("insightface-buffalo-l",),
            "insightface",
        ),
        "face-alignment": Backend(
            "thcli.faces.backends.face_alignment_torch:load_detector",
            "S3FD; boxes",
            ("face-alignment-s3fd",),
            "face-alignment",
        ),
        "facexlib": Backend(
            "thcli.faces.backends.facexlib_torch:load_detector",
            "RetinaFace ResNet-50; boxes and five points",
            ("facexlib-retinaface-r50",),
            "facexlib",
        ),
        "facexlib-mobilenet": Backend(
            "thcli.faces.backends.facexlib_torch:load_small_detector",
            "RetinaFace MobileNet 0.25; boxes and five points",
            ("facexlib-retinaface-mobilenet",),
            "facexlib",
        ),
    },
    "landmarker": {
        "facemesh": Backend(
            "thcli.faces.facemesh:load", "468 points, refined lips, eyes and irises", ("facemesh-attention",)
        ),
        "insightface": Backend(
            "thcli.faces.backends.insightface_onnx:load_points106",
            "106 points",
            ("insightface-buffalo-l",),
            "insightface",
        ),
        "insightface-68": Backend(
            "thcli.faces.backends.insightface_onnx:load_points68",
            "68 points with depth",
            ("insightface-buffalo-l",),
            "insightface",
        ),
        "face-alignment": Backend(
            "thcli.faces.backends.face_alignment_torch:load_landmarks",
            "FAN; 68 points",
            ("face-alignment-2dfan4",),
            "face-alignment",
        ),
        "facexlib": Backend(
            "thcli.faces.backends.facexlib_torch:load_landmarks",
            "AWing; 98 points",
            ("facexlib-awing",),
            "facexlib",
        ),
    },
    "identity": {
        "identity-s": Backend("thcli.faces.identity.small:load", "our own small network; 512 numbers", ("identity-s",)),
        "sface": Backend(
            "thcli.faces.backends.opencv_zoo:load_identity", "SFace; 128 numbers", ("sface",), "opencv-python"
        ),
        "insightface": Backend(
            "thcli.faces.backends.insightface_onnx:load_identity",
            "ArcFace R50 on WebFace600K; 512 numbers",
            ("insightface-buffalo-l",),
            "insightface",
        ),
    },
    "parser": {
        "parse-s": Backend("thcli.faces.parsing.small:load", "our own small network; 19 regions", ("parse-s",)),
        "mesh-parse": Backend(
            "thcli.faces.parsing.mesh:load",
            "15 of the 19 regions by the 468 points, colours and a person matte",
            ("selfie",),
        ),
        "facexlib": Backend(
            "thcli.faces.backends.facexlib_parse:load_bisenet", "BiSeNet; 512 x 512", ("facexlib-bisenet",), "facexlib"
        ),
        "facexlib-parsenet": Backend(
            "thcli.faces.backends.facexlib_parse:load_parsenet",
            "ParseNet; 512 x 512",
            ("facexlib-parsenet",),
            "facexlib",
        ),
    },
    "model3d": {
        "mesh": Backend("thcli.motion.model3d:load", "pose, identity and expression sliders of the 468 points"),
        "tddfa": Backend(
            "thcli.faces.model3d.tddfa:load",
            "3DDFA_V2, MobileNet; pose, 40 shape, 10 expression",
            ("tddfa-mb1", "tddfa-mean-std"),
        ),
        "tddfa-mb05": Backend(
            "thcli.faces.model3d.tddfa:load_small", "the same, half as wide", ("tddfa-mb05", "tddfa-mean-std")
        ),
        "deep3d": Backend(
            "thcli.faces.model3d.deep3d:load", "Deep3DFaceRecon, ResNet-50; BFM 2009, 80 and 64", ("deep3d",)
        ),
        "deca": Backend("thcli.faces.model3d.deca:load", "DECA, ResNet-50; FLAME, 100 and 50, jaw", ("deca",)),
    },
    "engine": {
        "mesh": Backend(
            "thcli.engines.mesh.engine:load", "warps the source's own texture; no generative weights", ("selfie",)
        ),
        "fomm": Backend("thcli.engines.fomm.engine:load", "first-order model, vox-adv-256", ("fomm-vox-adv",)),
        "fomm-vox": Backend("thcli.engines.fomm.engine:load_vox", "first-order model, vox-256", ("fomm-vox",)),
        "facevid2vid": Backend(
            "thcli.engines.facevid2vid.engine:load", "3-D keypoints, SPADE generator; free view", ("facevid2vid",)
        ),
        "facevid2vid-new": Backend(
            "thcli.engines.facevid2vid.engine:load_new", "the same from its author", ("facevid2vid-new",)
        ),
        "facevid2vid-beta": Backend(
            "thcli.engines.facevid2vid.engine:load_beta",
            "its older checkpoint, original generator",
            ("facevid2vid-beta",),
        ),
        "facevid2vid-fadm": Backend(
            "thcli.engines.facevid2vid.engine:load_fadm", "the one that FADM was trained behind", ("fadm-facevid",)
        ),
        "liveportrait": Backend(
            "thcli.engines.liveportrait.engine:load",
            "LivePortrait; stitching, eyes and lips, 512 x 512",
            (
                "liveportrait-appearance",
                "liveportrait-motion",
                "liveportrait-warping",
                "liveportrait-spade",
                "liveportrait-stitching",
            ),
        ),
        "monkeynet": Backend("thcli.engines.monkeynet.engine:load", "Monkey-Net, config vox", ("monkeynet",)),
        "x2face": Backend("thcli.engines.x2face.engine:load", "X2Face, a code of 128 numbers a frame", ("x2face",)),
    },
    "refiner": {
        "fadm": Backend(
            "thcli.refiners.fadm.refiner:load",
            "attribute-guided diffusion, 256 x 256, 100 steps a frame",
            ("fadm-diffusion", "deca"),
        ),
    },
    "editor": {
        "dva": Backend(
            "thcli.editors.dva.editor:load",
            "Diffusion Video Autoencoders, 256 x 256; one identity a clip",
            ("dva",),
        ),
    },
    "voice": {
        "a2m": Backend(
            "thcli.voices.a2m.voice:load",
            "log-mel and pitch to the mouth, a head that moves by itself",
            ("a2m-s", "a2m-s-free"),
        ),
        "a2m-free": Backend("thcli.voices.a2m.voice:load_free", "the same, of free recordings alone", ("a2m-s-free",)),
        "diffused-heads": Backend(
            "thcli.voices.diffused_heads.published:load",
            "Diffused Heads, CREMA; 128 x 128 pictures",
            ("diffused-heads",),
        ),
        "diffused-heads-lrw": Backend(
            "thcli.voices.diffused_heads.published:load_lrw",
            "Diffused Heads, LRW: a checkpoint of your own",
            ("diffused-heads-lrw", "diffused-heads"),
        ),
        "real3d": Backend(
            "thcli.voices.real3d.voice:load",
            "Real3D-Portrait's audio to motion; 64 expressions of BFM 2009",
            ("real3d", "hubert-large"),
        ),
    },
}


def backend(stage: str, name: str) -> Backend:
    """The row of a stage's backend. Raises UsageError naming those that there are."""
    rows = TABLE[stage]
    if name not in rows:
        raise UsageError(f"There is no {stage} named {name!r}.", f"There are: {', '.join(sorted(rows)) or 'none yet'}.")
    return rows[name]


# What "auto" stands for: under any licence, and where only free weights may be used ("" for nothing).
AUTO: dict[str, dict[str, str]] = {
    "parser": {"any": "parse-s", "free": "mesh-parse"},
    "identity": {"any": "identity-s", "free": ""},
    "model3d": {"any": "mesh", "free": "mesh"},
    "voice": {"any": "a2m", "free": "a2m-free"},
}


def chosen(stage: str, name: str, run: RunOptions) -> str:
    """The backend that a name means: itself, or for "auto" the stage's default under the job's licence ("" when there is none)."""
    return AUTO[stage][run.licence] if name == "auto" else name
