"""The commands that make something."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from thcli.core.options.base import option, require
from thcli.core.options.edit import EditorOptions, TextOptions
from thcli.core.options.faces import (
    FaceOptions,
    FindOptions,
    PasteOptions,
    SteadyOptions,
    TemplateOptions,
)
from thcli.core.options.media import OutputOptions, ReadOptions
from thcli.core.options.motion import (
    LivePortraitOptions,
    MeshOptions,
    MotionOptions,
    Mouth,
    ViewOptions,
)
from thcli.core.options.refine import ChangeOptions, RefineOptions
from thcli.core.options.run import RunOptions
from thcli.core.options.speech import AudioOptions, VoiceOptions

Framing = Literal["full", "crop"]
PasteMask = Literal["face", "crop", "parse"]
ParseKind = Literal["auto", "labels", "mask", "overlay"]
EditRegion = Literal["auto", "face", "hair", "all"]

DRY_RUN = "Say what would be done and how long it would take; write nothing."


@dataclass(frozen=True, slots=True)
class RenderOptions:
    """What a source is rendered with, whatever drives it."""

    engine: str = option("mesh", "What renders (thcli list engines).")
    framing: Framing = option(
        "full", "full: the whole source picture; crop: a square around the face."
    )
    background: str = option("keep", "keep, a colour such as '#00ff00', a picture or a video.")
    refine: str | None = option(
        None,
        "Refine what is rendered, with a refiner's own choices: fadm-s, fadm or auto (thcli list refiners).",
    )
    source_face: str = option(
        "largest", "Which face of the source: largest, first, all, a number, or a reference image."
    )
    source_time: float | None = option(
        None,
        "A source video's moment in seconds (default: its first good frame; liveportrait: all of it).",
    )
    motion: MotionOptions = field(default_factory=MotionOptions)
    mesh: MeshOptions = field(default_factory=MeshOptions)
    view: ViewOptions = field(default_factory=ViewOptions)
    liveportrait: LivePortraitOptions = field(default_factory=LivePortraitOptions)
    output: OutputOptions = field(default_factory=OutputOptions)
    run: RunOptions = field(default_factory=RunOptions)
    dry_run: bool = option(False, DRY_RUN)


@dataclass(frozen=True, slots=True)
class ReenactOptions(RenderOptions):
    """`thcli reenact`."""

    mouth: Mouth = option(
        "driver", "Whose mouth interior the mesh engine shows: the driver's picture, or a made one."
    )
    save_motion: Path | None = option(
        None, "Also keep the motion as a file that can be driven again."
    )
    compare: Path | None = option(None, "Also write source, driving and result side by side.")
    read: ReadOptions = field(default_factory=ReadOptions)
    faces: FaceOptions = field(default_factory=FaceOptions)


@dataclass(frozen=True, slots=True)
class SpeakOptions(RenderOptions):
    """`thcli speak`. output.fps: of the video that is made, 25 by default."""

    voice: str = option("auto", "What turns speech into motion or pictures (thcli list backends).")
    find: FindOptions = field(default_factory=FindOptions)
    sound: AudioOptions = field(default_factory=AudioOptions)
    speech: VoiceOptions = field(default_factory=VoiceOptions)


@dataclass(frozen=True, slots=True)
class EditOptions:
    """`thcli edit`. One of attr, text and edit says what."""

    attr: list[str] | None = option(
        None,
        "NAME or NAME=S (thcli list attributes); S: 1 plainly visible, negative takes away. May be repeated.",
    )
    text: str | None = option(None, "What the face shall look like, in words.")
    edit: Path | None = option(None, "An edit that --save-edit kept.")
    neutral: str = option(
        "",
        "What the face looks like now, in words, beside --text (default: the person whom the text names, or a face).",
    )
    text_model: str = option(
        "auto",
        "What knows --text (thcli list text); auto: clip-s, which knows the words for faces.",
    )
    engine: str = option(
        "auto", "What edits: auto, each attribute's own way, or one editor or painter (thcli list)."
    )
    strength: float = option(1.0, "Of the whole edit, 0..3.")
    region: EditRegion = option(
        "auto", "What may change: face, hair, all of the head, or what the edit touches."
    )
    save_edit: Path | None = option(
        None, "Also keep the edit as a small file, for --edit with other videos."
    )
    compare: Path | None = option(None, "Also write the video and its edit side by side.")
    parser: str = option("auto", "Backend that divides faces into regions (thcli list parser).")
    editor: EditorOptions = field(default_factory=EditorOptions)
    words: TextOptions = field(default_factory=TextOptions)
    faces: FaceOptions = field(default_factory=FaceOptions)
    steady: SteadyOptions = field(default_factory=SteadyOptions)
    read: ReadOptions = field(default_factory=ReadOptions)
    output: OutputOptions = field(default_factory=OutputOptions)
    run: RunOptions = field(default_factory=RunOptions)
    dry_run: bool = option(False, DRY_RUN)

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
    """`thcli refine`."""

    engine: str = option("auto", "What refines (thcli list refiners); auto: fadm-s.")
    source: str | None = option(
        None,
        "Who it shows: a picture, or a video (its first frame with a face; default: the video's own first frame with the face).",
    )
    refine: RefineOptions = field(default_factory=RefineOptions)
    change: ChangeOptions = field(default_factory=ChangeOptions)
    faces: FaceOptions = field(default_factory=FaceOptions)
    steady: SteadyOptions = field(default_factory=SteadyOptions)
    read: ReadOptions = field(default_factory=ReadOptions)
    output: OutputOptions = field(default_factory=OutputOptions)
    run: RunOptions = field(default_factory=RunOptions)
    dry_run: bool = option(False, DRY_RUN)


@dataclass(frozen=True, slots=True)
class CompareOptions:
    """How videos are put side by side."""

    height: int | None = option(
        None, "Height of the row in pixels (default: that of the first video)."
    )
    widest: int = option(3840, "The row is made lower rather than wider than this many pixels.")

    def __post_init__(self) -> None:
        require(
            self.height is None or 16 <= self.height <= 8192,
            "--height",
            "within 16..8192 pixels",
            self.height,
        )
        require(16 <= self.widest <= 16384, "--widest", "within 16..16384 pixels", self.widest)


@dataclass(frozen=True, slots=True)
class DetectOptions:
    """`thcli detect`."""

    overwrite: bool = option(False, "Replace an output that exists.")
    detector: str = option("blazeface", "Backend that finds faces (thcli list backends).")
    read: ReadOptions = field(default_factory=ReadOptions)
    run: RunOptions = field(default_factory=RunOptions)
    dry_run: bool = option(False, DRY_RUN)


@dataclass(frozen=True, slots=True)
class TrackOptions:
    """`thcli track`."""

    overwrite: bool = option(False, "Replace an output that exists.")
    points: int = option(
        5, "Of each face in the file: 0 none, 5, or also the 68 or 468 of the landmarker."
    )
    find: FindOptions = field(default_factory=FindOptions)
    read: ReadOptions = field(default_factory=ReadOptions)
    run: RunOptions = field(default_factory=RunOptions)
    dry_run: bool = option(False, DRY_RUN)

    def __post_init__(self) -> None:
        require(self.points in (0, 5, 68, 468), "--points", "0, 5, 68 or 468", self.points)


@dataclass(frozen=True, slots=True)
class EncodeOptions:
    """`thcli encode`."""

    overwrite: bool = option(False, "Replace an output that exists.")
    engine: str = option("mesh", "For which engine (thcli list engines).")
    faces: FaceOptions = field(default_factory=FaceOptions)
    read: ReadOptions = field(default_factory=ReadOptions)
    run: RunOptions = field(default_factory=RunOptions)
    dry_run: bool = option(False, DRY_RUN)


@dataclass(frozen=True, slots=True)
class FitOptions:
    """`thcli fit`."""

    overwrite: bool = option(False, "Replace an output that exists.")
    model3d: str = option("auto", "3-D model of the face (thcli list model3d); auto: mesh.")
    faces: FaceOptions = field(default_factory=FaceOptions)
    read: ReadOptions = field(default_factory=ReadOptions)
    run: RunOptions = field(default_factory=RunOptions)
    dry_run: bool = option(False, DRY_RUN)


@dataclass(frozen=True, slots=True)
class CropOptions:
    """`thcli crop`."""

    crops: Path | None = option(
        None, "Where it is noted where the crops lie (default: beside the output)."
    )
    template: TemplateOptions = field(default_factory=TemplateOptions)
    faces: FaceOptions = field(default_factory=FaceOptions)
    steady: SteadyOptions = field(default_factory=SteadyOptions)
    read: ReadOptions = field(default_factory=ReadOptions)
    output: OutputOptions = field(default_factory=OutputOptions)
    run: RunOptions = field(default_factory=RunOptions)
    dry_run: bool = option(False, DRY_RUN)


@dataclass(frozen=True, slots=True)
class AlignOptions:
    """`thcli align`."""

    template: TemplateOptions = field(default_factory=TemplateOptions)
    faces: FaceOptions = field(default_factory=FaceOptions)
    read: ReadOptions = field(default_factory=ReadOptions)
    output: OutputOptions = field(default_factory=OutputOptions)
    run: RunOptions = field(default_factory=RunOptions)
    dry_run: bool = option(False, DRY_RUN)


@dataclass(frozen=True, slots=True)
class WarpOptions(RenderOptions):
    """`thcli warp`."""

    find: FindOptions = field(default_factory=FindOptions)


@dataclass(frozen=True, slots=True)
class PasteJobOptions:
    """`thcli paste`."""

    crops: Path | None = option(
        None, "Where the crops lie (default: the file that crop wrote beside CROPS)."
    )
    mask: PasteMask = option(
        "face",
        "What of the crop goes back: face, its outline; parse, its regions without what lies in front of it (hands, hair, glasses); crop, all but a rim.",
    )
    parser: str = option(
        "auto", "Backend that divides faces into regions, for --mask parse (thcli list parser)."
    )
    paste: PasteOptions = field(default_factory=PasteOptions)
    output: OutputOptions = field(default_factory=OutputOptions)
    run: RunOptions = field(default_factory=RunOptions)
    dry_run: bool = option(False, DRY_RUN)


@dataclass(frozen=True, slots=True)
class ParseOptions:
    """`thcli parse`."""

    kind: ParseKind = option(
        "auto",
        "labels: pictures of region numbers; mask: how much each pixel is of --regions; overlay: regions in colours over the"
        " input; auto: mask with --regions, else overlay for a video and labels for pictures.",
    )
    regions: str | None = option(
        None,
        "Only these, names or groups separated by commas (thcli list regions; default: all, the face for a mask).",
    )
    parser: str = option("auto", "Backend that divides faces into regions (thcli list parser).")
    smooth: bool = option(
        True, "Calm the regions of a clip in time, without lag.", "--smooth/--no-smooth"
    )
    opacity: float = option(0.6, "Of an overlay's colours.")
    faces: FaceOptions = field(default_factory=FaceOptions)
    steady: SteadyOptions = field(default_factory=SteadyOptions)
    read: ReadOptions = field(default_factory=ReadOptions)
    output: OutputOptions = field(default_factory=OutputOptions)
    run: RunOptions = field(default_factory=RunOptions)
    dry_run: bool = option(False, DRY_RUN)

    def __post_init__(self) -> None:
        require(0 <= self.opacity <= 1, "--opacity", "within 0..1", self.opacity)
        named = self.regions is None or bool(self.regions.strip(", "))
        require(named, "--regions", "a region or several", self.regions)
