"""Options of the commands that produce files."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from thcli.core.options.base import option, require
from thcli.core.options.edit import EditorOptions, RecombineOptions, TextOptions
from thcli.core.options.faces import (
    FACE_WORDS,
    FaceOptions,
    FindOptions,
    StabilizationOptions,
)
from thcli.core.options.footage import FootageOptions
from thcli.core.options.media import OutputOptions, ReadOptions
from thcli.core.options.motion import (
    Camera,
    ExpressionOptions,
    LivePortraitOptions,
    MeshOptions,
    MotionOptions,
    Mouth,
    Real3dOptions,
    ViewOptions,
    X2FaceOptions,
)
from thcli.core.options.provenance import ProvenanceOptions
from thcli.core.options.refine import CompositingOptions, RefineOptions
from thcli.core.options.run import RunOptions
from thcli.core.options.speech import AudioOptions, VoiceOptions

Framing = Literal["full", "crop"]
EditRegion = Literal["auto", "face", "hair", "all"]

PREVIEW = "Make only the first 3 seconds, at most 480 pixels large."
DRY_RUN = "Report what would be done and the estimated time; write nothing."


@dataclass(frozen=True, slots=True)
class RenderOptions:
    """Rendering."""

    engine: str = option("mesh", "Reenactment engine (thcli list engines).")
    framing: Framing = option(
        "full", "full: the whole source image; crop: a square around the face."
    )
    background: str = option(
        "keep",
        "Background: keep, a colour such as '#00ff00', an image or a video.",
        path="input",
        words="keep",
    )
    refine: str | None = option(
        None,
        "Refine the result with this refiner: detail, resshift-s, fadm-s, fadm or auto (default: "
        "none).",
    )
    source_face: str = option(
        "largest",
        "Face of the source: largest, first, all, speaking (of a video with sound), a number from "
        "0, or a reference image.",
        path="input",
        words=FACE_WORDS,
    )
    source_time: float | None = option(
        None,
        "Time in seconds of the frame to animate in a source video (default: the whole video with "
        "engines mesh and liveportrait, else the first suitable frame).",
    )
    motion: MotionOptions = field(default_factory=MotionOptions)
    mesh: MeshOptions = field(default_factory=MeshOptions)
    view: ViewOptions = field(default_factory=ViewOptions)
    expression: ExpressionOptions = field(default_factory=ExpressionOptions)
    liveportrait: LivePortraitOptions = field(default_factory=LivePortraitOptions)
    real3d: Real3dOptions = field(default_factory=Real3dOptions)
    x2face: X2FaceOptions = field(default_factory=X2FaceOptions)
    # Start and end are those of a driver, for which `reenact` has the flags.
    read: ReadOptions = field(default_factory=ReadOptions, metadata={"hide": ("start", "end")})
    output: OutputOptions = field(default_factory=OutputOptions)
    provenance: ProvenanceOptions = field(default_factory=ProvenanceOptions)
    run: RunOptions = field(default_factory=RunOptions)
    preview: bool = option(False, PREVIEW)
    dry_run: bool = option(False, DRY_RUN, affects_result=False)


@dataclass(frozen=True, slots=True)
class ReenactOptions(RenderOptions):
    """Options of `thcli reenact`."""

    also: list[str] | None = option(
        None,
        "Further picture of the source's person: poses and expressions take the texture of the "
        "nearest picture (engine mesh), or of the mean of all (engine x2face). Repeatable.",
        path="input",
    )
    driver: list[str] | None = option(
        None,
        "Driver of one face, N=FILE: face N of the source, counted from the left from 0, follows "
        "FILE (a video, image, folder of images or motion file). Repeatable; DRIVING drives the "
        "other faces, which stay still without one.",
        path="numbered input",
    )
    others_still: bool = option(
        False, "Faces without a driver of their own stay still.", hidden=True
    )
    camera: Camera = option(
        "follow", "Picture of the mesh engine: follows the driver's moving camera, or stays still."
    )
    mouth: Mouth = option(
        "auto",
        "Mouth interior of the mesh engine: from the driving frames, or synthetic; auto: the "
        "driver's, unless its mouth is small or the source shows teeth.",
    )
    save_motion: Path | None = option(
        None, "Also write the motion to this file, for use as a driver.", path="output"
    )
    compare: Path | None = option(
        None, "Also write source, driver and result side by side to this file.", path="output"
    )
    read: ReadOptions = field(default_factory=ReadOptions)
    faces: FaceOptions = field(default_factory=FaceOptions)

    def __post_init__(self) -> None:
        _ = self.drivers

    @property
    def drivers(self) -> dict[int, str]:
        """File of each --driver by the number of its face.

        Raises:
            UsageError: one is no NUMBER=FILE, or names a face twice.
        """
        found: dict[int, str] = {}
        for text in self.driver or ():
            number, equals, file = text.partition("=")
            ok = number.isdecimal() and equals and file and int(number) not in found
            require(bool(ok), "--driver", "N=FILE, once for each face N", text)
            found[int(number)] = file
        return found

    def drives(self, number: int) -> bool:
        """Return whether a face of the source, counted from the left from 0, has a driver."""
        return number in self.drivers or not self.others_still


@dataclass(frozen=True, slots=True)
class SpeakOptions(RenderOptions):
    """Options of `thcli speak`.

    output.fps: frame rate of the result, 25 when None.
    """

    engine: str = option(
        "mesh",
        "Reenactment engine (thcli list engines) of voices that make motion: a2m, real3d, x2face.",
    )
    voice: str = option("auto", "Speech-to-motion or speech-to-video model (thcli list voices).")
    source_face: str = option(
        "largest",
        "Face that speaks: largest, first, all (of an image), speaking (who speaks in a video), a "
        "number from 0, or a reference image.",
        "--source-face",
        "--face",
        path="input",
        words=FACE_WORDS,
    )
    footage: FootageOptions = field(default_factory=FootageOptions)
    find: FindOptions = field(default_factory=FindOptions)
    sound: AudioOptions = field(default_factory=AudioOptions)
    speech: VoiceOptions = field(default_factory=VoiceOptions)
    # A voice has neither a pose to take over nor eyes and lips of its own: no flags for these.
    motion: MotionOptions = field(
        default_factory=MotionOptions, metadata={"hide": ("mode", "causal")}
    )
    # --emotion and --gaze are those of the voice.
    expression: ExpressionOptions = field(
        default_factory=ExpressionOptions, metadata={"hide": ("expression", "gaze")}
    )
    liveportrait: LivePortraitOptions = field(
        default_factory=LivePortraitOptions,
        metadata={"hide": ("retarget_eyes", "retarget_lips", "keep_eyes")},
    )


@dataclass(frozen=True, slots=True)
class EditOptions:
    """Options of `thcli edit`.

    At most one of attr, text and edit is given, and none only where `recombine` changes the face.
    """

    attr: list[str] | None = option(
        None,
        "Attribute NAME or NAME=S (thcli list attributes). Strength S: 1 is natural, 2 strong, "
        "negative removes; S,S,S: one output each. NAME=COLOUR: hair=#8a2be2. "
        "NAME:SHAPE: eyeglasses:round. Repeatable.",
    )
    text: str | None = option(
        None, "Description of the edited face, such as 'a smiling old man with red hair'."
    )
    edit: Path | None = option(None, "Edit file that --save-edit wrote.", path="input")
    neutral: str = option(
        "",
        "Description of the face before the edit, for --text (default: the person that --text "
        "names, else a face).",
    )
    text_model: str = option(
        "auto",
        "Text model of --text (thcli list text), for editors dva, dva-s; auto: clip-s, trained on "
        "words for faces.",
    )
    engine: str = option(
        "auto",
        "Editor or painter (thcli list backends); auto: the best one for each attribute; dva-s is "
        "an experiment.",
    )
    strength: float = option(1.0, "Gain of the whole edit, 0..3.")
    region: EditRegion = option(
        "auto", "Region that may change; auto: what the edit affects, all: the whole head."
    )
    save_edit: Path | None = option(
        None, "Also write the edit to this file, for --edit with other videos.", path="output"
    )
    compare: Path | None = option(
        None, "Also write the video before and after side by side to this file.", path="output"
    )
    parser: str = option("auto", "Face parser (thcli list parser).")
    editor: EditorOptions = field(default_factory=EditorOptions)
    words: TextOptions = field(default_factory=TextOptions)
    recombine: RecombineOptions = field(default_factory=RecombineOptions)
    faces: FaceOptions = field(default_factory=FaceOptions)
    stabilization: StabilizationOptions = field(default_factory=StabilizationOptions)
    read: ReadOptions = field(default_factory=ReadOptions)
    output: OutputOptions = field(default_factory=OutputOptions)
    provenance: ProvenanceOptions = field(default_factory=ProvenanceOptions)
    run: RunOptions = field(default_factory=RunOptions)
    preview: bool = option(False, PREVIEW)
    dry_run: bool = option(False, DRY_RUN, affects_result=False)

    def __post_init__(self) -> None:
        require(0 <= self.strength <= 3, "--strength", "within 0..3", self.strength)
        require(
            self.region in ("auto", "face", "hair", "all"),
            "--region",
            "auto, face, hair or all",
            self.region,
        )


@dataclass(frozen=True, slots=True)
class RefineJobOptions:
    """Options of `thcli refine`."""

    engine: str = option(
        "auto",
        "Refiner (thcli list refiners); auto: fadm-s for frames of the engine mesh, else "
        "resshift-s; detail with --licence free.",
    )
    source: str | None = option(
        None,
        "Source of the identity: an image, or a video of which the first frame with a face is used "
        "(default: the first frame with the face in the coarse video).",
        path="input",
    )
    driving: str | None = option(
        None,
        "Video, or motion file of the engine mesh, that drove the coarse video: what the coarse "
        "face missed of its mouth, eyes, brows and pose is corrected first.",
        path="input",
    )
    refine: RefineOptions = field(default_factory=RefineOptions)
    change: CompositingOptions = field(default_factory=CompositingOptions)
    faces: FaceOptions = field(default_factory=FaceOptions)
    stabilization: StabilizationOptions = field(default_factory=StabilizationOptions)
    read: ReadOptions = field(default_factory=ReadOptions)
    output: OutputOptions = field(default_factory=OutputOptions)
    provenance: ProvenanceOptions = field(default_factory=ProvenanceOptions)
    run: RunOptions = field(default_factory=RunOptions)
    preview: bool = option(False, PREVIEW)
    dry_run: bool = option(False, DRY_RUN, affects_result=False)


@dataclass(frozen=True, slots=True)
class CompareOptions:
    """Options of `thcli compare`."""

    height: int | None = option(
        None, "Height of the row in pixels, 16..8192 (default: that of the first video)."
    )
    widest: int = option(
        3840, "Largest width of the row in pixels, 16..16384; a wider row is scaled down."
    )
    label: list[str] | None = option(
        None, "Label of an input, in order, repeatable; '': no label (default: its file name)."
    )
    read: ReadOptions = field(default_factory=ReadOptions)
    output: OutputOptions = field(default_factory=OutputOptions)

    def __post_init__(self) -> None:
        require(
            self.height is None or 16 <= self.height <= 8192,
            "--height",
            "within 16..8192 pixels",
            self.height,
        )
        require(16 <= self.widest <= 16384, "--widest", "within 16..16384 pixels", self.widest)


@dataclass(frozen=True, slots=True)
class WarpOptions(RenderOptions):
    """Options of `thcli warp`."""

    find: FindOptions = field(default_factory=FindOptions)
    read: ReadOptions = field(default_factory=ReadOptions)
