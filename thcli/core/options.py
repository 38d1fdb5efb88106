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
Perceptual = Literal["auto", "vgg19", "pyramid"]
SpadeChoice = Literal["original", "spade"]
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
    key_every: int = option(0, "Frames between key frames; 0: the codec's own.", hidden=True)

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
    """Turns the rendered head further than the driver does, for engines that know its pose (facevid2vid, liveportrait): degrees."""

    yaw: float = option(0.0, "Turn the head to the side by this many degrees (engines that know its pose).")
    pitch: float = option(0.0, "Nod it by this many degrees.")
    roll: float = option(0.0, "Tilt it by this many degrees.")

    def __post_init__(self) -> None:
        for name, value in (("--yaw", self.yaw), ("--pitch", self.pitch), ("--roll", self.roll)):
            require(-90 <= value <= 90, name, "within -90..90 degrees", value)


@dataclass(frozen=True, slots=True)
class LivePortraitOptions:
    """LivePortrait's own corrections of the keypoints."""

    stitching: bool = option(
        True, "Keep neck and shoulders where they are in the source.", "--stitching/--no-stitching"
    )
    retarget_eyes: bool = option(
        False, "Open the eyes as far as the driver's left one (with --motion relative nothing else moves)."
    )
    retarget_lips: bool = option(
        False, "Open the lips as far as the driver's (with --motion relative nothing else moves)."
    )
    close_lips: bool = option(False, "Start from closed lips where the source's are open (with --motion relative).")


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
    liveportrait: LivePortraitOptions = field(default_factory=LivePortraitOptions)
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
    engine: str = option("mesh", "For which engine (thcli list engines).")
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
    liveportrait: LivePortraitOptions = field(default_factory=LivePortraitOptions)
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


@dataclass(frozen=True, slots=True)
class PrepareOptions:
    """How `thcli prepare` cuts clips out of videos."""

    size: int = option(256, "Side of the clips in pixels.")
    scale: float = option(1.6, "Side over the face's own, over all that it moves (X2Face's margin).")
    min_frames: int = option(48, "Shorter pieces are dropped.")
    max_frames: int = option(1024, "Longer pieces are divided.")
    min_face: float = option(64.0, "Faces smaller than this many pixels are dropped.")
    move: float = option(
        0.25, "A new clip begins when less than this part of the face's first place is left (overlap over union)."
    )
    crf: float = option(12.0, "Quality of the clips, lower is better.")
    audio: bool = option(True, "Keep the sound of each piece.", "--audio/--no-audio")
    overwrite: bool = option(False, "Begin anew in a folder that is in use.")
    resume: bool = option(False, "Go on where an earlier run stopped, and add new videos.")
    find: FindOptions = field(default_factory=FindOptions)
    run: RunOptions = field(default_factory=RunOptions)

    def __post_init__(self) -> None:
        require(16 <= self.size <= 1024 and self.size % 2 == 0, "--size", "even and within 16..1024 pixels", self.size)
        require(1 <= self.scale <= 4, "--scale", "within 1..4", self.scale)
        require(self.min_frames >= 2, "--min-frames", "2 or more", self.min_frames)
        require(self.max_frames >= self.min_frames, "--max-frames", "at least --min-frames", self.max_frames)
        require(self.min_face >= 8, "--min-face", "8 pixels or more", self.min_face)
        require(0 <= self.move < 1, "--move", "within 0..1", self.move)
        require(0 <= self.crf <= 51, "--crf", "within 0..51", self.crf)


@dataclass(frozen=True, slots=True)
class TrainOptions:
    """How a network is trained; what is not given is as published."""

    steps: int | None = option(None, "Updates in all (default: what --epochs come to).")
    epochs: float | None = option(None, "Passes over the data (default: the paper's).")
    batch: int | None = option(None, "Items in a batch (default: the paper's).")
    lr: float | None = option(None, "Learning rate (default: the paper's).")
    size: int = option(0, "Side of the pictures in pixels (default: what the engine takes).")
    narrow: int = option(1, "Divide every width by this; the engines take 1, more is for trials.")
    seed: int = option(0, "Of everything random; the same seed gives the same losses.")
    precision: Precision = option("auto", "fp32, or mixed: fp16 or bf16 (auto: bf16 or fp16 on a GPU, else fp32).")
    ema: float = option(0.999, "Of the averaged weights that are exported; 0: export the last ones.")
    perceptual: Perceptual = option(
        "auto", "What compares pictures: vgg19 as published, pyramid (pixels and gradients), auto: vgg19 if it is here."
    )
    flip: bool = option(True, "Mirror half of the pairs.", "--flip/--no-flip")
    jitter: float = option(0.1, "Change brightness, contrast, saturation and hue by up to this.")
    every: int = option(50, "Updates between lines of the log.")
    save: int = option(1000, "Updates between checkpoints.")
    samples: int = option(500, "Updates between sample pictures; 0: none.")
    device: str = option("auto", "auto, cpu, cuda, cuda:N or mps.")
    threads: int = option(0, "Of the CPU, and that read clips; 0: as many as there are cores.")
    resume: bool = option(False, "Go on from the run's last checkpoint.")
    overwrite: bool = option(False, "Begin anew in a folder that is in use.")
    smoke: bool = option(False, "A tiny trial on generated data; needs no dataset.")
    offline: bool = option(False, "Never touch a network.")

    def __post_init__(self) -> None:
        for name, value, least in (
            ("--steps", self.steps, 1), ("--batch", self.batch, 1), ("--narrow", self.narrow, 1), ("--every", self.every, 1),
            ("--save", self.save, 1), ("--samples", self.samples, 0), ("--threads", self.threads, 0),
        ):  # fmt: skip
            require(value is None or value >= least, name, f"{least} or more", value)
        require(self.epochs is None or self.epochs > 0, "--epochs", "more than 0", self.epochs)
        require(self.lr is None or self.lr > 0, "--lr", "more than 0", self.lr)
        require(self.size == 0 or 16 <= self.size <= 1024, "--size", "within 16..1024 pixels", self.size)
        require(self.narrow in (1, 2, 4, 8, 16), "--narrow", "1, 2, 4, 8 or 16", self.narrow)
        require(0 <= self.ema < 1, "--ema", "0, or less than 1", self.ema)
        require(0 <= self.jitter <= 0.5, "--jitter", "within 0..0.5", self.jitter)
        known = re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", self.device)
        require(bool(known), "--device", "auto, cpu, cuda, cuda:N or mps", self.device)
        require(not (self.resume and self.overwrite), "--resume", "without --overwrite", self.resume)


@dataclass(frozen=True, slots=True)
class FommTrainOptions:
    """The first-order model's own."""

    adversarial: bool = option(False, "With a discriminator, as vox-adv (default: as vox).", "--adversarial")


@dataclass(frozen=True, slots=True)
class FaceVid2VidTrainOptions:
    """face vid2vid's own."""

    generator: SpadeChoice = option("original", "Which generator: the trainer's default, or the demo's SPADE one.")


@dataclass(frozen=True, slots=True)
class X2FaceTrainOptions:
    """X2Face's own."""

    views: int = option(1, "Source frames of each item.")
    identity: float = option(0.0, "Weight of the identity loss (the paper's second stage; 0: as the published script).")

    def __post_init__(self) -> None:
        require(1 <= self.views <= 8, "--views", "within 1..8", self.views)
        require(self.identity >= 0, "--identity", "0 or more", self.identity)
