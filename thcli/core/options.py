"""Every option of every command, with its default and its help: the only place where either is written.

Each class checks itself (`UsageError` names the option and what is allowed). The command line's flags, the configuration
file's keys and the `--json` report are these fields; `cli.flags` turns them into flags of the same name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from thcli.core.errors import UsageError

MotionMode = Literal["relative", "absolute"]
Region = Literal["all", "expression", "pose", "lips", "eyes"]
Framing = Literal["full", "crop"]
Matte = Literal["auto", "on", "off"]
Mouth = Literal["driver", "synthetic"]
Precision = Literal["auto", "fp32", "fp16", "bf16"]
Licence = Literal["any", "free"]
Template = Literal["square", "arcface", "ffhq", "liveportrait"]
PasteMask = Literal["face", "crop"]
MotionKind = Literal["mesh"]
Border = Literal["replicate", "black", "reflect"]


def option(default: Any, about: str, *names: str, hidden: bool = False) -> Any:
    """A field with its help and, where they differ from its own name, its flags. hidden: not a flag."""
    return field(default=default, metadata={"help": about, "names": names, "hidden": hidden})


def require(ok: bool, name: str, allowed: str, value: object) -> None:
    """Raises the UsageError of an option that is out of its range."""
    if not ok:
        raise UsageError(f"{name} must be {allowed}, not {value!r}.")


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """What part of an input is read."""

    start: float = option(0.0, "Begin this many seconds into the input.")
    end: float | None = option(None, "End this many seconds into the input (default: its end).")
    threads: int = option(0, "Of the decoder; 0: as many as it likes.", hidden=True)

    def __post_init__(self) -> None:
        require(self.start >= 0, "--start", "0 or more seconds", self.start)
        require(self.end is None or self.end > self.start, "--end", "after --start", self.end)


@dataclass(frozen=True, slots=True)
class OutputOptions:
    """How an output is written."""

    overwrite: bool = option(False, "Replace an output that exists.")
    resume: bool = option(False, "When interrupted keep what is done; the same command goes on from there.")
    codec: str = option("auto", "Video codec; auto: what the container and the input's bit depth call for.")
    crf: float | None = option(None, "Quality, lower is better (default: the codec's good value, 18 for h264).")
    preset: str = option("veryfast", "Encoder speed in x264's words; other codecs take their nearest.")
    fps: float | None = option(None, "Resample to this rate (default: the input's own time stamps, VFR kept).")
    audio: str = option("drive", "Sound of the output: drive, source, none or a file.")
    threads: int = option(0, "Of the encoder; 0: as many as it likes.", hidden=True)

    def __post_init__(self) -> None:
        require(self.crf is None or 0 <= self.crf <= 63, "--crf", "within 0..63", self.crf)
        require(self.fps is None or 0 < self.fps <= 1000, "--fps", "within 0..1000", self.fps)


@dataclass(frozen=True, slots=True)
class FaceOptions:
    """Which face is meant, and who finds it."""

    select: str = option("largest", "Which face: largest, first, all, a number from 0, or a reference image.", "--face")
    detector: str = option("blazeface", "Backend that finds faces (thcli list backends).")
    landmarker: str = option("facemesh", "Backend that puts points on them.")


@dataclass(frozen=True, slots=True)
class PasteOptions:
    """How a changed crop goes back into its frame."""

    feather: float = option(0.08, "Width of the soft rim, as a part of the crop's shorter side.", "--feather")
    colour_match: bool = option(
        True, "Take colour and light at the rim from the frame.", "--colour-match/--no-colour-match"
    )

    def __post_init__(self) -> None:
        require(0 <= self.feather <= 0.5, "--feather", "within 0..0.5", self.feather)


@dataclass(frozen=True, slots=True)
class SteadyOptions:
    """How the crops of a clip are calmed, all zero-phase: widths in seconds, sizes in pixels of a 512-pixel crop."""

    slow: float = option(0.5, "Width of the filter for a head that keeps still.", hidden=True)
    fast: float = option(0.05, "Width of the filter for a head that moves.", hidden=True)
    still: float = option(2.5, "Moving less than this away from the slow path counts as still.", hidden=True)
    reach: int = option(64, "Frames that a filter looks ahead and back, at most.", hidden=True)

    def __post_init__(self) -> None:
        require(0 < self.fast <= self.slow, "fast", "more than 0 and at most slow", self.fast)
        require(self.still > 0, "still", "more than 0 pixels", self.still)
        require(self.reach >= 1, "reach", "1 frame or more", self.reach)


@dataclass(frozen=True, slots=True)
class MotionOptions:
    """What of the driving motion is taken over, and how."""

    mode: MotionMode = option(
        "relative", "relative: the driver's changes; absolute: the driver's own pose.", "--motion"
    )
    region: Region = option("all", "What moves: all, expression, pose, lips or eyes.")
    strength: float = option(1.0, "Of the whole motion: 0 still, 1 as driven, up to 3.")
    pose: float = option(1.0, "Of the head's motion alone, 0..3.", "--pose-strength")
    expression: float = option(1.0, "Of the face's motion alone, 0..3.", "--expression-strength")
    smooth: float = option(1.0, "0 raw, 1 the default, more is calmer, up to 10.")
    causal: bool = option(False, "Smooth without looking ahead (One-Euro) instead of the zero-phase filter.")

    def __post_init__(self) -> None:
        for name, value, top in (
            ("--strength", self.strength, 3),
            ("--pose-strength", self.pose, 3),
            ("--expression-strength", self.expression, 3),
            ("--smooth", self.smooth, 10),
        ):
            require(0 <= value <= top, name, f"within 0..{top}", value)


@dataclass(frozen=True, slots=True)
class MeshOptions:
    """The mesh engine's own choices."""

    mouth: Mouth = option("driver", "Whose mouth interior shows: the driver's picture, or a made one.")
    matte: Matte = option("auto", "Move the person over a still background: auto, on or off.")
    long_side: int = option(0, "Reduce the source to this many pixels on its long side; 0: its own resolution.")

    def __post_init__(self) -> None:
        require(self.long_side == 0 or self.long_side >= 64, "--long-side", "0, or 64 and more", self.long_side)


@dataclass(frozen=True, slots=True)
class ViewOptions:
    """Turns the rendered head further than the driver does, for engines that know its pose (facevid2vid): degrees."""

    yaw: float = option(0.0, "Turn the head to the side by this many degrees (engines that know its pose).")
    pitch: float = option(0.0, "Nod it by this many degrees.")
    roll: float = option(0.0, "Tilt it by this many degrees.")

    def __post_init__(self) -> None:
        for name, value in (("--yaw", self.yaw), ("--pitch", self.pitch), ("--roll", self.roll)):
            require(-90 <= value <= 90, name, "within -90..90 degrees", value)


@dataclass(frozen=True, slots=True)
class RunOptions:
    """Where and how a job computes."""

    device: str = option("auto", "auto, cpu, cuda, cuda:N or mps.")
    precision: Precision = option("auto", "Of networks: auto, fp32, fp16 or bf16.")
    batch_size: int = option(8, "Frames in a batch; results do not depend on it.")
    threads: int = option(0, "Of the compute stage; 0: one a core.")
    seed: int = option(0, "Of everything random; the same seed gives the same result.")
    offline: bool = option(False, "Never touch a network.")
    dry_run: bool = option(False, "Say what would be done and how long it would take; write nothing.")
    licence: Licence = option("any", "free: nothing whose weights are for research only.")

    def __post_init__(self) -> None:
        known = re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", self.device)
        require(bool(known), "--device", "auto, cpu, cuda, cuda:N or mps", self.device)
        require(1 <= self.batch_size <= 1024, "--batch-size", "within 1..1024", self.batch_size)
        require(0 <= self.threads <= 1024, "--threads", "within 0..1024", self.threads)


@dataclass(frozen=True, slots=True)
class ReenactOptions:
    """`thcli reenact`."""

    engine: str = option("mesh", "What renders (thcli list engines).")
    framing: Framing = option("full", "full: the whole source picture; crop: a square around the face.")
    background: str = option("keep", "keep, a colour such as '#00ff00', a picture or a video.")
    source_face: str = option(
        "largest", "Which face of the source: largest, first, all, a number, or a reference image."
    )
    source_time: float | None = option(None, "A source video's moment in seconds (default: its first good frame).")
    save_motion: Path | None = option(None, "Also keep the motion as a file that can be driven again.")
    compare: Path | None = option(None, "Also write source, driving and result side by side.")
    read: ReadOptions = field(default_factory=ReadOptions)
    faces: FaceOptions = field(default_factory=FaceOptions)
    motion: MotionOptions = field(default_factory=MotionOptions)
    mesh: MeshOptions = field(default_factory=MeshOptions)
    view: ViewOptions = field(default_factory=ViewOptions)
    output: OutputOptions = field(default_factory=OutputOptions)
    run: RunOptions = field(default_factory=RunOptions)


@dataclass(frozen=True, slots=True)
class ShowOptions:
    """What the command shows."""

    as_json: bool = option(False, "Print one JSON object on stdout; everything for people goes to stderr.", "--json")
    quiet: bool = option(False, "Show nothing but errors.", "--quiet", "-q")
    debug: bool = option(False, "Show the traceback of a bug.")


@dataclass(frozen=True, slots=True)
class EvaluateOptions:
    """How results are measured against the truth."""

    frames: int | None = option(None, "Compare at most this many frames, from --start on (default: all).")
    source_frame: int = option(0, "Which frame of the clip is the source picture, counted from --start.")
    count_source: bool = option(False, "Also count the source's own frame, which every answer has nearly right.")
    own_mouth: bool = option(False, "Also measure the engine without the driver's mouth interior.")
    columns: int = option(8, "Columns of the contact sheet.")

    def __post_init__(self) -> None:
        require(self.frames is None or self.frames >= 1, "--frames", "1 or more", self.frames)
        require(self.source_frame >= 0, "--source-frame", "0 or more", self.source_frame)
        require(1 <= self.columns <= 64, "--columns", "within 1..64", self.columns)


@dataclass(frozen=True, slots=True)
class CompareOptions:
    """How videos are put side by side."""

    height: int | None = option(None, "Height of the row in pixels (default: that of the first video).")
    widest: int = option(3840, "The row is made lower rather than wider than this many pixels.")

    def __post_init__(self) -> None:
        require(self.height is None or 16 <= self.height <= 8192, "--height", "within 16..8192 pixels", self.height)
        require(16 <= self.widest <= 16384, "--widest", "within 16..16384 pixels", self.widest)


@dataclass(frozen=True, slots=True)
class BenchOptions:
    """How `thcli bench` measures."""

    frames: int = option(200, "Frames of the made test clip, and at most so many of a given one.")
    size: int = option(512, "Side of the made test clip in pixels.")
    repeat: int = option(3, "Measure everything this many times and take the quickest.")
    memory: int = option(0, "Also compare the memory of a job of so many frames with one of 200 (minutes for 20000).")

    def __post_init__(self) -> None:
        require(2 <= self.frames <= 2000, "--frames", "within 2..2000", self.frames)
        require(64 <= self.size <= 4096, "--size", "within 64..4096 pixels", self.size)
        require(1 <= self.repeat <= 20, "--repeat", "within 1..20", self.repeat)
        require(self.memory == 0 or self.memory > 200, "--memory", "more than 200 frames, or 0", self.memory)


@dataclass(frozen=True, slots=True)
class FindOptions:
    """Who finds the faces."""

    detector: str = option("blazeface", "Backend that finds faces (thcli list backends).")
    landmarker: str = option("facemesh", "Backend that puts points on them.")


@dataclass(frozen=True, slots=True)
class DetectOptions:
    """`thcli detect`."""

    overwrite: bool = option(False, "Replace an output that exists.")
    detector: str = option("blazeface", "Backend that finds faces (thcli list backends).")
    read: ReadOptions = field(default_factory=ReadOptions)
    run: RunOptions = field(default_factory=RunOptions)


@dataclass(frozen=True, slots=True)
class TrackOptions:
    """`thcli track`."""

    overwrite: bool = option(False, "Replace an output that exists.")
    points: int = option(5, "Of each face in the file: 0 none, 5, or also the 68 or 468 of the landmarker.")
    find: FindOptions = field(default_factory=FindOptions)
    read: ReadOptions = field(default_factory=ReadOptions)
    run: RunOptions = field(default_factory=RunOptions)

    def __post_init__(self) -> None:
        require(self.points in (0, 5, 68, 468), "--points", "0, 5, 68 or 468", self.points)


@dataclass(frozen=True, slots=True)
class EncodeOptions:
    """`thcli encode`."""

    overwrite: bool = option(False, "Replace an output that exists.")
    engine: MotionKind = option("mesh", "For which engine.")
    faces: FaceOptions = field(default_factory=FaceOptions)
    read: ReadOptions = field(default_factory=ReadOptions)
    run: RunOptions = field(default_factory=RunOptions)


@dataclass(frozen=True, slots=True)
class TemplateOptions:
    """How a face is cut out."""

    template: Template = option(
        "square",
        "square: upright around the face; arcface, ffhq, liveportrait: turned and placed as networks of these expect it.",
    )
    size: int = option(512, "Side of the crop in pixels.")
    scale: float | None = option(
        None,
        "Side over the face's (default: square 2, liveportrait 2.3), or over the template's own (arcface, ffhq: 1).",
    )
    border: Border = option("replicate", "What shows outside of the picture: replicate its rim, black, or reflect.")

    def __post_init__(self) -> None:
        require(16 <= self.size <= 4096, "--size", "within 16..4096 pixels", self.size)
        require(self.scale is None or 0.1 <= self.scale <= 10, "--scale", "within 0.1..10", self.scale)


@dataclass(frozen=True, slots=True)
class CropOptions:
    """`thcli crop`."""

    crops: Path | None = option(None, "Where it is noted where the crops lie (default: beside the output).")
    template: TemplateOptions = field(default_factory=TemplateOptions)
    faces: FaceOptions = field(default_factory=FaceOptions)
    steady: SteadyOptions = field(default_factory=SteadyOptions)
    read: ReadOptions = field(default_factory=ReadOptions)
    output: OutputOptions = field(default_factory=OutputOptions)
    run: RunOptions = field(default_factory=RunOptions)


@dataclass(frozen=True, slots=True)
class AlignOptions:
    """`thcli align`."""

    template: TemplateOptions = field(default_factory=TemplateOptions)
    faces: FaceOptions = field(default_factory=FaceOptions)
    read: ReadOptions = field(default_factory=ReadOptions)
    output: OutputOptions = field(default_factory=OutputOptions)
    run: RunOptions = field(default_factory=RunOptions)


@dataclass(frozen=True, slots=True)
class WarpOptions:
    """`thcli warp`."""

    engine: str = option("mesh", "What renders (thcli list engines).")
    framing: Framing = option("full", "full: the whole source picture; crop: a square around the face.")
    background: str = option("keep", "keep, a colour such as '#00ff00', or an image.")
    source_face: str = option(
        "largest", "Which face of the source: largest, first, all, a number, or a reference image."
    )
    source_time: float | None = option(None, "A source video's moment in seconds (default: its first good frame).")
    find: FindOptions = field(default_factory=FindOptions)
    motion: MotionOptions = field(default_factory=MotionOptions)
    mesh: MeshOptions = field(default_factory=MeshOptions)
    view: ViewOptions = field(default_factory=ViewOptions)
    output: OutputOptions = field(default_factory=OutputOptions)
    run: RunOptions = field(default_factory=RunOptions)


@dataclass(frozen=True, slots=True)
class PasteJobOptions:
    """`thcli paste`."""

    crops: Path | None = option(None, "Where the crops lie (default: the file that crop wrote beside CROPS).")
    mask: PasteMask = option(
        "face", "What of the crop goes back: face, its outline where it is known; crop, all but a rim."
    )
    paste: PasteOptions = field(default_factory=PasteOptions)
    output: OutputOptions = field(default_factory=OutputOptions)
    run: RunOptions = field(default_factory=RunOptions)
